"""Why a request has no answer."""

from dataclasses import dataclass


@dataclass(eq=False)
class NoReplyError(Exception):
    """A request has no answer; the message is for the user."""

    message: str
    advice: str = ""
    wait_s: float | None = None
    is_of_request: bool = False
    """Whether this request may be the cause; others may be answered."""
    pauses_all: bool = False
    """Whether the server wants no request at all for `wait_s` (429)."""
    address: str = ""
    """Address of the server that failed, if known."""

    def __str__(self) -> str:
        return self.message


class PassingError(NoReplyError):
    """A temporary failure: the same request may succeed later."""


class FinalError(NoReplyError):
    """A failure that concerns all requests."""
