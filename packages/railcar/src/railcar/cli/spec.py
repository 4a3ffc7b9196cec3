"""`railcar spec`: write a first config.json."""

import os

from railcar import documents, specimen
from railcar.cgroups import layout
from railcar.cli.parse import Arguments, Globals
from railcar.errors import RailcarError, errno_text
from railcar.versions import SPEC_VERSION


def run(options: Globals, arguments: Arguments) -> int:
    """Write config.json into the bundle; one that is there is left alone."""
    bundle = arguments.text("bundle") or "."
    config = specimen.config(SPEC_VERSION, layout.find().mode == "v2")
    if arguments.flag("rootless"):
        config = specimen.rootless(config, os.geteuid(), os.getegid())
    path = os.path.join(bundle, "config.json")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise RailcarError(f"File {path} exists. Remove it first, or choose another directory by --bundle") from None
    except OSError as error:
        raise RailcarError(f"cannot write {path}: {errno_text(error.errno or 0)}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(documents.indented(config) + "\n")
    return 0
