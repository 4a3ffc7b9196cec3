"""A runtime pays for every import at each start."""

import json
import subprocess
import sys
from pathlib import Path

import ocicommon.linux

SUBJECTS = sorted(
    "ocicommon.linux." + ".".join(path.relative_to(Path(ocicommon.linux.__file__).parent).with_suffix("").parts)
    for path in Path(ocicommon.linux.__file__).parent.rglob("*.py")
    if path.name != "__init__.py"
)

# What the interpreter has built in or frozen, or loads with os.
CHEAP = {
    "__future__",
    "_collections_abc",
    "_ctypes",
    "_socket",
    "_stat",
    "_struct",
    "abc",
    "encodings.ascii",
    "encodings.latin_1",
    "errno",
    "genericpath",
    "os",
    "os.path",
    "posixpath",
    "stat",
    "struct",
}


def test_all_subjects_together_import_only_what_is_cheap():
    source = (
        "import sys, _imp; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "for name in sys.argv[2:]: __import__(name)\n"
        "from ocicommon.linux import lockdown; lockdown.preload()\n"
        "after = sorted(set(sys.modules) - before)\n"
        "import json; print(json.dumps(after))"
    )
    place = str(Path(ocicommon.__file__).parent.parent)
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source, place, *SUBJECTS], capture_output=True, text=True, check=True
    )
    loaded = {name for name in json.loads(result.stdout) if not name.startswith("ocicommon")}
    assert loaded <= CHEAP


def test_the_package_itself_imports_nothing():
    source = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import ocicommon.linux;"
        "print(sorted(set(sys.modules) - before))"
    )
    place = str(Path(ocicommon.__file__).parent.parent)
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source, place], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "['ocicommon', 'ocicommon.linux']"
