"""`smith outdated`: which packages have newer versions."""

import os
from dataclasses import asdict
from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json


def command(
    image: Annotated[str, typer.Argument(help="The image to look at: FILE[:TAG]; the lock file without one.")] = "",
    conf: Annotated[str, typer.Option("--conf", "-c", help="The configuration file.")] = "smith.yaml",
    directory: Annotated[str, typer.Option("--dir", "-d", help="The folder with smith.yaml.")] = "",
    tracker: Annotated[str, typer.Option(help="Debian's security tracker data, as a JSON file.")] = "",
    release: Annotated[str, typer.Option(help="The release to look under in it, such as bookworm.")] = "",
    preset: Annotated[str, typer.Option(help="A recipe that comes with smith.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Say which packages of an image or a lock file have newer versions by now. Exit code 5 when some have."""
    from smith import builder, config, lock, outdated
    from smith.cache import Cache
    from smith.cli.questions import opened
    from smith.errors import UsageError
    from smith.origin import decide
    from smith.presets import expand
    from smith.spec import Spec

    path = os.path.join(directory, conf)
    spec = Spec(directory=directory or ".") if preset and not os.path.exists(path) else config.load(path)
    spec = decide(expand(builder.with_options(spec, preset=preset))).spec
    cache = Cache()
    if image:
        asked = [(spec, opened(image).packages)]
    else:
        where = lock.path_of(spec)
        if not os.path.exists(where):
            raise UsageError(f"name an image, or make {where} by `smith lock`: there is nothing to compare with")
        asked = [
            (builder.with_options(spec, platform=locked.platform), locked.as_packages()) for locked in lock.read(where)
        ]
    data = outdated.read_tracker(tracker) if tracker else None
    if data is not None and not release:
        raise UsageError("--tracker needs --release, such as bookworm")
    with Bars() as progress:
        every = [outdated.check(each, packages, cache, progress, data, release) for each, packages in asked]
    found = list(dict.fromkeys(item for items in every for item in items))
    if json:
        show_json([asdict(item) for item in found])
    else:
        for item in found:
            fixes = f"  fixes {', '.join(item.fixes)}" if item.fixes else ""
            print(f"{item.name} {item.version} -> {item.newest}{fixes}")
        if not found:
            print(f"{len(asked[0][1])} packages, none with a newer version")
    if found:
        raise typer.Exit(5)
