"""`smith lock`: fix versions and digests of every input."""

import os
from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json


def command(
    conf: Annotated[str, typer.Option("--conf", "-c", help="The configuration file.")] = "smith.yaml",
    directory: Annotated[str, typer.Option("--dir", "-d", help="The folder with smith.yaml.")] = "",
    vendor: Annotated[str, typer.Option(help="Keep the packages themselves in this folder, too.")] = "",
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to lock for.")] = "",
    preset: Annotated[str, typer.Option(help="A recipe that comes with smith.")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Accept any TLS certificate.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Write smith.lock: what a build takes today, for the builds of every other day."""
    from smith import builder, config, lock
    from smith.cache import Cache
    from smith.errors import ConfigError
    from smith.origin import decide
    from smith.presets import expand
    from smith.spec import Spec

    path = os.path.join(directory, conf)
    spec = Spec(directory=directory or ".") if preset and not os.path.exists(path) else config.load(path)
    spec = builder.with_options(spec, platform=platform, preset=preset)
    if insecure:
        spec = builder.with_options(spec, insecure=True)
    spec = decide(expand(spec)).spec
    if not spec.type:
        raise ConfigError(f"{spec.file}: takes nothing but rootfs/, so there is nothing to lock")
    cache = Cache()
    with Bars() as progress:
        made = lock.make(spec, builder.load_fresh(spec, cache, progress))
    if vendor:
        made = lock.vendor(made, vendor, spec.directory, cache)
    target = lock.path_of(spec)
    lock.write(made, target)
    if json:
        show_json(lock.as_json(made))
    else:
        print(f"{target}: {len(made.packages()) or len(made.entries)} inputs for {made.platform}")
