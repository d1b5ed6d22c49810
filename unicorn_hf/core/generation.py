"""Requests, answers, and the Protocols of generators and encoders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.languages import ENGLISH

if TYPE_CHECKING:
    from PIL.Image import Image

    from unicorn_hf.core.recipe import Sampling

FinishReason = Literal[
    "stop", "length", "context", "refused", "moderated", "thought", "tool_call", "unknown", "fatal", "failed"
]
"""`stop`: the model ended by itself; `length`: cut at `max_tokens`; `context`: the prompt does not fit the model.

`refused`: the server rejects this prompt; `moderated`: its content filter, or the model, does; `thought`: the answer
is only reasoning; `tool_call`: it calls a tool; `unknown`: any other ending. The text then holds the server's message.
An engine returns these if it answers other requests; they are final.

`fatal`: the request alone repeatedly killed its worker or engine; the text says how. Engines do not return it: the
answer store does.

`failed`: no answer, although the engine answers other requests; the text says why. It is never stored, and the next run
retries.
"""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a text generator. The messages begin with the text that requests share, for prefix caching."""

    id: str
    """The row that the answer belongs to; unique within a batch."""
    subject: str
    """The seed or caption that the request is about; for engines that rehearse."""
    messages: tuple[Message, ...]
    sampling: "Sampling"
    seed: int
    """The sampler's seed, if the engine supports it."""
    json_schema: str | None = None
    """The JSON schema of the answer; None for free text."""
    tagged_schema: str | None = None
    """The schema of the pairs in tagged lines (see `core.tagged`); for engines that rehearse."""
    language: str = ENGLISH
    """The language of the answer; for engines that rehearse."""

    @property
    def key(self) -> str:
        """Fingerprint of all that the answer depends on, except the engine; the key of the stored answer."""
        messages = [[message.role, message.content] for message in self.messages]
        return fingerprint(messages, self.sampling, self.seed, self.json_schema)


def json_object(properties: Mapping[str, object]) -> dict[str, object]:
    """The JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_output_tokens: int
    num_retries: int = 0
    seconds: float = 0.0
    """Its share of the engine's working time, measured by the answer store."""
    tokens_told: bool = True
    """Whether the engine counted the tokens; else see `estimate_tokens`."""

    @property
    def is_hopeless(self) -> bool:
        """Whether another sample of the same prompt would fail too."""
        return self.finish_reason in ("context", "refused", "moderated", "fatal")

    @property
    def may_come(self) -> bool:
        """Whether a retry with the same subject is worthwhile in this build."""
        return not self.is_hopeless and self.finish_reason != "failed"


def estimate_tokens(*texts: str) -> int:
    """Estimate the tokens of texts, usually too many: one per three bytes of UTF-8, and eight per message.

    English has four or more bytes per token, Chinese two to five.
    """
    return sum(len(text.encode(errors="replace")) // 3 + 8 for text in texts if text)


class TextGenerator(Protocol):
    """Answers requests. Each worker process has one, and several partitions use it at once."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield each request's position and answer as it arrives. Thread-safe.

        Closing the iterator early cancels the pending requests.

        Raises:
            EngineDiedError: the engine died; close it and open another.
            RunError: the engine failed; the message says what to do. Earlier answers stay valid.
        """

    def close(self) -> None:
        """Free memory and processes."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as vectors."""

    vectors: NDArray[np.float32]
    """Array of shape (texts, dim), float32, rows of L2 norm 1, in the order of the texts."""
    num_long: int
    """Number of texts beyond the encoder's token limit."""


class TextEncoder(Protocol):
    """Turns captions into unit vectors."""

    dim: int

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = ...) -> Encoded:
        """Encode texts. Larger calls compute less padding.

        Calls `on_texts` from time to time with the number of newly encoded texts.
        """

    def close(self) -> None:
        """Free memory."""


class ImageEncoder(Protocol):
    """Turns images into unit vectors, in the space of the text encoder of the same name."""

    dim: int

    def encode(self, images: "Sequence[Image]") -> NDArray[np.float32]:
        """Array of shape (len(images), dim), float32, rows of L2 norm 1."""

    def close(self) -> None:
        """Free memory."""
