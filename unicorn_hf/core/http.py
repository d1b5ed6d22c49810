"""HTTP: wait times that servers request, and proxies."""

import os
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from traceback import walk_tb
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from unicorn_hf.core.errors import InputError

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_INSTALL_SOCKS = "pip install 'unicorn-hf[socks]'"
_SOCKS_MODULES = ("aiohttp_socks", "socksio")
"""For the client of model servers, and for huggingface_hub."""
_EXEMPT = re.compile(
    r"(?:(?P<scheme>[a-z]*)://)?(?P<host>\[[^\]]*\]|[^:/\[\]]*)(?::(?P<port>\d+))?(?:/(?P<bits>\d+))?/?", re.IGNORECASE
)
"""An entry of NO_PROXY that is no bare IPv6 address: scheme, host, port, network bits; only the host is required."""
_WAIT_SAID = re.compile(
    r"(?:retry_?delay|retry[_-]?after|estimated_time|(?:try again|retry) (?:in|after))[\"': ]*"
    r"(\d(?:[\d.hms]*[\dhms])?)",
    re.IGNORECASE | re.ASCII,
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)(m?s)?)?", re.ASCII)


def wait_asked(headers: Mapping[str, str], said: str = "") -> float | None:
    """Seconds that a server asks to wait, by its headers or else by the words of its reply; None if it does not say.

    Reads `RateLimit: "api";r=0;t=55`, `Retry-After-Ms`, `Retry-After` (a number, a duration or a date), and words such
    as `Please try again in 1m7.5s` and `"retryDelay": "37s"`.
    """
    window = re.search(r"r=0;t=(\d+)", headers.get("ratelimit", "").replace(" ", ""))
    told = [window[1]] if window else []
    told += [f"{headers.get('retry-after-ms')}ms", headers.get("retry-after", ""), *_WAIT_SAID.findall(said)]
    return next((wait_s for text in told if (wait_s := _seconds(text)) is not None), None)


def _seconds(text: str) -> float | None:
    """A duration in seconds, or the time until a date, at least 0; None if the text is neither."""
    match = _DURATION.fullmatch(text.strip())
    if match and match.group():
        hours, minutes, seconds = (float(number or 0) for number in match.groups()[:3])
        return 3600 * hours + 60 * minutes + seconds / (1000 if match[4] == "ms" else 1)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def proxy_for(url: str) -> str | None:
    """The proxy for a URL from the environment variables, or None.

    Follows the rules of httpx, so that requests to model servers and to the Hub use the same proxy: HTTP_PROXY or
    HTTPS_PROXY by the URL's scheme, else ALL_PROXY, unless NO_PROXY has a name, an address, a network (`10.0.0.0/8`),
    `HOST:PORT` or `*` that covers it.
    """
    proxies, parts = getproxies(), urlsplit(url)
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or any(_is_exempt(entry.strip(), parts) for entry in proxies.get("no", "").split(",")):
        return None
    return address if "://" in address else f"http://{address}"


def _is_exempt(entry: str, url: SplitResult) -> bool:
    host = url.hostname or ""
    if not entry or entry == "*":
        return bool(entry)
    match = _EXEMPT.fullmatch(entry)
    if not match:
        return _is_address_in(host, entry)
    scheme, name, port, bits = match["scheme"], match["host"].strip("[]").lower(), match["port"], match["bits"]
    # As in httpx, a URL with the default port of its scheme has no port.
    own_port = None if url.port == {"http": 80, "https": 443}.get(url.scheme) else url.port
    if scheme not in (None, "all", url.scheme) or (port and int(port) != own_port):
        return False
    if bits:
        return _is_address_in(host, f"{name}/{bits}")
    if scheme is None and name != "localhost" and not name.startswith("*.") and match["host"][:1] != "[":
        name = f"*{name}"
    if name.startswith("*."):
        return host.endswith(name[1:]) and host != name[1:]
    return name in ("", "*", host) or (name.startswith("*") and f".{host}".endswith(f".{name[1:]}"))


def _is_address_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def proxy_problem() -> InputError | None:
    """The error in the environment's proxy settings, or None.

    httpx, which huggingface_hub uses, fails for it with a traceback, for any URL.
    """
    proxies = getproxies()
    if "*" in (host.strip() for host in proxies.get("no", "").split(",")):
        return None
    for kind in ("http", "https", "all"):
        if (address := proxies.get(kind)) and (problem := _problem_of(address)):
            description, advice = problem
            variables = (name for name in os.environ if name.lower() == f"{kind}_proxy")
            place = next(variables, f"the system's setting for {kind}")
            return InputError(f"{place} names a proxy {description}", advice)
    return None


def proxy_failure(error: BaseException) -> InputError | None:
    """The result of `proxy_problem` if `error` or one of its causes was raised in httpx; else None."""
    cause: BaseException | None = error
    while cause is not None:
        modules = (str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(cause.__traceback__))
        if any(name.startswith("httpx") for name in modules):
            return proxy_problem()
        cause = cause.__cause__ or cause.__context__
    return None


def _problem_of(address: str) -> tuple[str, str] | None:
    """The error in a proxy's URL, without its password, and advice; None if the URL is valid."""
    example = "Set it to a URL like http://HOST:PORT or socks5://HOST:PORT, or unset it."
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "with an invalid URL", example
    place = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    is_socks = parts.scheme.startswith("socks")
    if parts.scheme not in _PROXY_SCHEMES:
        socks = f"Write socks5:// instead of {parts.scheme}:// (needs {_INSTALL_SOCKS}), or unset it."
        return f"of an unknown kind: {place}", socks if is_socks else example
    if not host or re.search(r"[^\w.:%-]", host) or re.search(r"\s", address):
        return "with an invalid URL", example
    if is_socks and not all(find_spec(module) for module in _SOCKS_MODULES):
        return f"that needs a package that is not installed: {place}", f"Run {_INSTALL_SOCKS}, or unset it."
    return None
