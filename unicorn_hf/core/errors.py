"""The errors that a user can do something about. Anything else is a bug and keeps its traceback."""

import re

_CREDENTIALS = re.compile(r"(?<=://)\S+@")
"""User and password of a URL, which a message may repeat. Errors go to terminals, logs and state files."""
_HEAD_CHARS, _TAIL_CHARS = 3000, 1000
"""Of a message that is longer: what a file holds is shown in it, and may be of any length."""


class UnicornError(Exception):
    """An error with a message for a person and, where there is one, the thing to do about it.

    `exit_code` is what the command ends with; library users catch the class. Credentials of a URL become `***`.
    """

    exit_code = 1

    def __init__(self, message: str, advice: str = "") -> None:
        self.message = _CREDENTIALS.sub("***@", _bounded(message))
        self.advice = _CREDENTIALS.sub("***@", advice)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message

    def __reduce__(self) -> tuple[type["UnicornError"], tuple[object, ...]]:
        """Pickle by both arguments, so that an error raised in a worker process arrives whole."""
        return type(self), (self.message, self.advice)


class InputError(UnicornError):
    """What was asked for cannot be: a file, an option, a recipe. Nothing was written. Exit code 2."""

    exit_code = 2


class MissingPackageError(InputError):
    """A recipe takes a choice from another package, which is not installed here."""


class RunError(UnicornError):
    """The world did not play along: disk, network, engine, too many rejections. What is done is kept. Exit code 1."""


class EngineDiedError(RunError):
    """An engine is gone, and with it what it was asked. A new one may do, perhaps with less at once."""


def _bounded(message: str) -> str:
    left_out = len(message) - _HEAD_CHARS - _TAIL_CHARS
    if left_out <= 0:
        return message
    return f"{message[:_HEAD_CHARS]} [… {left_out:,} characters …] {message[-_TAIL_CHARS:]}"
