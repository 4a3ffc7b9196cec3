"""The cache keeps what is whole and right, and nothing else."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from smith.cache import Cache, default_directory
from smith.errors import SmithError, VerificationError

DATA = b"content" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files(cache: Cache) -> list[Path]:
    return [path for path in cache.directory.rglob("*") if path.is_file()]


def test_a_blob_is_found_by_its_digest(cache: Cache) -> None:
    assert cache.put(io.BytesIO(DATA)) == SHA256
    assert cache.has(SHA256, len(DATA))
    assert cache.read(SHA256) == DATA


def write(cache: Cache, *, failure: BaseException | None = None, **expected: Any) -> None:
    with cache.incoming(**{"subject": "subject", **expected}) as blob:
        blob.write(DATA)
        if failure is not None:
            raise failure


@pytest.mark.parametrize(("sha256", "size"), [("0" * 64, len(DATA)), (SHA256, 1)])
def test_what_is_not_as_promised_is_not_kept(cache: Cache, sha256: str, size: int) -> None:
    with pytest.raises(VerificationError, match=r"subject: .*nothing was kept"):
        write(cache, expected_sha256=sha256, size=size)
    assert files(cache) == []


def test_an_error_while_writing_leaves_nothing(cache: Cache) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(cache, failure=KeyboardInterrupt())
    with pytest.raises(ValueError, match="no"):
        cache.derive("kind-1", "key", _fail)
    assert files(cache) == []


def _fail(sink: BinaryIO) -> None:
    sink.write(b"half")
    raise ValueError("no")


def test_a_damaged_file_counts_as_absent(cache: Cache) -> None:
    cache.put(io.BytesIO(DATA))
    path = cache.path(SHA256)
    path.chmod(0o644)
    path.write_bytes(b"short")
    assert not cache.has(SHA256, len(DATA))
    cache.put(io.BytesIO(DATA))
    assert cache.read(SHA256) == DATA


def test_derived_files_are_made_once(cache: Cache) -> None:
    calls: list[int] = []

    def produce(sink: BinaryIO) -> None:
        calls.append(1)
        sink.write(b"made")

    assert cache.derive("kind-1", "key", produce).read_bytes() == b"made"
    assert cache.derive("kind-1", "key", produce).read_bytes() == b"made"
    assert len(calls) == 1


def test_threads_may_write_the_same_blob_at_once(cache: Cache) -> None:
    failures: list[Exception] = []

    def put() -> None:
        try:
            assert cache.put(io.BytesIO(DATA)) == SHA256
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in files(cache)] == [SHA256]


def test_the_leftovers_of_a_killed_process_are_swept_after_a_day(cache: Cache) -> None:
    old, new = cache.directory / "tmp/old", cache.directory / "tmp/new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    Cache(cache.directory)
    assert not old.exists()
    assert new.exists()


def test_the_folder_follows_the_basedir_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "smith"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".cache/smith"


def test_a_folder_that_cannot_be_used_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SmithError, match=r"the cache .*/file/x cannot be used: .*XDG_CACHE_HOME"):
        Cache(tmp_path / "file/x")


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    """Under a file size limit, which fails as a full disk does."""
    code = (
        "import io, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from smith.cache import Cache\nfrom smith.errors import SmithError\n"
        "cache = Cache(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    cache.put(io.BytesIO(bytes(1 << 20)), subject='big')\n"
        "except SmithError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("big: cannot be written to the cache"), done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_check_may_look_at_what_is_written(cache: Cache) -> None:
    def check() -> Any:
        with cache.incoming(subject="subject") as blob:
            blob.write(DATA)
            with blob.written() as stream:
                if stream.read() == DATA:
                    raise VerificationError("refused")

    with pytest.raises(VerificationError, match="refused"):
        check()
    assert files(cache) == []
