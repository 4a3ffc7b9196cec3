"""`smith build`: smith.yaml to an image file."""

import os
import socket
import sys
import time
from typing import Annotated, Any

import typer

from smith import __version__
from smith.cli.terminal import Bars, show_json, size


def command(
    fast: Annotated[bool, typer.Option("--fast", "-f", help="Use what is cached without asking for news.")] = False,
    conf: Annotated[str, typer.Option("--conf", "-c", help="The configuration file.")] = "smith.yaml",
    directory: Annotated[str, typer.Option("--dir", "-d", help="The folder with smith.yaml and rootfs/.")] = "",
    image: Annotated[
        str, typer.Option("--image", "-i", help="The image to write: FILE.tar[.gz][:TAG], or a folder.")
    ] = "image.tar.gz",
    build_number: Annotated[str, typer.Option("--buildnumber", "-b", help="A number to keep in the index.")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Accept any TLS certificate.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what is done.")] = False,
    version: Annotated[bool, typer.Option("-V", "--version", help="Print the version.")] = False,
    platform: Annotated[
        list[str] | None, typer.Option(help="OS/ARCH[/VARIANT] to build for; several, with commas, make one index.")
    ] = None,
    compression: Annotated[str, typer.Option(help="gzip, zstd or none.")] = "",
    locked: Annotated[
        bool, typer.Option("--locked", help="Build from the lock file alone; without one do not.")
    ] = False,
    preset: Annotated[str, typer.Option(help="A recipe that comes with smith; no smith.yaml is needed then.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Build an image from smith.yaml."""
    if version:
        print(f"smith version {__version__}")
        return
    from ocicommon.linux import allocator

    from smith import archive, builder, config, several
    from smith.cache import Cache
    from smith.compress import BLOCK, KINDS
    from smith.errors import UsageError
    from smith.image import combine
    from smith.origin import split_tag
    from smith.spec import Spec

    allocator.frugal(4 * BLOCK)
    if compression and compression not in KINDS:
        raise UsageError(f"--compression {compression!r}: write one of {', '.join(KINDS)}")
    path = os.path.join(directory, conf)
    spec = Spec(directory=directory or ".") if preset and not os.path.exists(path) else config.load(path)
    platforms = several.wanted(platform or ())
    spec = builder.with_options(spec, platform=platforms[0], compression=compression, preset=preset)
    if insecure:
        spec = builder.with_options(spec, insecure=True)
    if locked:
        spec = builder.with_options(spec, locked=True)
    if fast:
        spec = builder.with_options(spec, fast=True)
    output, tag = split_tag(image)
    with Bars(verbose) as progress:
        reports = several.build(spec, platforms, Cache(), progress)
        built = reports[0].built if len(reports) == 1 else combine([report.built for report in reports])
        archive.write(built, output, tag or "latest", index_annotations(build_number))
    if json:
        data = [as_data(report, output) for report in reports]
        show_json(data[0] if len(data) == 1 else {"image": output, "digest": built.digest, "platforms": data})
        return
    if len(reports) > 1:
        print(f"{output}  {built.digest}  an index of {len(reports)} platforms")
    for report in reports:
        say(report, output if len(reports) == 1 else report.platform, verbose)


def index_annotations(build_number: str) -> dict[str, str]:
    """Build time, host and number: in the index only, and with SOURCE_DATE_EPOCH set no host."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = int(epoch) if epoch.isdigit() else int(time.time())
    annotations = {
        "org.opencontainers.image.created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
        "vnd.smith.version": __version__,
    }
    if not epoch.isdigit():
        annotations["vnd.smith.host"] = socket.gethostname()
    if build_number:
        annotations["vnd.smith.build"] = build_number
    return annotations


def as_data(report: Any, output: str) -> dict[str, Any]:
    """The report for --json."""
    return {
        "image": output,
        "digest": report.built.digest,
        "platform": report.platform,
        "files": report.files,
        "size": report.size,
        "layerSize": report.layer_size,
        "sourceSize": report.source_size,
        "packages": [{"name": p.name, "version": p.version, "arch": p.arch} for p in report.packages],
        "leftOut": [{"path": path, "why": why} for path, why in report.left_out],
        "dropped": {
            "setuid": report.losses.setuid,
            "capabilities": report.losses.capabilities,
            "owners": report.losses.owners,
            "devices": report.losses.devices,
        },
    }


def say(report: Any, output: str, verbose: bool) -> None:
    """The report for people."""
    print(f"{output}  {report.built.digest}")
    print(
        f"  {report.files} files, {size(report.size)} ({size(report.layer_size)} packed), {report.platform}, "
        f"from {len(report.packages)} packages"
    )
    if not report.files:
        print("  no file at all: name `package`, `paths` or `preset`, or lay files into rootfs/")
    elif not any(report.built.config.get("config", {}).get(key) for key in ("Entrypoint", "Cmd")):
        print("  nothing to run yet: name the program in `entrypoint`")
    losses = report.losses
    for what, paths in (
        ("setuid or setgid bits", losses.setuid),
        ("file capabilities", losses.capabilities),
        ("devices and pipes", losses.devices),
    ):
        if paths:
            print(f"  without {what}: {', '.join('/' + path for path in paths[:3])}{' ...' if paths[3:] else ''}")
    if losses.owners:
        print(f"  {len(losses.owners)} entries had other owners, and are the image's user's now")
    shown = report.left_out if verbose else report.left_out[:6]
    for path, why in shown:
        print(f"  left out: {path}: {why}")
    if len(report.left_out) > len(shown):
        print(f"  left out: {len(report.left_out) - len(shown)} more (-v shows them)")
    sys.stdout.flush()
