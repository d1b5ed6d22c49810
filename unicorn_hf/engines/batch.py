"""A model on a server that takes batches of requests, at half the price and within a day."""

import os
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.section import Strings
from unicorn_hf.engines.endpoint import BASE_URL, EndpointEngine, ServedModel, api_key

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextGenerator


@ENGINES.register("batch")
class BatchEngine(ServedModel):
    """A server with OpenAI's batches: it answers files of requests within a day, usually at half the price.

    The key is that of `endpoint`, and so are the stored answers: both kinds find each other's.
    """

    kind: Literal["batch"]
    base_url: str | Strings | None = None
    """Base URL of the server's API; default: the variable UNICORN_HF_BASE_URL. One only; it is not published."""
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """Maximum time of an upload, a download or a question about a batch; then it is retried."""
    retries: NonNegativeInt = 3
    """Maximum number of further batches for a request that expired or failed temporarily."""
    max_requests: PositiveInt = 50_000
    """Maximum number of requests in a batch."""
    max_bytes: Annotated[int, Field(ge=100_000)] = 200_000_000
    """Maximum size of a batch's file."""
    max_queued_tokens: PositiveInt | None = None
    """Maximum number of prompt tokens in all batches in flight, the provider's quota.

    Tokens are estimated, usually too many: one per three bytes. Without it, a batch that the provider's quota refuses
    waits for others to end, and one that is too large alone is cut.
    """
    max_batches: PositiveInt = 100
    """Maximum number of batches in flight."""
    poll_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds between two looks at the batches."""

    is_batched = True
    optional = ("base_url",)
    left_keys = (*ServedModel.left_keys, "max_requests", "max_bytes", "max_queued_tokens", "max_batches", "poll_s")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if len(self.base_urls) > 1:
            raise ValueError("base_url must be a single address: a batch belongs to one server")
        return self

    def resolve(self) -> GeneratorSpec:
        # Requests for an offline machine need no server.
        has_address = self.base_urls or os.environ.get(BASE_URL, "").strip()
        api_key()
        return GeneratorSpec(self.with_address() if has_address else self, self.answers_identity, self.model)

    def workers_on_cpu(self, num_cores: int, num_fitting: int) -> int:
        return num_fitting

    def live(self) -> EndpointEngine:
        """The same model, asked at once; its answers are stored as those of the batches."""
        shared = self.model_dump(include=set(ServedModel.model_fields) - {"kind", "timeout_s", "retries"})
        return EndpointEngine(kind="endpoint", **shared)

    def open(self, model: str) -> "TextGenerator":
        from unicorn_hf.engines.generators.batch_lines import UnansweredGenerator

        return UnansweredGenerator(self.retries + 1)
