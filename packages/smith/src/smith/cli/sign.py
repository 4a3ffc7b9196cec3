"""`smith sign`: put a signature beside an image at a registry."""

import os
import sys
from typing import Annotated

import typer

from smith.cli.terminal import show_json

PASSPHRASE = "COSIGN_PASSWORD"


def command(
    remote: Annotated[
        str, typer.Argument(help="The image: [https://][USER:PASSWORD@]HOST[:PORT]/NAME[:TAG][@DIGEST].")
    ],
    key: Annotated[str, typer.Option(help=f"The private key, PEM. ${PASSPHRASE} opens it, else you are asked.")],
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Trust any certificate.")] = False,
    cacert: Annotated[str | None, typer.Option(help="PEM file of authorities to trust beside the system's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Sign an image at a registry in cosign's format; of an index, each of its images as well."""
    from smith.registry import Options, open_registry
    from smith.registry.signatures import sign
    from smith.signing.keys import signing_key

    made = signing_key(key, lambda: passphrase(key))
    with open_registry(remote, Options(cacert=cacert, insecure=insecure)) as registry:
        digests = sign(registry, made)
        reference = registry.address.reference
    if json:
        show_json({"reference": str(reference.with_digest(digests[0])), "signed": digests})
        return
    for digest in digests:
        print(f"{reference.with_digest(digest)}: signed")


def passphrase(path: str) -> bytes:
    """What opens an encrypted key: the environment's, else what is typed. UsageError where nobody can be asked."""
    from smith.errors import UsageError

    if PASSPHRASE in os.environ:
        return os.environb[PASSPHRASE.encode()]
    if not sys.stdin.isatty():
        raise UsageError(f"{path}: is encrypted: put its passphrase into ${PASSPHRASE}")
    return str(typer.prompt(f"Passphrase of {path}", hide_input=True, err=True)).encode()
