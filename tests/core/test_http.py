"""A proxy that cannot be used is named, with what to do and without its password."""

import importlib.util
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.builds import unicorn
from unicorn_hf.core.http import proxy_failure, proxy_for, proxy_problem, wait_asked

SOCKS = "pip install 'unicorn-hf[socks]'"
BAD = {
    "socks5, no package": ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, ("ALL_PROXY", SOCKS)),
    "socks5h, no package": ({"https_proxy": "socks5h://127.0.0.1:1080"}, ("https_proxy", SOCKS)),
    "socks": ({"ALL_PROXY": "socks://127.0.0.1:1080/"}, ("ALL_PROXY", "socks5:// instead of socks://")),
    "socks4": ({"HTTPS_PROXY": "socks4://127.0.0.1:1080"}, ("HTTPS_PROXY", "socks5:// instead of socks4://")),
    "another kind": ({"HTTP_PROXY": "ftp://127.0.0.1:21"}, ("HTTP_PROXY", "http://HOST:PORT")),
    "a port that is none": ({"all_proxy": "http://127.0.0.1:port"}, ("all_proxy", "http://HOST:PORT")),
    "a port that is too large": ({"HTTPS_PROXY": "http://127.0.0.1:99999"}, ("HTTPS_PROXY", "http://HOST:PORT")),
    "no host": ({"HTTPS_PROXY": "http://"}, ("HTTPS_PROXY", "http://HOST:PORT")),
    "a space": ({"HTTPS_PROXY": "http://my proxy:3128"}, ("HTTPS_PROXY", "http://HOST:PORT")),
    "an open bracket": ({"HTTPS_PROXY": "http://[::1:3128"}, ("HTTPS_PROXY", "http://HOST:PORT")),
    "another host goes without": ({"ALL_PROXY": "socks://h:1", "NO_PROXY": "127.0.0.1"}, ("ALL_PROXY", "socks5")),
    "a password": ({"HTTPS_PROXY": "socks4://user:pass-word@127.0.0.1:1080"}, ("HTTPS_PROXY", "socks5")),
}  # fmt: skip
GOOD: tuple[dict[str, str], ...] = (
    {},
    {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "localhost"},
    {"HTTP_PROXY": "proxy.example:3128"},
    {"HTTP_PROXY": "http://user:password@proxy.example"},
    {"ALL_PROXY": "http://[::1]:3128"},
    {"ALL_PROXY": "socks://127.0.0.1:1", "NO_PROXY": "*"},
    {"FTP_PROXY": "socks://127.0.0.1:1"},
    {"ALL_PROXY": ""},
)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("case", BAD)
def test_a_proxy_that_cannot_be_used(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, told = BAD[case]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    problem = proxy_problem()
    assert problem
    assert all(word in str(problem) for word in told)
    assert "pass-word" not in str(problem)


@pytest.mark.parametrize("case", ["socks5, no package", "socks", "another kind", "a port that is none", "a password"])
def test_the_librarys_failure_for_it_is_known(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import _http

    for name, value in BAD[case][0].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Exception, match=r"(?i)proxy|port|socks") as caught:
        _http.default_client_factory()
    assert str(proxy_failure(caught.value)) == str(proxy_problem())


@pytest.mark.parametrize("variables", GOOD, ids=str)
def test_a_proxy_that_can(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import _http

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_problem() is None
    _http.default_client_factory().close()


def test_a_socks_proxy_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "unicorn_hf.core.http.find_spec", lambda name: name in ("socksio", "aiohttp_socks") or real(name)
    )
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    assert proxy_problem() is None


PROXY, OTHER = "http://proxy.example:3128", "http://other.example:3128"
ROUTES: tuple[dict[str, str], ...] = (
    {},
    {"HTTP_PROXY": PROXY},
    {"HTTPS_PROXY": PROXY},
    {"ALL_PROXY": PROXY},
    {"HTTPS_PROXY": PROXY, "ALL_PROXY": OTHER},
    {"http_proxy": PROXY, "HTTP_PROXY": OTHER},
    {"HTTP_PROXY": "", "ALL_PROXY": PROXY},
    {"ALL_PROXY": "proxy.example:3128"},
    {"ALL_PROXY": "http://user:pass%20word@proxy.example:3128"},
    {"ALL_PROXY": "https://proxy.example:3128"},
    {"ALL_PROXY": PROXY, "no_proxy": "example.com"},
    *(
        {"HTTP_PROXY": PROXY, "HTTPS_PROXY": OTHER, "NO_PROXY": exempt}
        for exempt in (
            "*", "localhost", "LOCALHOST", "example.com", "Example.com", ".example.com", "*.example.com",
            "*example.com", "127.0.0.1", "127.0.0.0/8", "10.0.0.0/8, localhost", "10.1.2.3/16", "::1", "fd00::/8",
            "[::1]", "[::1]:8000",
            "[fd00::]/8", "127.0.0.1:8000", "127.0.0.1:9", "localhost:8000", "example.com:443", "example.com:8443",
            "http://example.com", "https://example.com", "all://example.com", "https://example.com:8443", "https://",
            "com", "ample.com", "other.org", "a, ,b", "x,example.com,y", "not/a/host", "10.0.0.0/99",
        )
    ),
)  # fmt: skip
URLS = (
    "http://localhost:8000/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1", "http://[fd00::7]/v1",
    "http://10.1.2.3/v1", "http://10.2.2.3:80/v1", "https://example.com/v1", "https://example.com:443/v1",
    "https://example.com:8443/v1", "https://api.EXAMPLE.com/v1", "http://api.example.com/v1", "http://badexample.com/v1",
    "http://a.localhost/v1",
)  # fmt: skip


@pytest.mark.parametrize("variables", ROUTES, ids=str)
def test_a_request_goes_the_way_that_the_hubs_library_goes(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.utils import _http

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = _http.default_client_factory()
    url_type = type(client.base_url)

    def its_way(url: str) -> str | None:
        transport: Any = client._transport_for_url(url_type(url))
        if transport is client._transport:
            return None
        proxy, credentials = transport._pool._proxy_url, transport._pool._proxy_headers
        return f"{proxy.scheme.decode()}://{proxy.host.decode()}:{proxy.port}{' with a password' * bool(credentials)}"

    def our_way(url: str) -> str | None:
        proxy = proxy_for(url)
        parts = urlsplit(proxy or "")
        return proxy and f"{parts.scheme}://{parts.hostname}:{parts.port}{' with a password' * bool(parts.username)}"

    ways = {url: its_way(url) for url in URLS}
    client.close()
    assert {url: our_way(url) for url in URLS} == ways


def test_another_error_is_not_the_proxys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    with pytest.raises(ValueError) as caught:
        int("x")
    assert proxy_failure(caught.value) is None


COMMANDS: dict[str, list[Any]] = {
    "push": ["push", "set", "org/name"],
    "a server": ["build", "demo", "--engine", "endpoint", "--base-url", "http://127.0.0.1:9/v1", "--llm", "m"],
    "a set of the Hub": ["inspect", "org/name"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_with_one_message(command: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    environment = {"ALL_PROXY": "socks5://me:pass-word@127.0.0.1:1080", "HF_TOKEN": "hf_x", "HF_HUB_OFFLINE": "0"}
    done = unicorn(*COMMANDS[command], cwd=tmp_path, **environment)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "pass-word" not in done.stdout + done.stderr
    if command != "push":  # It looks at the folder first.
        assert "ALL_PROXY" in done.stderr
        assert SOCKS in done.stderr


def test_the_doctor_lists_it(tmp_path: Path) -> None:
    server = ["engine: {kind: endpoint, base_url: 'http://127.0.0.1:9/v1', model: m}", "captions: {num: 4}"]
    rest = ["instructions: {num: 0}", "representations: {encoder: 'hashing:16'}"]
    (tmp_path / "seeds.txt").write_text("a dog\n")
    seeds = "seeds: {sources: [{kind: file, path: seeds.txt}]}"
    (tmp_path / "served.yaml").write_text("\n".join([*server, *rest, seeds]))
    done = unicorn("doctor", "served.yaml", cwd=tmp_path, ALL_PROXY="socks5://me:pass-word@127.0.0.1:1080")
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert done.stdout.count("ALL_PROXY names a proxy that needs a package") == 1
    assert SOCKS in done.stdout
    assert "pass-word" not in done.stdout


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        *(
            ({"retry-after": value}, None)
            for value in ("soon", "-5", "nan", "\u00b2", "", "Wed, 21 Oct 99999 07:28:00 GMT")
        ),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_asked(headers) == seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Rate limit reached. Please try again in 1m7.66s. Visit us.", 67.66),
        ("Please try again in 250ms.", 0.25),
        ("Please retry after 20 seconds.", 20.0),
        ('{"retryDelay": "37s"}', 37.0),
        ('{"error": "Model is loading", "estimated_time": 20.0}', 20.0),
        ("Please try again later.", None),
    ],
)
def test_how_long_a_servers_words_ask_to_wait(said: str, seconds: float | None) -> None:
    assert wait_asked({}, said) == seconds
    assert wait_asked({"retry-after": "3"}, said) == 3
