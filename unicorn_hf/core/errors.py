"""Errors that a user can fix. All other errors are bugs and keep their traceback."""

import re

_CREDENTIALS = re.compile(r"(?<=://)\S+@")
"""User and password in a URL. Messages go to terminals, logs and state files."""
_HEAD_CHARS, _TAIL_CHARS = 3000, 1000
"""Longer messages are cut to these: they can quote the content of a file."""


class UnicornError(Exception):
    """An error with a message and, if possible, advice.

    `exit_code` is the exit code of the command; library users catch the class. Credentials in URLs become `***`.
    """

    exit_code = 1

    def __init__(self, message: str, advice: str = "") -> None:
        self.message = _CREDENTIALS.sub("***@", _bounded(message))
        self.advice = _CREDENTIALS.sub("***@", advice)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message

    def __reduce__(self) -> tuple[type["UnicornError"], tuple[object, ...]]:
        """Pickle both arguments, so that an error raised in a worker process arrives complete."""
        return type(self), (self.message, self.advice)


class InputError(UnicornError):
    """Invalid input: a file, an option, a recipe. Nothing was written. Exit code 2."""

    exit_code = 2


class MissingPackageError(InputError):
    """A recipe uses a choice of another package, which is not installed."""


class RunError(UnicornError):
    """A failure during a run: disk, network, engine, too many rejections. Finished work is kept. Exit code 1."""


class WaitingError(UnicornError):
    """No failure: the build waits for batches on a server, and goes on when it is run again. Exit code 3."""

    exit_code = 3


class EngineDiedError(RunError):
    """An engine died with its pending requests. A new one may succeed, perhaps with smaller batches."""


def _bounded(message: str) -> str:
    left_out = len(message) - _HEAD_CHARS - _TAIL_CHARS
    if left_out <= 0:
        return message
    return f"{message[:_HEAD_CHARS]} [… {left_out:,} characters …] {message[-_TAIL_CHARS:]}"
