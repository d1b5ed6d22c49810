"""What passes between the stages and the engines: requests, answers, and the two Protocols that engines implement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.languages import ENGLISH

if TYPE_CHECKING:
    from PIL.Image import Image

    from unicorn_hf.core.recipe import Sampling

_BYTES_PER_TOKEN = 3
_TOKENS_PER_TEXT = 8

FinishReason = Literal[
    "stop", "length", "context", "refused", "moderated", "thought", "tool_call", "unknown", "fatal", "failed"
]
"""`stop`: the model ended by itself; `length`: cut at `max_tokens`; `context`: the prompt does not fit the model.

`refused`: the server refuses this prompt; `moderated`: its content filter, or the model, does; `thought`: the answer
is reasoning alone; `tool_call`: it calls a tool; `unknown`: it ended in a way that is not known to be a good one. The
text then holds the server's words. An engine gives these where it answers other requests: they are settled.

`fatal`: whoever was asked died of it, again and again, and with nothing else to do; the text says how. Engines do not
give it: it is found where answers are stored.

`failed`: there is no answer, though the engine works for others; the text says why. It is never stored: the next run
asks again.
"""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a text generator. What all requests share stands first, for the engine's prefix cache."""

    id: str
    """Names the row that the answer belongs to; ids are unique within a batch."""
    subject: str
    """The seed or caption that the request is about; engines that rehearse work from it."""
    messages: tuple[Message, ...]
    sampling: "Sampling"
    seed: int
    """Seeds the sampler where the engine can."""
    json_schema: str | None = None
    """The answer is to be JSON of this schema; None for free text."""
    tagged_schema: str | None = None
    """The free text is to be tagged lines (see `core.tagged`) of pairs of this schema; for engines that rehearse."""
    language: str = ENGLISH
    """What the messages ask to write in; for engines that rehearse."""

    @property
    def key(self) -> str:
        """Identity of all that the answer depends on, the engine aside: a stored answer serves only this key."""
        messages = [[message.role, message.content] for message in self.messages]
        return fingerprint(messages, self.sampling, self.seed, self.json_schema)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_output_tokens: int
    num_retries: int = 0
    """How often it was asked for again before it came."""
    seconds: float = 0.0
    """Its share of the time that the engine worked; measured where answers are stored."""
    tokens_told: bool = True
    """Whether the engine counted the tokens; else they are estimated, see `estimate_tokens`."""

    @property
    def is_hopeless(self) -> bool:
        """Whether no other draw of the same prompt would be answered."""
        return self.finish_reason in ("context", "refused", "moderated", "fatal")

    @property
    def may_come(self) -> bool:
        """Whether it is worth while to ask the same model about the same subject once more in this build."""
        return not self.is_hopeless and self.finish_reason != "failed"


def estimate_tokens(*texts: str) -> int:
    """About how many tokens texts have, rather more than fewer: one for three bytes of UTF-8, and eight a message.

    English has four bytes a token and more, Chinese two to five.
    """
    return sum(len(text.encode(errors="replace")) // _BYTES_PER_TOKEN + _TOKENS_PER_TEXT for text in texts if text)


class TextGenerator(Protocol):
    """Answers requests. One lives in each worker process and serves its partitions, several at once."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Each request's position and answer, as they come. May be called by several threads at once.

        An iterator that is closed early takes back what is still asked.

        Raises:
            EngineDiedError: the engine is gone; close it and open another.
            RunError: the engine failed; the message says what to do. Answers that came before stay good.
        """
        ...

    def close(self) -> None:
        """Give back memory and processes."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as vectors."""

    vectors: NDArray[np.float32]
    """Array of shape (texts, dim), float32, each row of L2 norm 1, in the order of the texts."""
    num_long: int
    """How many of the texts have more tokens than the encoder reads at once."""


class TextEncoder(Protocol):
    """Turns captions into unit vectors."""

    dim: int

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = ...) -> Encoded:
        """The texts as vectors: the more at a time, the less padding is computed.

        Calls `on_texts` now and then with the number of texts that were encoded since.
        """
        ...

    def close(self) -> None:
        """Give back memory."""
        ...


class ImageEncoder(Protocol):
    """Turns pictures into unit vectors, in the space of the text encoder of the same name."""

    dim: int

    def encode(self, images: "Sequence[Image]") -> NDArray[np.float32]:
        """Array of shape (len(images), dim), float32, each row of L2 norm 1."""
        ...

    def close(self) -> None:
        """Give back memory."""
        ...
