"""One model server over HTTP: its connections, its proxy, and its pauses after failures."""

import asyncio
import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.http import proxy_for, proxy_problem
from unicorn_hf.engines.endpoint import api_key
from unicorn_hf.engines.generators.failures import PassingError
from unicorn_hf.engines.generators.values import shown
from unicorn_hf.engines.generators.wordings import NOT_THERE, connection_advice

if TYPE_CHECKING:
    import aiohttp

FAILURES_IN_A_ROW = 8
"""Failures in a row that pause all requests to a server; at least as many as it has in flight.

Fewer may concern only these requests: a server refuses immediately and answers later, so that refusals come in a row
although it answers all others.
"""
_CONNECT_S = 30.0
_MOST_BYTES = 64 << 20
_MOST_HEADER = 2**16
"""Bytes of a header: some gateways send longer ones than aiohttp takes by default."""
_BACKOFF_S, _LIMITED_S, _PAUSE_S, _LONGEST_S = 0.1, 1.0, 0.5, 60.0


def backoff(num_failures: int, *, is_limited: bool = False) -> float:
    """Seconds before a request's next attempt: random, so that requests that failed together are not retried together.

    It starts small: an overloaded server is paused as a whole, and another server need not wait. For a limit on the
    rate of requests it is longer: the limit is usually per minute, and the server answers others meanwhile.
    """
    return random.uniform(0, _doubled(_LIMITED_S if is_limited else _BACKOFF_S, num_failures))


def _doubled(seconds: float, times: int) -> float:
    return min(_LONGEST_S, seconds * 2.0 ** min(times, 30))


class Server:
    """A server, by the base URL of its API. Create and use it in one event loop.

    A server is paused when it asks for it (429 with `Retry-After` or `RateLimit`), for that time; or when all requests
    fail (see `FAILURES_IN_A_ROW`), for a time that doubles until it answers again.

    Raises:
        InputError: the key or a proxy in the environment is invalid.
    """

    def __init__(self, address: str, concurrency: int, timeout_s: float) -> None:
        import aiohttp

        if problem := proxy_problem():
            raise problem
        self._key = api_key()
        self.address = address.rstrip("/")
        self.num_in_flight = 0
        self.paused_until = 0.0
        """By the clock of the event loop."""
        self._num_in_a_row = 0
        self._num_pauses = 0
        self._timeout_s = timeout_s
        proxy = proxy_for(address)
        is_socks = bool(proxy and proxy.startswith("socks"))
        self._options: dict[str, Any] = {
            "allow_redirects": False,
            "proxy": None if is_socks else proxy,
        }
        # Not set on the session: aiohttp sends its headers to the proxy too.
        self._authorization = {"authorization": f"Bearer {self._key}"} if self._key else {}
        limits: dict[str, Any] = {"limit": concurrency, "ttl_dns_cache": 300, "ssl": _certificates(address, proxy)}
        self._session = aiohttp.ClientSession(
            connector=_socks_connector(proxy, **limits) if is_socks and proxy else aiohttp.TCPConnector(**limits),
            # Send no cookies back: they could bind all requests to one server behind a load balancer.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_S, timeout_s)),
            max_field_size=_MOST_HEADER,
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        most_bytes: int = _MOST_BYTES,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request, with further headers; return status, headers and body of the reply.

        The path is relative to the address, or a whole URL: another server does not get the key.

        Raises:
            PassingError: no reply arrived, or one with more than `most_bytes`.
        """
        import aiohttp

        self.num_in_flight += 1
        url = path if "://" in path else self.address + path
        own = self._authorization if url.startswith(f"{self.address}/") else {}
        options = self._options | {"headers": {"content-type": "application/json", **own, **headers}}
        try:
            async with self._session.request(method, url, data=body, **options) as response:
                content = bytearray()
                async for part in response.content.iter_any():
                    content += part
                    if len(content) > most_bytes:
                        raise PassingError(f"its reply has more than {most_bytes >> 20:,} MiB", is_of_request=True)
                # A server may repeat the key.
                masked = content.replace(self._key.encode(), b"***") if self._key else content
                return response.status, response.headers, bytes(masked)
        except aiohttp.ConnectionTimeoutError:
            raise PassingError(f"no connection in {min(_CONNECT_S, self._timeout_s):g} s", NOT_THERE) from None
        except TimeoutError:
            raise PassingError(f"no answer in {self._timeout_s:g} s (engine.timeout_s)") from None
        except (aiohttp.ClientError, OSError) as error:
            said = _said(error)
            raise PassingError(said, connection_advice(said)) from None
        finally:
            self.num_in_flight -= 1

    @property
    def is_suspect(self) -> bool:
        """Whether it failed so often that other servers are preferred."""
        return self._num_in_a_row >= max(FAILURES_IN_A_ROW, self.num_in_flight)

    def answered(self) -> None:
        self._num_in_a_row = self._num_pauses = 0

    def failed(self, failure: PassingError) -> None:
        self._num_in_a_row += 1
        now = asyncio.get_running_loop().time()
        if failure.pauses_all and failure.wait_s is not None:
            pause_s = failure.wait_s
        elif self.is_suspect and now >= self.paused_until:
            # One pause for all requests that were in flight together.
            pause_s = _doubled(_PAUSE_S, self._num_pauses) if failure.wait_s is None else failure.wait_s
            self._num_pauses += 1
        else:
            return
        self.paused_until = max(self.paused_until, now + pause_s)


def _certificates(address: str, proxy: str | None) -> Any:
    """The certificates that huggingface_hub's HTTP library trusts; it respects SSL_CERT_FILE and SSL_CERT_DIR."""
    if not any(url and url.startswith("https:") for url in (address, proxy)):
        return True
    from importlib import import_module

    from huggingface_hub.errors import HfHubHTTPError

    # httpx or httpx2, depending on the installed huggingface_hub.
    return import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0]).create_ssl_context()


def _socks_connector(proxy: str, **options: Any) -> "aiohttp.BaseConnector":
    from aiohttp_socks import ProxyConnector

    # The proxy resolves host names, as with httpx for both schemes.
    connector: aiohttp.BaseConnector = ProxyConnector.from_url(
        proxy.replace("socks5h://", "socks5://", 1), rdns=True, **options
    )
    return connector


def _said(error: Exception) -> str:
    """The error in one line; for a connection, only the system's message."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return shown(f"{type(error).__name__}: {cause}")
