"""Programs are moved under /dev/crashcart without changing their length, and forget where they came from."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

relocate = pytest.importorskip("crashcart.build.relocate", reason="needs crashcart[build]")
from crashcart.errors import CrashcartError  # noqa: E402


def a_file(*paths: str) -> bytes:
    for path in paths:
        if os.path.exists(path):
            data = Path(path).read_bytes()
            if relocate.is_elf(data):
                return data
    pytest.skip(f"needs one of {', '.join(paths)} as an ELF file of x86_64 or aarch64")


LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")


@pytest.mark.parametrize(
    ("old", "new", "file", "made"),
    [
        (b"/usr/lib/x", b"/dev/c", b"", b"/dev/c////"),
        (b"/etc/ca-certificates", b"/dev/c", b"ca", b"/dev/c////////////ca"),
        (b"/abc", b"/xyz", b"", b"/xyz"),
    ],
)
def test_new_path_is_as_long_as_the_old(old: bytes, new: bytes, file: bytes, made: bytes) -> None:
    assert relocate.fill(old, new, file) == made
    assert len(made) == len(old)


def test_path_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        relocate.fill(b"/etc", b"/dev/crashcart")
    with pytest.raises(ValueError, match="longer than"):
        relocate.fill(b"/etc/ab", b"/dev/c", b"f")


@pytest.mark.parametrize("machine", [62, 183])
def test_every_replacement_keeps_the_length_and_stays_in_dev(machine: int) -> None:
    for old, new in relocate.replacements(machine):
        assert len(old) == len(new), old
        assert new.removeprefix(b"-").startswith(b"/dev/"), new


def test_program_gets_our_loader_and_keeps_its_length() -> None:
    data = a_file("/usr/bin/env", "/bin/ls")
    if b"ld-linux" not in data:
        pytest.skip("needs a dynamically linked program of glibc")
    made = relocate.elf(data, "/usr/bin/env")
    assert len(made) == len(data)
    assert b"/dev/crashcart/lib/ld.so\0" in made
    assert b"/lib64/ld-linux" not in made.replace(b".note", b"")


def test_loader_knows_no_other_directory_cache_or_preload() -> None:
    data = a_file(*LOADERS)
    if (
        b"/lib/" + {"x86_64": b"x86_64", "aarch64": b"aarch64"}.get(platform.machine(), b"") + b"-linux-gnu/"
        not in data
    ):
        pytest.skip("needs a loader as Debian builds it")
    made = relocate.loader(data, "/ld.so")
    assert len(made) == len(data)
    for gone in (b"/etc/ld.so.preload", b"\0/etc/ld.so.cache", b"\0/lib/\0/usr/lib/\0"):
        assert gone not in made
    assert b"/dev/crashcart/lib" in made


def test_loader_that_is_not_understood_is_refused() -> None:
    with pytest.raises(CrashcartError, match="is no loader that is understood"):
        relocate.loader(a_file("/usr/bin/env", "/bin/ls"), "/bin/ls")


def test_midst_of_a_longer_path_is_left_alone() -> None:
    made = bytearray(b"\0/opt/etc/passwd\0/etc/passwd\0")
    relocate._replace(made, b"/etc/passwd", b"/dev/.ccpwd")
    assert made == b"\0/opt/etc/passwd\0/dev/.ccpwd\0"


def test_script_gets_an_interpreter_of_the_image_or_is_dropped() -> None:
    has = frozenset({"sh", "bash"})
    assert relocate.script(b"#!/bin/sh -e\necho\n", has) == b"#!/dev/crashcart/bin/sh -e\necho\n"
    assert relocate.script(b"#! /usr/bin/env bash\n", has) == b"#!/dev/crashcart/bin/bash\n"
    assert relocate.script(b"#!/usr/bin/perl -w\n", has) is None
    assert relocate.script(b"#!\n", has) is None
