"""Every fatal error of smith, and its exit code. Only the command line prints one and exits.

SmithError             1   the build or the question failed
  InputError           1   what was read is broken or unsafe: an image, a package, an ELF file
  VerificationError    3   a signature, digest or promise does not hold
  ConfigError          2   smith.yaml says something that smith does not understand
  UsageError           2   the command line does
  MissingToolError     4   an outside program or file that this needs is not there
"""


class SmithError(Exception):
    """One sentence for the person at the terminal: the thing, the value, the way out."""

    code = 1

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InputError(SmithError):
    """An image, archive, package or file that smith was given is broken or unsafe."""


class VerificationError(SmithError):
    """A digest, a signature or one of the promises of a microcontainer does not hold."""

    code = 3


class ConfigError(SmithError):
    """smith.yaml is wrong; the text starts with file:line:column."""

    code = 2


class UsageError(SmithError):
    """The command line is wrong."""

    code = 2


class MissingToolError(SmithError):
    """Another program or a file of the system is needed and absent."""

    code = 4
