"""A model on a server."""

import ipaddress
import math
import os
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self
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


class ServedModel(AnyEngine):
    """A model on a server with OpenAI's chat completions: what all engines that ask one have in common."""

    kind: str
    base_url: str | Strings | None = None
    """Base URL of the server's API, usually `http://HOST:PORT/v1`; default: the variable UNICORN_HF_BASE_URL.

    Give several servers of the same model as a list: they share the requests, and a server that fails is paused.
    The URL is not published, and never taken from a published recipe, since the API key is sent there.
    """
    model: str
    """The model's name on the server."""
    license: str | None = None
    """The model's licence, for the card."""
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """A request without an answer after this time is retried."""
    retries: NonNegativeInt = 8
    """Maximum number of retries of a request after temporary failures."""
    json_schema: Literal["openai", "tgi", "none"] = "openai"
    """How the JSON schema of an answer is sent: as OpenAI's `response_format`, or in TGI's form.

    `none`: it is not sent, and answers that are not JSON are rejected.
    """
    system_role: bool = True
    """False for a model without system prompts: they are put before the first user turn."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Additional fields of each request, e.g. `{chat_template_kwargs: {enable_thinking: false}}` for a vLLM server.

    They override other fields; null removes a field. They are published: include no secrets.
    """

    options = {"base_url": "--base-url http://HOST:PORT/v1", "model": "--llm MODEL"}
    # A model's name on a server is no path on this machine.
    taken_keys = ("model", "license", "json_schema", "system_role")
    # The key is sent to the first, the second changes requests, the others suit the publisher's server.
    left_keys: ClassVar[tuple[str, ...]] = ("base_url", "extra_body", "timeout_s", "retries")
    text_keys = ("extra_body",)

    @model_validator(mode="after")
    def _an_address_without_secrets(self) -> Self:
        # Validates the section: an error of the field would show its value.
        if self.base_url is not None and not self.base_urls:
            raise ValueError("base_url must not be an empty list")
        for parts in map(urlsplit, self.base_urls):
            if "@" in parts.netloc or parts.query or parts.fragment:
                raise ValueError(f"base_url must not contain a user, password or query. Set the key in {API_KEY}")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("base_url must begin with http:// or https:// and contain a host")
        return self

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The addresses without duplicates; empty if they come from the environment."""
        given = (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()
        return tuple(dict.fromkeys(given))

    def with_address(self) -> Self:
        """The engine with the addresses of its servers: from the recipe, or else from the environment.

        Raises:
            InputError: neither has a valid one.
        """
        if self.base_urls:
            return self
        named = tuple(os.environ.get(BASE_URL, "").replace(",", " ").split())
        if not named:
            raise InputError(
                "the recipe names no server for its model", f"Use --base-url http://HOST:PORT/v1, or set {BASE_URL}."
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

    @property
    def answers_identity(self) -> str:
        """Fingerprint of all that an answer depends on: the same, however the server is asked."""
        asked = self.model_dump(mode="json", include={"model", "json_schema", "system_role", "extra_body"})
        return fingerprint("endpoint", asked)

    def notes(self, asked: Self) -> list[str]:
        """A warning if the key would be sent unencrypted to another machine."""
        parts = [parts for parts in map(urlsplit, self.base_urls) if parts.scheme != "https"]
        hosts = [host for part in parts if not _is_loopback(host := part.hostname or "")]
        if not hosts or not api_key():
            return []
        return [
            f"warning: {API_KEY} is sent unencrypted to {' and '.join(hosts)}, and others on the network can read it:"
            " use https://"
        ]

    def published(self) -> Self:
        return super().published().model_copy(update={"base_url": None})


@ENGINES.register("endpoint")
class EndpointEngine(ServedModel):
    """A server with OpenAI's chat completions API: vLLM, TGI, llama.cpp, Ollama, or a hosted one.

    The API key, if the server needs one, is read only from the environment variable UNICORN_HF_API_KEY. The model's
    name and `extra_body` identify stored answers, not the address, which may change: give different models different
    names.
    """

    kind: Literal["endpoint"]
    concurrency: PositiveInt = 32
    """Maximum number of requests in flight, divided between all workers, at least one each.

    On an existing cluster the number of workers is `cluster.workers`, or that at the start of the build.
    """

    is_shared = True
    left_keys = (*ServedModel.left_keys, "concurrency")

    def resolve(self) -> GeneratorSpec:
        api_key()
        engine = self.with_address()
        return GeneratorSpec(engine, engine.answers_identity, engine.model)

    def for_one_of(self, num_workers: int) -> Self:
        """The engine with one worker's share of `concurrency`, at least 1."""
        return self.model_copy(update={"concurrency": max(1, self.concurrency // max(1, num_workers))})

    def workers_on_cpu(self, num_cores: int, num_fitting: int) -> int:
        return max(1, min(self.concurrency, num_fitting))

    def partitions_at_once(self, partition_rows: int) -> int:
        # Retried requests delay the end of a partition: enough others must be in flight meanwhile.
        return 4 + math.ceil(self.concurrency / partition_rows)

    def open(self, model: str) -> "TextGenerator":
        from unicorn_hf.engines.generators.endpoint import EndpointGenerator

        return EndpointGenerator(self)


def api_key() -> str | None:
    """The key for the server, only from the environment.

    Raises:
        InputError: it contains characters that no key has.
    """
    key = os.environ.get(API_KEY, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise InputError(f"{API_KEY} contains invalid characters", "Set it to one word of printable ASCII characters.")
    return key or None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
