"""The `smith` command, as it is installed and as `python -m smith`: ctrl-C ends it quietly while modules are read."""

import _signal  # type: ignore[import-not-found]


def main() -> None:
    """Nothing has been done before `smith.cli.main` takes over, so the signal's own end is right until then."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from smith import cli

    cli.main()


if __name__ == "__main__":
    main()
