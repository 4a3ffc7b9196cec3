"""`python tools/bindings [--check] [SCHEMAS]`: SCHEMAS holds `image-spec` and `runtime-spec` (or is $OCI_SCHEMAS)."""

import argparse
import difflib
import importlib.metadata
import os
import sys
from pathlib import Path

if __package__ != "bindings":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bindings.fold import SchemaError
from bindings.generate import VERSION, generate

OUTPUT = Path(__file__).resolve().parents[2] / "packages/ocicommon/src/ocicommon/oci"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bindings", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed; write nothing")
    parser.add_argument("schemas", nargs="?", default=os.environ.get("OCI_SCHEMAS"), type=Path)
    arguments = parser.parse_args()
    if arguments.schemas is None:
        parser.error("name the folder that holds image-spec and runtime-spec, or set OCI_SCHEMAS")
    schemas: Path = arguments.schemas
    try:
        found = importlib.metadata.version("datamodel-code-generator")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != VERSION:
        print(f"bindings: needs datamodel-code-generator {VERSION}, found {found}", file=sys.stderr)
        return 1
    try:
        made = generate(schemas)
    except SchemaError as error:
        print(f"bindings: {error}", file=sys.stderr)
        return 1
    differ = False
    for name, text in made.items():
        path = OUTPUT / name
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        differ = True
        if arguments.check:
            lines = difflib.unified_diff(
                old.splitlines(True), text.splitlines(True), f"committed/{name}", f"made/{name}"
            )
            sys.stdout.writelines(lines)
        else:
            path.write_text(text)
            print(f"wrote {path}")
    return 1 if differ and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
