"""`smith trace`: run a program, and tell what it opens that smith.yaml does not bring."""

import os
import sys
from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json


def command(
    words: Annotated[list[str] | None, typer.Argument(help="The program and its arguments, after --.")] = None,
    conf: Annotated[str, typer.Option("--conf", "-c", help="The configuration file.")] = "smith.yaml",
    directory: Annotated[str, typer.Option("--dir", "-d", help="The folder with smith.yaml and rootfs/.")] = "",
    preset: Annotated[str, typer.Option(help="A recipe that comes with smith.")] = "",
    runtime: Annotated[str, typer.Option(help="The runtime to run it in, instead of railcar.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Run a program with all files of its source, and print what it opened as `paths` for smith.yaml."""
    from smith import builder, config
    from smith.cache import Cache
    from smith.errors import UsageError
    from smith.spec import Spec
    from smith.trace import find_runtime, lacking, trace

    path = os.path.join(directory, conf)
    spec = Spec(directory=directory or ".") if preset and not os.path.exists(path) else config.load(path)
    spec = builder.with_options(spec, preset=preset)
    find_runtime(runtime)
    with Bars() as progress:
        prepared = builder.prepare(spec, Cache(), progress)
    settings = prepared.config.get("config", {})
    program = words or [*(settings.get("Entrypoint") or []), *(settings.get("Cmd") or [])]
    if not program:
        raise UsageError("trace: say which program, after --")
    with Bars() as progress:
        traced = trace(prepared.tree, prepared.config, program, progress, runtime)
    opened = traced.inside(prepared.tree)
    found = lacking(prepared.tree, opened, prepared.chosen)
    if json:
        show_json({"code": traced.code, "opened": opened, "lacking": found})
        return
    print(
        f"# {' '.join(program)}: exit {traced.code}; opened {len(opened)} files of {len(prepared.tree)}",
        file=sys.stderr,
    )
    if found:
        print("paths:")
        for each in found:
            print(f"  - {each}")
    else:
        print("# smith.yaml brings all of them", file=sys.stderr)
