"""A model on a server."""

import ipaddress
import math
import os
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, NonNegativeInt, PositiveInt, ValidationError, model_validator

from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.engine import AnyEngine, GeneratorSpec
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.section import Strings

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextGenerator
    from unicorn_hf.core.recipe import Recipe

API_KEY = "UNICORN_HF_API_KEY"
BASE_URL = "UNICORN_HF_BASE_URL"


@ENGINES.register("endpoint")
class EndpointEngine(AnyEngine):
    """A server with OpenAI's chat completions: vLLM, TGI, llama.cpp, Ollama, a hosted one.

    Its key, if it takes one, is read from the environment variable UNICORN_HF_API_KEY and from nowhere else. Stored
    answers are found by the model's name and `extra_body`, not by the address, which may change: give another model
    another name.
    """

    kind: Literal["endpoint"]
    base_url: str | Strings | None = None
    """Where the server's API begins, mostly `http://HOST:PORT/v1`; without it, the variable UNICORN_HF_BASE_URL says.

    Several servers of the same model are a list: they share the requests, and one that fails is left alone for a while.
    It is not published, and never taken from a published recipe: the key goes there.
    """
    model: str
    """The name that the server knows it by."""
    license: str | None = None
    """The model's licence, for the card."""
    concurrency: PositiveInt = 32
    """Requests in flight at once, of all workers together: each has its share, and at least one.

    On a cluster that runs already, those workers count that are there when the build starts, or `cluster.workers`.
    """
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """A request that is not answered by then is asked again."""
    retries: NonNegativeInt = 8
    """How often a request that failed in passing is asked again."""
    json_schema: Literal["openai", "tgi", "none"] = "openai"
    """How the server is told to hold answers to a JSON schema: OpenAI's `response_format`, or TGI's, which differs.

    `none`: it is not told, and what is no JSON is rejected.
    """
    system_role: bool = True
    """False for a model that refuses system prompts: they are put at the head of the first user turn."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Sent with each request besides, e.g. `{chat_template_kwargs: {enable_thinking: false}}` to a vLLM server.

    It overrides what is sent otherwise; null leaves a field away. It is published: no secrets.
    """

    is_shared = True
    options = {"base_url": "--base-url http://HOST:PORT/v1", "model": "--llm MODEL"}
    # What a server calls its model is its own business, and no file here.
    taken_keys = ("model", "license", "json_schema", "system_role")
    # The key goes to the first, the second changes what is sent there, the others are for another's server.
    left_keys = ("base_url", "extra_body", "concurrency", "timeout_s", "retries")
    text_keys = ("extra_body",)

    @model_validator(mode="after")
    def _an_address_without_secrets(self) -> Self:
        # A validator of the section, since one of the field would have its value shown.
        if self.base_url is not None and not self.base_urls:
            raise ValueError("base_url is no address: the list is empty")
        for parts in map(urlsplit, self.base_urls):
            if "@" in parts.netloc or parts.query or parts.fragment:
                raise ValueError(
                    f"base_url is an address alone: no user, password or query. The key goes into {API_KEY}"
                )
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("base_url is no address: it begins with http:// or https:// and names a host")
        return self

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The addresses, each once; none where the environment names them."""
        given = (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()
        return tuple(dict.fromkeys(given))

    def with_address(self) -> Self:
        """The engine with the address of its server, or of several: the recipe's, or else the environment's.

        Raises:
            InputError: neither names one.
        """
        if self.base_urls:
            return self
        named = tuple(os.environ.get(BASE_URL, "").replace(",", " ").split())
        if not named:
            raise InputError(
                "the recipe names no server for its model",
                f"Name it: --base-url http://HOST:PORT/v1, or set {BASE_URL}.",
            )
        try:
            base_url = named[0] if len(named) == 1 else named
            return type(self)(**self.model_dump(exclude={"base_url"}), base_url=base_url)
        except ValidationError as error:
            # Without the value, which may hold a secret.
            raise InputError(f"{BASE_URL}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None

    def check(self, recipe: "Recipe") -> None:
        from unicorn_hf.core.http import proxy_problem

        if problem := proxy_problem():
            raise problem

    def resolve(self) -> GeneratorSpec:
        api_key()
        engine = self.with_address()
        asked = engine.model_dump(mode="json", include={"model", "json_schema", "system_role", "extra_body"})
        return GeneratorSpec(engine, fingerprint("endpoint", asked), engine.model)

    def notes(self, asked: Self) -> list[str]:
        """A warning, where the key would go to another machine in clear text."""
        parts = [parts for parts in map(urlsplit, self.base_urls) if parts.scheme != "https"]
        hosts = [host for part in parts if not _is_loopback(host := part.hostname or "")]
        if not hosts or not api_key():
            return []
        return [
            f"warning: {API_KEY} goes to {' and '.join(hosts)} unencrypted, and whoever is on the way can read it:"
            " use https://"
        ]

    def published(self) -> Self:
        return super().published().model_copy(update={"base_url": None})

    def for_one_of(self, num_workers: int) -> Self:
        """Of `concurrency` each worker has its share, and at least 1."""
        return self.model_copy(update={"concurrency": max(1, self.concurrency // max(1, num_workers))})

    def workers_on_cpu(self, num_cores: int, num_fitting: int) -> int:
        return max(1, min(self.concurrency, num_fitting))

    def partitions_at_once(self, partition_rows: int) -> int:
        # The last answers may be long in coming, those that are asked for again: more partitions are in flight then.
        return 4 + math.ceil(self.concurrency / partition_rows)

    def open(self, model: str) -> "TextGenerator":
        from unicorn_hf.engines.generators.endpoint import EndpointGenerator

        return EndpointGenerator(self)


def api_key() -> str | None:
    """The key for the server, from the environment and from nowhere else.

    Raises:
        InputError: it cannot be a key.
    """
    key = os.environ.get(API_KEY, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise InputError(f"{API_KEY} holds characters that no key has", "It is one word of plain ASCII.")
    return key or None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
