"""Classify failures of requests to the Hub: transient ones, problems for the user, and bugs."""

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.http import proxy_failure, wait_asked

LOG_IN = (
    "Log in with `hf auth login`, or set HF_TOKEN to a token with write access (on the Hub: Settings, Access Tokens)."
)
CHECK_NETWORK = "Check HF_ENDPOINT and the network, or try again later."
WAIT = "Try again later."
# 404: a recent write is not visible yet (all requested objects exist); 408, 409: too slow, another operation in
# progress; 412: another commit came first.
_PASSING_STATUSES = frozenset({404, 408, 409, 412, 425, 429})


class HubError(RunError):
    """A failure of the Hub or of the way to it; its message has no tokens and signed URLs."""

    def __init__(self, message: str, advice: str, *, passes: bool = False, wait_s: float | None = None) -> None:
        super().__init__(message, advice)
        self.passes = passes
        """Whether the same request may succeed later."""
        self.wait_s = wait_s
        """The wait that the Hub requested."""


def hub_address() -> str:
    """The Hub's URL for messages, without the user name and password that HF_ENDPOINT may contain."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def diagnose(error: BaseException) -> HubError | None:
    """Return the failure of the Hub or the network behind `error`; None for other errors, which must propagate."""
    from huggingface_hub.errors import HfHubHTTPError

    http_error = HfHubHTTPError.__mro__[1]  # from the HTTP library of huggingface_hub: httpx or httpx2
    if problem := proxy_failure(error):
        return HubError(problem.message, problem.advice)
    for cause in _causes(error):
        if response := getattr(cause, "response", None) if isinstance(cause, http_error) else None:
            message = response.headers.get("x-error-message") or getattr(cause, "server_message", "") or ""
            return _from_answer(response.status_code, str(response.url), response.headers, shown(message))
        if isinstance(cause, http_error) or _is_of_xet(cause):
            detail = shown(str(cause)) or type(cause).__name__
            return HubError(f"the Hub at {hub_address()} cannot be reached ({detail})", CHECK_NETWORK, passes=True)
        if isinstance(cause, json.JSONDecodeError):
            return HubError(f"the server at {hub_address()} does not answer like a Hub", CHECK_NETWORK, passes=True)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes; huggingface_hub wraps a failed upload in a RuntimeError."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_of_xet(error: BaseException) -> bool:
    """Whether Xet's uploader raised the error: it uses Python's own errors. A broken pipe is a closed terminal."""
    if type(error).__module__.partition(".")[0] == "hf_xet":
        return True
    return isinstance(error, ConnectionError | TimeoutError) and not isinstance(error, BrokenPipeError)


def _from_answer(status: int, url: str, headers: Mapping[str, str], message: str) -> HubError:
    said = f"{status}: {message}" if message else f"status {status}"
    wait_s = wait_asked(headers)
    if status != 401 and not _is_hub(url):
        # The file store behind the Hub: its signed URLs expire, and a retry gets new ones.
        return HubError(f"the Hub's file store refuses an upload ({said})", WAIT, passes=True, wait_s=wait_s)
    if status == 401:
        return HubError(f"the Hub at {hub_address()} refuses the token ({said})", LOG_IN)
    if status == 403:
        return HubError(f"the token has no right for this on {hub_address()} ({said})", LOG_IN)
    if status == 429:
        return HubError(f"the Hub limits the request rate ({said})", WAIT, passes=True, wait_s=wait_s)
    if status in _PASSING_STATUSES or status >= 500:
        return HubError(f"the Hub fails to answer ({said})", WAIT, passes=True, wait_s=wait_s)
    return HubError(f"the Hub refuses a request ({said})", "Fix the problem that it names.")


def _is_hub(url: str) -> bool:
    from huggingface_hub import constants

    return urlsplit(url).netloc.rpartition("@")[2] == urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2]


def shown(message: str) -> str:
    """Return one short line of the message, without the token and without queries of URLs."""
    from huggingface_hub import get_token

    line = " ".join(message.split())
    if token := get_token():
        line = line.replace(token, "***")
    return re.sub(r"\?\S+", "", line)[:300]
