"""Help, completion and the subcommands by typer, made from the same table that ``arguments`` reads the line by.

A session never comes through here: starting typer takes longer than entering a container.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from crashcart import __version__, arguments, report
from crashcart.errors import CrashcartError

_USAGE_OF_TARGET = "A container's id, unique prefix, name or NAMESPACE/ID, ENGINE:ID, or a pid."
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Side-load an image of debugging tools into a running container, enter it, and leave no trace.",
    epilog="crashcart [OPTIONS] ID [-- CMD ...] enters; without CMD the image's shell is started. "
    "Subcommands: " + ", ".join(arguments.SUBCOMMANDS) + ".",
)


@app.callback()
def _root() -> None:
    """Keep the subcommands' names, of which there would be none with a single one."""


def run(argv: list[str]) -> int:
    """Run typer on a command line; the exit code."""
    if not argv or argv[0] not in arguments.SUBCOMMANDS:
        sys.stdout.write(_session_help())
        return 0
    try:
        app(argv, prog_name="crashcart", standalone_mode=True)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def _session_help() -> str:
    lines = [
        arguments.USAGE.split("   ")[0],
        "       crashcart list [--json] | build [PACKAGE...] | verify IMAGE | completion SHELL | man",
        "",
        "Side-load an image of debugging tools into a running container, enter it, and leave no trace.",
        "",
        f"  ID    {_USAGE_OF_TARGET}",
        "  CMD   A tool of the image by name, or a full path; none starts the image's shell.",
        "",
        "Options (before ID; what follows ID is the command):",
    ]
    for option in arguments.OPTIONS:
        shown = ", ".join(option.names) + (f" {option.value}" if option.value else "")
        lines.append(f"  {shown:<26}  {option.help}")
    return "\n".join([*lines, "", "The exit code is the command's; 128+N when signal N ended it.", ""])


@app.command("list")
def list_containers(
    json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print names, or ids where there are none.")] = False,
    root: Annotated[str | None, typer.Option(help="Also look in this state directory.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say who does not answer.")] = False,
) -> None:
    """List the running containers that can be entered."""
    from crashcart import listing

    report.verbose = verbose
    try:
        found = listing.rows(root)
    except CrashcartError as error:
        _end(error)
    if json:
        import json as encoder

        sys.stdout.write(encoder.dumps(listing.as_data(found), indent=2) + "\n")
    elif quiet:
        sys.stdout.write("".join(f"{one.name or one.id}\n" for one in found))
    else:
        sys.stdout.write(listing.as_table(found))


@app.command("build")
def build_image(
    packages: Annotated[list[str] | None, typer.Argument(help="Packages; none for those of the preset.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="The image to write.")] = "crashcart.img",
    preset: Annotated[str, typer.Option(help="default or tiny (busybox, strace, ss, curl).")] = "default",
    format: Annotated[
        str, typer.Option(help="erofs (default), squashfs (default of tiny: smallest) or ext4 (for old kernels).")
    ] = "",
    platform: Annotated[str, typer.Option(help="Such as linux/arm64; this machine's when left out.")] = "",
    no_man: Annotated[bool, typer.Option("--no-man", help="Leave manual pages out.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody: what was fetched before must do.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was built as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what was left out.")] = False,
) -> None:
    """Build an image of tools from this machine's package source; needs no root."""
    from crashcart.build import command

    report.verbose = verbose
    try:
        built = command.run(output, preset, packages or [], format, platform, manuals=not no_man, offline=offline)
    except CrashcartError as error:
        _end(error)
    if json:
        import json as encoder

        sys.stdout.write(encoder.dumps(built, indent=2) + "\n")
    else:
        sys.stdout.write(f"{built['output']}: {built['size']} bytes, {built['files']} files\n")


@app.command("verify")
def verify_image(
    image: Annotated[str, typer.Argument(help="The image.")],
    json: Annotated[bool, typer.Option("--json", help="Print its description as JSON.")] = False,
) -> None:
    """Check an image, and list its packages, versions and licences."""
    from crashcart import verify

    try:
        document = verify.verify(image)
    except CrashcartError as error:
        _end(error)
    if json:
        import json as encoder

        sys.stdout.write(encoder.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(verify.as_table(document))


@app.command("completion")
def print_completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completions for a shell."""
    from crashcart import completion, declared

    try:
        sys.stdout.write(completion.script(shell, arguments.OPTIONS, declared.of_app(app)))
    except CrashcartError as error:
        _end(error)


@app.command("man")
def print_manual() -> None:
    """Print the manual page: crashcart man | man -l -."""
    from crashcart import declared, manual

    sys.stdout.write(manual.page(__version__, arguments.OPTIONS, declared.of_app(app)))


def _end(error: CrashcartError) -> Any:
    report.say(str(error))
    raise SystemExit(error.code)
