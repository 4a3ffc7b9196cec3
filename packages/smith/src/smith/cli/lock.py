"""`smith lock`: fix versions and digests of every input."""

import os
from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json


def command(
    conf: Annotated[str, typer.Option("--conf", "-c", help="The configuration file.")] = "smith.yaml",
    directory: Annotated[str, typer.Option("--dir", "-d", help="The folder with smith.yaml.")] = "",
    vendor: Annotated[str, typer.Option(help="Keep the packages themselves in this folder, too.")] = "",
    platform: Annotated[
        list[str] | None, typer.Option(help="OS/ARCH[/VARIANT] to lock for; several by commas, or by giving it again.")
    ] = None,
    preset: Annotated[str, typer.Option(help="A recipe that comes with smith.")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Accept any TLS certificate.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Write smith.lock: what a build takes today, for the builds of every other day."""
    from smith import builder, config, lock, locking, several
    from smith.cache import Cache
    from smith.spec import Spec

    path = os.path.join(directory, conf)
    spec = Spec(directory=directory or ".") if preset and not os.path.exists(path) else config.load(path)
    spec = builder.with_options(spec, preset=preset, insecure=insecure)
    cache = Cache()
    made = []
    with Bars() as progress:
        for name in several.wanted(platform or []):
            wanted = builder.with_options(spec, platform=name)
            made.append(locking.of_today(wanted, vendor, cache, progress))
    target = lock.path_of(spec)
    lock.write_all(made, target)
    if json:
        show_json([lock.as_json(each) for each in made] if len(made) > 1 else lock.as_json(made[0]))
        return
    for each in made:
        count = len(each.packages()) + len(each.applications()) if each.packages() else len(each.entries)
        print(f"{target}: {count} inputs for {each.platform}")
