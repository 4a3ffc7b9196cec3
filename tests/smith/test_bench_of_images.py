"""The bench of images: what its table says of a side that is not given, that failed, and that ran."""

import subprocess
import sys
import tarfile
from pathlib import Path

BENCH = Path(__file__).parents[2] / "tools/bench"


def told(code: str, *arguments: str) -> str:
    """What a program says that has the bench as the module `images`: other tests have one of that name."""
    words = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(BENCH)!r})\nimport images\n{code}", *arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_a_side_is_skipped_failed_or_measured() -> None:
    found = "{'smith': {'median_ms': 20.0}, 'original': {'median_ms': 40.0}, 'umoci': {}}"
    code = f"for name in ('original', 'umoci', 'gzip'): print(images.cell({found}, name), images.ratio({found}, name))"
    assert told(code).splitlines() == ["40 0.50", "failed -", "skipped -"]


def test_the_original_is_asked_for_each_file_by_its_path(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "layer", "w") as layer:
        for name, kind in (("usr", tarfile.DIRTYPE), ("usr/a 'b'", tarfile.REGTYPE), ("bin", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            layer.addfile(info)
    said = told("from pathlib import Path; print(images.original_yaml(Path(sys.argv[1])))", str(tmp_path / "layer"))
    assert said.splitlines()[:5] == ["type: oci", "package: source.tar", "paths:", "- \"/usr/a 'b'\"", '- "/bin"']


def test_an_original_that_is_no_program_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / "images.py"), "--original", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not installed" in done.stderr or f"--original {tmp_path}: is no program" in done.stderr
