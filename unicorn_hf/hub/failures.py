"""What can go wrong between here and the Hub, told apart: what passes by itself, what needs the user, what is a bug."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from unicorn_hf.core.http import proxy_failure, wait_asked

LOG_IN = (
    "Log in with `hf auth login`, or set HF_TOKEN to a token that may write there "
    "(on the Hub: Settings, Access Tokens)."
)
CHECK_NETWORK = "See that HF_ENDPOINT and the network are right, or wait a while."
WAIT = "Wait a while."
# 404: what was just written is not seen yet, since nothing else is asked for; 408, 409: too slow, another operation
# going on; 412: someone else's commit came first.
_PASSING_STATUSES = frozenset({404, 408, 409, 412, 425, 429})


@dataclass(frozen=True)
class Failure:
    """A failure in words that hold neither a token nor a signed address."""

    reason: str
    advice: str
    passes: bool
    """Whether the same request may well succeed later."""
    wait_s: float | None = None
    """How long the Hub asked to be left alone."""


def hub_address() -> str:
    """The Hub's address as it may be shown: without the user name and password that HF_ENDPOINT may hold."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def diagnose(error: BaseException) -> Failure | None:
    """What `error` says about the Hub or the way to it; None where it says nothing of the kind and is to propagate."""
    from huggingface_hub.errors import HfHubHTTPError

    http_error = HfHubHTTPError.__mro__[1]  # of the library below the installed huggingface_hub: httpx or httpx2
    if problem := proxy_failure(error):
        return Failure(problem.message, problem.advice, passes=False)
    for cause in _causes(error):
        if response := getattr(cause, "response", None) if isinstance(cause, http_error) else None:
            message = response.headers.get("x-error-message") or getattr(cause, "server_message", "") or ""
            return _from_answer(response.status_code, str(response.url), response.headers, shown(message))
        if isinstance(cause, http_error) or _is_of_xet(cause):
            detail = shown(str(cause)) or type(cause).__name__
            return Failure(f"the Hub at {hub_address()} cannot be reached ({detail})", CHECK_NETWORK, passes=True)
        if isinstance(cause, json.JSONDecodeError):
            return Failure(f"what answers at {hub_address()} does not speak as a Hub does", CHECK_NETWORK, passes=True)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from; huggingface_hub wraps a failed upload into a RuntimeError."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_of_xet(error: BaseException) -> bool:
    """Xet's uploader tells what failed by Python's own errors. A broken pipe is someone's closed terminal."""
    if type(error).__module__.partition(".")[0] == "hf_xet":
        return True
    return isinstance(error, ConnectionError | TimeoutError) and not isinstance(error, BrokenPipeError)


def _from_answer(status: int, url: str, headers: Mapping[str, str], message: str) -> Failure:
    said = f"{status}: {message}" if message else f"status {status}"
    wait_s = wait_asked(headers)
    if status != 401 and not _is_hub(url):
        # The store behind the Hub: its addresses are signed for a while, and another attempt gets new ones.
        return Failure(f"the Hub's file store refuses an upload ({said})", WAIT, passes=True, wait_s=wait_s)
    if status == 401:
        return Failure(f"the Hub at {hub_address()} refuses the token ({said})", LOG_IN, passes=False)
    if status == 403:
        return Failure(f"the token may not do this on {hub_address()} ({said})", LOG_IN, passes=False)
    if status == 429:
        return Failure(f"the Hub asks for fewer requests ({said})", WAIT, passes=True, wait_s=wait_s)
    if status in _PASSING_STATUSES or status >= 500:
        return Failure(f"the Hub fails to answer ({said})", WAIT, passes=True, wait_s=wait_s)
    return Failure(f"the Hub refuses a request ({said})", "Mend what it names.", passes=False)


def _is_hub(url: str) -> bool:
    from huggingface_hub import constants

    return urlsplit(url).netloc.rpartition("@")[2] == urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2]


def shown(message: str) -> str:
    """One short line of it, without the token or the query of an address."""
    from huggingface_hub import get_token

    line = " ".join(message.split())
    if token := get_token():
        line = line.replace(token, "***")
    return re.sub(r"\?\S+", "", line)[:300]
