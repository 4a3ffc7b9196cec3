"""Platforms: spellings, and the best of those offered."""

import os

import pytest
from ocicommon import platform
from ocicommon.errors import InvalidPlatform
from ocicommon.platform import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("Linux/ARM64/V9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/armv6l", "linux/arm/v6"),
        ("linux/i686", "linux/386"),
        ("linux/ppc64el", "linux/ppc64le"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
        ("linux/riscv64", "linux/riscv64"),
        ("arm64", "linux/arm64"),
        ("x86_64", "linux/amd64"),
    ],
)
def test_platform_is_normalized(text: str, normal: str) -> None:
    assert str(platform.parse(text)) == normal


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "nonsense", "linux/amd64\n", "a,b"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidPlatform, match="is not a platform"):
        platform.parse(text)


def test_host_is_the_running_machine() -> None:
    found = platform.host()
    assert found.os == "linux"
    if os.uname().machine == "x86_64":
        assert found.architecture == "amd64"
    assert platform.parse("linux") == found


@pytest.mark.parametrize(
    ("wanted", "offered", "best"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/arm64", "windows/amd64"], None),
        ("linux/amd64", ["linux/amd64/v2"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm64", ["linux/arm64/v8"], "linux/arm64"),
        ("linux/arm64/v9", ["linux/arm64"], "linux/arm64"),
        ("linux/mips/softfloat", ["linux/mips", "linux/mips/softfloat"], "linux/mips/softfloat"),
        ("linux/amd64", [], None),
    ],
)
def test_the_best_of_those_offered(wanted: str, offered: list[str], best: str | None) -> None:
    choices = [(platform.parse(text), str(platform.parse(text))) for text in offered]
    assert platform.select(platform.parse(wanted), choices) == best


def test_the_first_of_equals_wins() -> None:
    same = Platform("linux", "amd64")
    assert platform.select(same, [(same, 1), (same, 2)]) == 1
