"""Everything that is wrong with a bundle, at once: by the specification's models, and by what railcar makes of it
here."""

import difflib
import json
import os
from dataclasses import dataclass
from typing import Any

from ocicommon import document, positions
from ocicommon.errors import InvalidDocument
from ocicommon.oci.base import Document
from ocicommon.runtime import Config

from railcar import config as quick
from railcar.errors import RailcarError, errno_text

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing to mend. ``line`` and ``column`` count from 1; ``member`` is like ``linux.devices[0].path``."""

    severity: str
    line: int
    column: int
    member: str
    text: str

    def shown(self, name: str) -> str:
        """``config.json:4:9: error: process.cwd: must be absolute``"""
        member = f"{self.member}: " if self.member else ""
        return f"{name}:{self.line}:{self.column}: {self.severity}: {member}{self.text}"


def validate(bundle: str) -> list[Finding]:
    """All findings for a bundle's config.json and rootfs, in the order of the file. Raises RailcarError without a
    file."""
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise RailcarError(f"no config.json in the bundle {bundle}: no such file or directory") from None
    except OSError as error:
        raise RailcarError(f"cannot read {path}: {errno_text(error.errno or 0)}") from None
    findings: list[Finding] = []
    try:
        document.parse(content, Config, path)
    except InvalidDocument as error:
        findings += [Finding(ERROR, item.line, item.column, item.member, item.text) for item in error.problems]
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text)
    except (ValueError, RecursionError):
        return findings
    if not isinstance(value, dict):
        return findings
    findings += _unknown(text, value, Config, ())
    findings += _capabilities(text, value)
    findings += _here(text, value, bundle, {finding.member for finding in findings})
    return sorted(set(findings), key=lambda finding: (finding.line, finding.column, finding.severity, finding.text))


def _at(text: str, path: positions.Path, severity: str, sentence: str, key: bool = False) -> Finding:
    place, _ = positions.find(text, path)
    line, column = positions.line_and_column(text, place.name if key else place.value)
    return Finding(severity, line, column, positions.shown(path), sentence)


def _models(annotation: Any) -> list[type[Document]]:
    """The document models that an annotation speaks of."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, Document) else []
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _unknown(text: str, value: Any, model: type[Document], path: positions.Path) -> list[Finding]:
    """A warning for each key that the specification does not know but that looks like one that it does."""
    findings: list[Finding] = []
    fields = {(field.alias or name): field for name, field in model.model_fields.items()}
    for key, item in value.items():
        here = (*path, key)
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1, 0.8)
            near = near or [name for name in fields if name.lower() == key.lower()]
            if near:
                sentence = f'the specification has no such key, and it is ignored: perhaps "{near[0]}"?'
                findings.append(_at(text, here, WARNING, sentence, key=True))
            continue
        models = _models(fields[key].annotation)
        if models:
            entries = enumerate(item) if isinstance(item, list) else [(None, item)]
            for index, entry in entries:
                if isinstance(entry, dict):
                    findings += _unknown(text, entry, models[0], here if index is None else (*here, index))
    return findings


def _capabilities(text: str, value: dict[str, Any]) -> list[Finding]:
    """A warning for each name that is no capability."""
    from railcar.plan import process

    findings = []
    given = value.get("process")
    sets = given.get("capabilities") if isinstance(given, dict) else None
    for kind, names in (sets if isinstance(sets, dict) else {}).items():
        for index, name in enumerate(names if isinstance(names, list) else ()):
            warnings: list[str] = []
            if isinstance(name, str):
                process.capability_set([name], warnings)
            path = ("process", "capabilities", kind, index)
            findings += [_at(text, path, WARNING, warning) for warning in warnings]
    return findings


def _of(value: Any, key: str, kind: type) -> Any:
    """A member, or an empty one where it is missing or of another type, which the models have told."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()


def _path_of(text: str, sentence: str) -> positions.Path:
    """The member that an error sentence begins with or names, as far as the document has it."""
    best: positions.Path = ()
    for place in positions.places(text):
        shown = positions.shown(place.path)
        if shown and len(place.path) > len(best) and shown in sentence:
            after = sentence[sentence.index(shown) + len(shown) :][:1]
            if not (after.isalnum() or after == "_"):
                best = place.path
    return best


def _here(text: str, value: dict[str, Any], bundle: str, told: set[str]) -> list[Finding]:
    """What railcar itself would refuse on this host."""
    from railcar import cgroups
    from railcar.plan import namespaces, process
    from railcar.rootfs import planning

    findings: list[Finding] = []

    def attempt(part: Any) -> None:
        try:
            part()
        except RailcarError as error:
            path = _path_of(text, error.message)
            if positions.shown(path) not in told or not path:
                findings.append(_at(text, path, ERROR, error.message))
        except (TypeError, KeyError, AttributeError, ValueError, IndexError):
            # The shape is wrong, and the models have said where.
            if not told:
                raise

    def root() -> None:
        given = value.get("root")
        if not isinstance(given, dict) or not isinstance(given.get("path"), str):
            raise RailcarError("root.path is missing: a Linux container needs it")
        rootfs = os.path.join(bundle, given["path"])
        if not os.path.isdir(rootfs):
            raise RailcarError(f"root.path is {given['path']}, and {rootfs} is not a directory")

    linux = _of(value, "linux", dict)
    attempt(lambda: quick.check(value, "config.json"))
    attempt(root)
    attempt(lambda: namespaces.plan(value, False))
    attempt(lambda: process.plan(value["process"], linux) if value.get("process") else None)
    attempt(lambda: planning.plan(value, os.path.abspath(bundle), no_pivot=False, cgroup_mounts=None))
    attempt(lambda: cgroups.plan(cgroups.layout.find(), "validate", linux.get("cgroupsPath"), linux.get("resources")))
    if linux.get("seccomp"):
        from ocicommon.linux import seccomp

        def compiled() -> None:
            try:
                seccomp.compile(linux["seccomp"])
            except seccomp.SeccompError as error:
                raise RailcarError(str(error)) from None

        attempt(compiled)
    for index, mount in enumerate(_of(value, "mounts", list)):
        source = mount.get("source") if isinstance(mount, dict) else None
        options = _of(mount, "options", list)
        if isinstance(source, str) and ("bind" in options or "rbind" in options):
            found = os.path.join(bundle, source)
            if not os.path.exists(found):
                sentence = f"{found} does not exist: the mount will fail"
                findings.append(_at(text, ("mounts", index, "source"), ERROR, sentence))
    return findings
