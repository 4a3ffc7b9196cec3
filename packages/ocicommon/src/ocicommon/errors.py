"""The exceptions of this package.

    OCIError (ValueError)
    ├── InvalidDigest       a string that is no digest
    ├── DigestMismatch      content that is not what its digest or size says
    ├── InvalidReference    a string that is no image reference
    ├── InvalidPlatform     a string that is no platform
    ├── InvalidDocument     a document that its specification refuses; knows line, column and member
    └── ConversionError     an image configuration that cannot become a runtime configuration

System calls fail with `ocicommon.linux.errors.SyscallError`, an `OSError`.
"""

from dataclasses import dataclass


class OCIError(ValueError):
    """Anything this package refuses, in one sentence."""


class InvalidDigest(OCIError):
    """A string that is no digest."""


class DigestMismatch(OCIError):
    """Content that differs from the digest or the size that was promised."""


class InvalidReference(OCIError):
    """A string that is no image reference."""


class InvalidPlatform(OCIError):
    """A string that is no platform."""


class ConversionError(OCIError):
    """An image configuration that cannot become a runtime configuration."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a document. Lines and columns count from 1; `member` is as in `linux.devices[0].path`."""

    line: int
    column: int
    member: str
    text: str


class InvalidDocument(OCIError):
    """A document that its specification refuses: `config.json:41:17 process.cwd: expected a string, got 1`."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        first = problems[0]
        member = f" {first.member}" if first.member else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{name}:{first.line}:{first.column}{member}: {first.text}{more}")
        self.name = name
        self.problems = problems
