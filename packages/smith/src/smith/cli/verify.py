"""`smith verify`: whether an image is whole and keeps the promises of a microcontainer."""

import os
from typing import Annotated

import typer

from smith.cli.terminal import Bars, line, show_json


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder; with --key HOST/NAME[:TAG].")],
    key: Annotated[str, typer.Option(help="Ask the registry whether this key (a public one, PEM) signed it.")] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="With --key: trust any certificate.")] = False,
    cacert: Annotated[str | None, typer.Option(help="With --key: PEM file of authorities to trust, too.")] = None,
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build it again from smith.yaml, and compare.")] = False,
    conf: Annotated[str, typer.Option("--conf", "-c", help="The file to build again from.")] = "smith.yaml",
    directory: Annotated[str, typer.Option("--dir", "-d", help="The folder with smith.yaml and rootfs/.")] = "",
    preset: Annotated[str, typer.Option(help="The recipe to build again from.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check digests, documents and the promises of a microcontainer; with --key, signatures at a registry.

    The exit code is 3 when a promise is broken, or when the key did not sign the image.
    """
    if key:
        verify_signature(image, key, cacert, insecure, json)
        return
    from smith.answers.promises import broken
    from smith.cli.questions import opened

    known = opened(image, platform)
    found = broken(known)
    if rebuild:
        again = rebuilt(os.path.join(directory, conf), directory, preset, known.image.platform)
        if again != known.image.digest:
            found.append(f"built again its digest is {again}, and it is {known.image.digest}; `smith diff` tells more")
    if json:
        show_json({"image": image, "digest": known.image.digest, "ok": not found, "broken": found})
    else:
        for sentence in found[:50]:
            line(f"{image}: {sentence}")
        if len(found) > 50:
            line(f"{image}: {len(found) - 50} more")
        if not found:
            line(f"{image}: {known.image.digest}: all promises hold ({len(known.tree)} entries)")
    raise typer.Exit(3 if found else 0)


def verify_signature(remote: str, key: str, cacert: str | None, insecure: bool, json: bool) -> None:
    """Say by which names the key signed the image at a registry. VerificationError when it did not."""
    from smith.cli.questions import signed_by
    from smith.registry import Options, open_registry

    find = signed_by(key)
    with open_registry(remote, Options(cacert=cacert, insecure=insecure)) as registry:
        digest = registry.manifest(registry.address.reference.version).digest
        found = find(registry, digest)
        named = str(registry.address.reference.with_digest(digest))
    if json:
        signatures = [{"form": each.form, "name": each.name} for each in found]
        show_json({"reference": named, "digest": digest, "key": key, "signatures": signatures})
        return
    for each in found:
        line(f"{named}: signed by {key}" + (f", as {each.name}" if each.name else ""))


def rebuilt(path: str, directory: str, preset: str, platform: str) -> str:
    """The digest of what smith.yaml (or the preset) gives today."""
    from smith import builder, config
    from smith.cache import Cache
    from smith.spec import Spec

    spec = Spec(directory=directory or ".") if preset and not os.path.exists(path) else config.load(path)
    spec = builder.with_options(spec, preset=preset)
    if not spec.platform and spec.type != "host":
        spec = builder.with_options(spec, platform=platform)
    with Bars() as progress:
        return builder.build(spec, Cache(), progress).built.digest
