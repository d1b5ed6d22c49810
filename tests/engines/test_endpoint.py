"""A server as an engine: its address, its key, and the share of each worker."""

import pytest
from pydantic import ValidationError

from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.errors import InputError
from unicorn_hf.engines.endpoint import API_KEY, BASE_URL, EndpointEngine

KEY = "sk-marked-key-0123456789"


@pytest.mark.parametrize(("num_workers", "share"), [(1, 7), (2, 3), (7, 1), (50, 1), (0, 7)])
def test_workers_share_a_servers_concurrency(num_workers: int, share: int) -> None:
    engine = EndpointEngine(kind="endpoint", base_url="http://127.0.0.1/v1", model="m", concurrency=7)
    spec = resolve_generator(engine)
    one = spec.for_one_of(num_workers)
    assert one.engine == engine.model_copy(update={"concurrency": share})
    assert one.identity == spec.identity
    assert one.engine.partitions_at_once(2) == 4 + -(-share // 2)


@pytest.mark.parametrize("key", ["two words", "caf\u00e9", "a\x07b"])
def test_what_cannot_be_a_key_is_told_without_showing_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, key)
    with pytest.raises(InputError) as caught:
        resolve_generator(EndpointEngine(kind="endpoint", base_url="http://127.0.0.1", model="m"))
    assert API_KEY in str(caught.value)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:password@host/v1", "http://token@host/v1", "https://host/v1?key=password", "https://host/#password",
        "host:8000/v1", "ftp://host/v1", "http:///v1", "", (), ("http://host/v1", "http://user:password@host/v1"),
    ],
)  # fmt: skip
def test_an_address_with_secrets_or_that_is_none_is_refused(url: str | tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="base_url must"):
        EndpointEngine(kind="endpoint", base_url=url, model="m")


def test_the_environment_names_the_server_where_the_recipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EndpointEngine(kind="endpoint", model="m")
    monkeypatch.delenv(BASE_URL, raising=False)
    with pytest.raises(InputError, match="names no server") as caught:
        engine.with_address()
    assert "--base-url" in caught.value.advice
    assert BASE_URL in caught.value.advice
    monkeypatch.setenv(BASE_URL, "http://127.0.0.1:1/v1")
    assert engine.with_address().base_url == "http://127.0.0.1:1/v1"
    monkeypatch.setenv(BASE_URL, "http://127.0.0.1:1/v1, http://127.0.0.1:2/v1\nhttp://127.0.0.1:1/v1")
    assert engine.with_address().base_urls == ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    named = EndpointEngine(kind="endpoint", model="m", base_url="http://127.0.0.1:2/v1")
    assert named.with_address() is named
    monkeypatch.setenv(BASE_URL, "http://me:secret@127.0.0.1:1/v1")
    with pytest.raises(InputError) as caught:
        engine.with_address()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("https://example.org/v1", False),
        ("http://example.org/v1", True),
        ("http://10.0.0.7:8000/v1", True),
        (("http://127.0.0.1:8000/v1", "https://example.org/v1"), False),
        (("http://127.0.0.1:8000/v1", "http://10.0.0.7:8000/v1"), True),
    ],
)
def test_a_key_in_clear_text_to_another_machine_is_warned_of(
    base_url: str | tuple[str, ...], warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EndpointEngine(kind="endpoint", model="m", base_url=base_url)
    monkeypatch.setenv(API_KEY, KEY)
    notes = engine.notes(engine)
    assert bool(notes) == warned
    assert KEY not in "".join(notes)
    monkeypatch.delenv(API_KEY)
    assert engine.notes(engine) == []
