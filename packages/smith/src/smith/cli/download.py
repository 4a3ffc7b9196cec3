"""`smith download`: an image from a registry to a file."""

from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json, size


def command(
    remote: Annotated[
        str,
        typer.Option("--remote", "-r", help="Where from: [https://][USER:PASSWORD@]HOST[:PORT]/NAME[:TAG][@DIGEST]."),
    ],
    image: Annotated[
        str, typer.Option("--image", "-i", help="The file to write (.tar, .tar.gz), or a folder.")
    ] = "image.tar.gz",
    platform: Annotated[str | None, typer.Option(help="OS/ARCH[/VARIANT] to take from an index.")] = None,
    all_platforms: Annotated[bool, typer.Option("--all-platforms", help="Take the index with all its images.")] = False,
    key: Annotated[str, typer.Option(help="Take it only if it is signed by this key (a public one, PEM).")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Trust any certificate.")] = False,
    cacert: Annotated[str | None, typer.Option(help="PEM file of authorities to trust beside the system's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Fetch an image from a registry. Credentials come from the address, else from docker's and podman's files."""
    from smith.cli.questions import signed_by
    from smith.errors import UsageError
    from smith.registry import Options, pull

    if platform and all_platforms:
        raise UsageError("--platform and --all-platforms exclude each other: give one of them")
    options = Options(cacert=cacert, insecure=insecure)
    with Bars() as progress:
        done = pull(
            remote,
            image,
            platform=platform,
            all_platforms=all_platforms,
            check=signed_by(key) if key else None,
            options=options,
            progress=progress,
        )
    if json:
        show_json({"reference": done.reference, "descriptor": done.descriptor, "path": done.path, "size": done.size})
    else:
        print(f"{done.path}: {done.reference}@{done.descriptor['digest']}, {size(done.size)}")
