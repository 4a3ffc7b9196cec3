"""`smith upload`: an image file to a registry."""

from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json


def command(
    remote: Annotated[
        str,
        typer.Option("--remote", "-r", help="Where to: [https://][USER:PASSWORD@]HOST[:PORT]/NAME[:TAG]."),
    ],
    image: Annotated[str, typer.Option("--image", "-i", help="The image: FILE[:TAG] or a folder.")] = "image.tar.gz",
    docker: Annotated[bool, typer.Option("--docker", "-d", help="Send Docker's media types.")] = False,
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Trust any certificate.")] = False,
    cacert: Annotated[str | None, typer.Option(help="PEM file of authorities to trust beside the system's.")] = None,
    mount_from: Annotated[
        list[str] | None, typer.Option(help="Repository of the same registry that may have some layers.")
    ] = None,
    chunk: Annotated[int, typer.Option(min=0, help="Send at most so many bytes in a request; 0: no limit.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Send an image to a registry. Credentials come from the address, else from docker's and podman's files."""
    from smith.origin import split_tag
    from smith.registry import Options, push

    file, tag = split_tag(image)
    options = Options(cacert=cacert, insecure=insecure)
    with Bars() as progress:
        done = push(
            file,
            remote,
            tag=tag,
            docker=docker,
            mount_from=mount_from or [],
            chunk=chunk,
            options=options,
            progress=progress,
        )
    if json:
        show_json({"reference": done.reference, "descriptor": done.descriptor, "blobs": done.blobs})
    else:
        sent = sum(1 for outcome in done.blobs.values() if outcome == "uploaded")
        print(f"{done.reference}: {sent} of {len(done.blobs)} blobs sent, the others were there")
