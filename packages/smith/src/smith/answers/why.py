"""`smith why`: the chain that brought a file in."""

from smith.answers import Known
from smith.errors import SmithError

SENTENCES = {
    "path": "smith.yaml's path {detail} matches it",
    "package": "it is of the package {detail}",
    "image": "the whole image {detail} was asked for",
    "binary": "the program {detail} was asked for",
    "rootfs": "it comes from rootfs/",
    "needed": "needs {detail}",
    "interpreter": "is loaded by {detail}",
    "hwcaps": "needs {detail}, and this is its variant for newer processors",
    "filter": "filters {detail}",
    "dlopen": "loads {detail} at run time, as its dlopen note says",
    "shebang": "is a script for {detail}",
    "way": "is reached by this link",
    "rule": "brings it, by the rule for {detail}",
    "nss": "user and host names are looked up by it",
    "licence": "it is the licence of {detail}",
    "os-release": "scanners tell the distribution by it",
    "database": "scanners tell the packages by it",
    "cache": "a loader finds libraries outside its own folders by it",
}


def chain(known: Known, path: str) -> list[dict[str, str]]:
    """The steps from a wish to the file, the wish first: each {path, kind, detail, text, package}.

    SmithError when the file is not there, or the image does not say.
    """
    real = known.tree.resolve(path)
    asked = path.strip("/")
    start = asked if asked in known.reasons else real
    if start is None or start not in known.tree:
        raise SmithError(f"{known.image.what}: there is no /{asked} in it; `smith ls` shows what there is")
    if not known.reasons:
        raise SmithError(f"{known.image.what}: it does not say why its files are in; smith's own images do")
    steps: list[dict[str, str]] = []
    seen: set[str] = set()
    here = start
    while here and here not in seen:
        seen.add(here)
        reason = known.reasons.get(here)
        if reason is None:
            below = next((each for each in known.reasons if each.startswith(f"{here}/")), "")
            text = f"the folder holds /{below}" if below else "every microcontainer has it"
            steps.append({"path": here, "kind": "folder", "detail": "", "text": text, "package": ""})
            break
        kind = str(reason.get("kind", ""))
        detail = str(reason.get("detail", ""))
        text = SENTENCES.get(kind, kind).format(detail=detail)
        steps.append(
            {"path": here, "kind": kind, "detail": detail, "text": text, "package": str(reason.get("package", ""))}
        )
        here = str(reason.get("via", ""))
    steps.reverse()
    return steps
