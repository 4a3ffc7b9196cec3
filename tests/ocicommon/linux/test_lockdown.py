"""After the lock, no file that lies in the way is ever executed."""


def test_nothing_can_be_imported_and_what_is_loaded_still_works(run_python, tmp_path):
    trap = tmp_path / "tempfile.py"
    trap.write_text("open('sprung', 'w')")
    (tmp_path / "encodings").mkdir()
    (tmp_path / "encodings" / "__init__.py").write_text("open('sprung', 'w')")
    got = run_python(
        """
from ocicommon.linux import lockdown
lockdown.preload(["struct"])
os.chdir(sys.argv[1])
lockdown.lock()
refused = []
for name in ("tempfile", "uuid", "encodings.cp1252"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        refused.append(name)
try:
    "x".encode("cp037")
except LookupError:
    refused.append("cp037")
import struct
works = ["é".encode("latin-1") == b"\\xe9", os.fsencode("\\udcff") == b"\\xff", struct.calcsize("I")]
done([refused, works, lockdown.locked(), os.path.exists("sprung")])
""",
        str(tmp_path),
    )
    assert got == [["tempfile", "uuid", "encodings.cp1252", "cp037"], [True, True, 4], True, False]
