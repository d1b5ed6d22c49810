"""What HTTP servers say about waiting, and the proxies on the way to them."""

import os
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies

from unicorn_hf.core.errors import InputError

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_INSTALL_SOCKS = "pip install 'httpx[socks]'"


def wait_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds: what is left of the window in `RateLimit: "api";r=0;t=55`, or `Retry-After` (a number or a date)."""
    if window := re.search(r"r=0;t=(\d+)", headers.get("ratelimit", "").replace(" ", "")):
        return float(window[1])
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def proxy_problem() -> InputError | None:
    """Why no request can be sent through the proxies that the environment names; None where nothing speaks against it.

    httpx, below huggingface_hub, fails for it with a traceback, whatever the address that is asked.
    """
    proxies = getproxies()
    if "*" in (host.strip() for host in proxies.get("no", "").split(",")):
        return None
    for kind in ("http", "https", "all"):
        if (address := proxies.get(kind)) and (problem := _problem_of(address)):
            what, advice = problem
            return InputError(f"{_proxy_variable(kind)} names a proxy {what}", advice)
    return None


def proxy_failure(error: BaseException) -> InputError | None:
    """The same where `error` comes of it: raised below huggingface_hub, or a library like it, or from such an error."""
    cause: BaseException | None = error
    while cause is not None:
        trace = cause.__traceback__
        while trace is not None:
            if str(trace.tb_frame.f_globals.get("__name__")).startswith("httpx"):
                return proxy_problem()
            trace = trace.tb_next
        cause = cause.__cause__ or cause.__context__
    return None


def _problem_of(address: str) -> tuple[str, str] | None:
    """What is wrong with a proxy's address, without what may be a password in it, and what to do."""
    example = "It is an address like http://HOST:PORT or socks5://HOST:PORT. Correct it, or unset it."
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "whose address is none", example
    place = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    if parts.scheme not in _PROXY_SCHEMES and parts.scheme.startswith("socks"):
        return (
            f"of an unknown kind: {place}",
            f"Write socks5:// in place of {parts.scheme}:// (needs {_INSTALL_SOCKS}), or unset it.",
        )
    if parts.scheme not in _PROXY_SCHEMES:
        return f"of an unknown kind: {place}", example
    if not host or re.search(r"[^\w.:%-]", host) or re.search(r"\s", address):
        return "whose address is none", example
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        return f"that needs a package which is not installed: {place}", f"{_INSTALL_SOCKS}, or unset it."
    return None


def _proxy_variable(kind: str) -> str:
    names = (name for name in os.environ if name.lower() == f"{kind}_proxy")
    return next(names, f"the system's setting for {kind}")
