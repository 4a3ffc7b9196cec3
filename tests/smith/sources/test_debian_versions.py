import itertools
import shutil
import subprocess

import pytest
from smith.sources.deb import version

SORTED = [
    "0~~", "0~~a", "0~", "0", "0+b1", "1~rc1-1", "1-0", "1-0.1", "1-1~bpo12+1", "1-1", "1-1+b1", "1-1+deb12u1", "1.0-1",
    "1.0a-1", "1.0.1-1", "1.2.3-9", "1.2.3-10", "1.2.10-1", "1.2.a-1", "2:0.1-1", "10:0-1",
]  # fmt: skip


def test_versions_sort_as_debian_policy_says() -> None:
    assert sorted(set(SORTED), key=version.key) == SORTED


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg to compare with")
def test_versions_compare_as_dpkg_does() -> None:
    odd = ["1", "1.0", "1-", "1.0-0", "0:1", "1a", "1A", "1+", "1.~1", "1.:", "007", "7", "1-1-1"]
    pairs = list(itertools.combinations(SORTED, 2))[::7] + list(itertools.combinations(odd, 2))[::3]
    for left, right in pairs:
        less = subprocess.run(["dpkg", "--compare-versions", left, "lt", right], capture_output=True, check=False)
        same = subprocess.run(["dpkg", "--compare-versions", left, "eq", right], capture_output=True, check=False)
        expected = 0 if same.returncode == 0 else -1 if less.returncode == 0 else 1
        if b"bad syntax" not in less.stderr:
            assert version.compare(left, right) == expected, (left, right)


@pytest.mark.parametrize(
    ("operator", "holds"),
    [("<<", False), ("<=", True), ("=", True), (">=", True), (">>", False), ("<", True), (">", True)],
)
def test_relations_of_equal_versions(operator: str, holds: bool) -> None:
    assert version.satisfies("1:2.0-1", operator, "1:2.0-1") is holds
