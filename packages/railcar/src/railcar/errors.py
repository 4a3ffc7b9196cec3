"""What railcar raises. Only `railcar.cli` prints an error and turns it into an exit code.

RailcarError                a sentence for the user, and the exit code of the command
+-- UsageError              the command line cannot be understood (exit code 1)
+-- ConfigError             config.json, or another document, cannot be used
+-- ContainerMissing        no container of that id: the words that engines look for
+-- StepError               a step of a container's creation failed: step, subject, errno, hint
"""

from os import strerror

#: The wording of Go's runtimes where it differs from libc's: engines compare these texts.
_WORDS = {1: "operation not permitted", 2: "no such file or directory", 13: "permission denied", 8: "exec format error"}


def errno_text(number: int) -> str:
    """The English words for `number` in the lower case that engines search for."""
    if number in _WORDS:
        return _WORDS[number]
    text = strerror(number)
    return text[:1].lower() + text[1:]


class RailcarError(Exception):
    """One clear sentence; `code` is what the command exits with."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class UsageError(RailcarError):
    """The command line cannot be understood."""


class ConfigError(RailcarError):
    """A document (config.json, process.json, resources) is malformed or asks for what cannot be."""


class ContainerMissing(RailcarError):
    """No container of that id under the root directory."""

    def __init__(self, container_id: str, root: str) -> None:
        super().__init__(f'no container "{container_id}" in {root}: container does not exist')


class StepError(RailcarError):
    """A step failed. `step` names it, `subject` is what it worked on, `errno` is 0 where no system call failed.

    The text ends with the errno's words: engines map endings like "permission denied" to exit codes.
    """

    def __init__(self, step: str, subject: str, errno: int = 0, hint: str = "", code: int = 1) -> None:
        self.step, self.subject, self.errno, self.hint = step, subject, errno, hint
        parts = [step]
        if subject:
            parts.append(subject)
        if hint:
            parts.append(hint)
        if errno:
            parts.append(errno_text(errno))
        super().__init__(": ".join(parts), code)
