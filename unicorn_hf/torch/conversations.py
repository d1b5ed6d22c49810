"""Tokenise conversations, with labels and the position of the image."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.messages import IMAGE, ROLES
from unicorn_hf.torch.chat_text import ChatTexts

IGNORE_INDEX = -100
"""The label of tokens without loss: PyTorch's cross entropy ignores it."""

_START, _END = itemgetter(0), itemgetter(1)

Conversation = Sequence[Mapping[str, str]]
"""Turns with `from` ("human", "gpt") and `value`; the first contains `<image>`."""


class Tokenized(NamedTuple):
    """One conversation; all arrays have the shape (tokens,)."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    """The ids of the answers and their closing tokens; `IGNORE_INDEX` everywhere else."""
    image_mask: NDArray[np.bool_]
    """True at the `image_tokens` positions of the image."""


class ConversationTokenizer:
    """Tokenises conversations with a model's own chat template.

    The labels are the model's output: each answer from the end of the generation prompt, with its closing token if the
    template writes one directly after it. A model that does not learn this token never stops, so a template without one
    causes a warning.

    Args:
        tokenizer: a fast tokenizer of transformers with a chat template; add tokens to it before.
        image_tokens: number of positions in the ids for the image, in place of `<image>` in the first turn.
        image_token: the token at these positions. Default: `<image>` if it is one token, or the tokenizer's own
            `image_token`, or else its padding or end token, which `place_images` overwrites before the model reads it.
        max_length: longer conversations are truncated to this number of tokens.

    Raises:
        InputError: the tokenizer has no chat template, does not report offsets of its tokens, or lacks the image token.
    """

    def __init__(
        self, tokenizer: Any, *, image_tokens: int = 1, image_token: str | None = None, max_length: int | None = None
    ) -> None:
        if image_tokens < 1:
            raise InputError(f"image_tokens must be at least 1, not {image_tokens}")
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(
                "the tokenizer does not report the offsets of its tokens",
                "Use the model's fast tokenizer (is_fast is true): AutoTokenizer loads it if there is one.",
            )
        self._texts = ChatTexts(tokenizer)
        self._tokenizer = tokenizer
        self._image_tokens = image_tokens
        self._max_length = max_length
        self.image_token = _image_token(tokenizer, image_token)
        self.image_token_id: int = tokenizer.convert_tokens_to_ids(self.image_token)

    def __call__(self, conversations: Sequence[Conversation], names: Sequence[object] | None = None) -> list[Tokenized]:
        """Tokenise a batch of conversations.

        Args:
            conversations: see `Conversation`.
            names: their names in error messages.

        Raises:
            InputError: a conversation is invalid, the template does not fit it, or `max_length` cuts off all answers or
                a part of the image.
        """
        names = names if names is not None else range(len(conversations))
        written = [self._written(turns, name) for turns, name in zip(conversations, names, strict=True)]
        return [self._cut(tokens, name) for tokens, name in zip(self._tokens(written, names), names, strict=True)]

    def prompt(self, conversation: Conversation) -> Tokenized:
        """For inference: tokenise a conversation that ends with a human turn, up to the start of the model's answer.

        Raises:
            InputError: see `__call__`, except for `max_length`.
        """
        [tokens] = self._tokens([self._written(conversation, 0, prompt=True)], [0])
        return tokens

    def fits(self, conversation: Conversation) -> bool:
        """Whether `max_length` keeps any answer: `rows.filter(tokenize.fits, input_columns="conversations")`.

        Raises:
            InputError: see `__call__`, except for `max_length`.
        """
        try:
            self([conversation])
        except _TooLongError:
            return False
        return True

    def _written(self, turns: Conversation, name: object, *, prompt: bool = False) -> "_Written":
        if turns is None or any(turn is None or turn["value"] is None for turn in turns):
            raise InputError(f"row {name}: the conversation, or a part of it, is null")
        try:
            roles = [ROLES[turn["from"]] for turn in turns]
        except KeyError as error:
            raise InputError(f"row {name}: turns must be from {' or '.join(ROLES)}, not {error}") from None
        if not turns or IMAGE not in turns[0]["value"]:
            raise InputError(f"row {name}: the first turn has no {IMAGE}")
        try:
            chat = self._texts.write(roles, [turn["value"] for turn in turns], prompt=prompt)
        except InputError as error:
            raise InputError(f"row {name}: {error.message}", error.advice) from error
        image = chat.text.index(IMAGE, chat.start)
        # One token for now; `_tokenized` repeats it.
        text = chat.text[:image] + self.image_token + chat.text[image + len(IMAGE) :]
        moved = len(self.image_token) - len(IMAGE)
        return _Written(text, image, [(start + moved, end + moved) for start, end in chat.answers])

    def _tokens(self, written: Sequence["_Written"], names: Sequence[object]) -> list[Tokenized]:
        # Called directly: the wrapper of transformers would take a sixth of the time. It sets truncation and padding
        # before each of its own calls.
        encoder = self._tokenizer.backend_tokenizer
        encoder.no_truncation()
        encoder.no_padding()
        encodings = encoder.encode_batch([one.text for one in written], add_special_tokens=False)
        return [self._tokenized(*parts) for parts in zip(encodings, written, names, strict=True)]

    def _tokenized(self, encoding: Any, written: "_Written", name: object) -> Tokenized:
        ids = np.array(encoding.ids, dtype=np.int64)
        offsets = encoding.offsets
        labels = np.full_like(ids, IGNORE_INDEX)
        for start, end in written.answers:
            # A token that overlaps an answer belongs to it, and so does an empty token at its start: the space that
            # SentencePiece puts before a text.
            first = min(bisect_right(offsets, start, key=_END), bisect_left(offsets, start, key=_START))
            part = slice(first, bisect_left(offsets, end, key=_START))
            labels[part] = ids[part]
        place = bisect_right(offsets, written.image, key=_END)
        if ids[place] != self.image_token_id or labels[place] != IGNORE_INDEX:
            raise InputError(f"row {name}: the tokenizer splits or merges {self.image_token!r} in this text")
        times = np.ones_like(ids)
        times[place] = self._image_tokens
        ids, labels = ids.repeat(times), labels.repeat(times)
        image_mask = np.zeros(len(ids), dtype=np.bool_)
        image_mask[place : place + self._image_tokens] = True
        return Tokenized(ids, labels, image_mask)

    def _cut(self, tokens: Tokenized, name: object) -> Tokenized:
        """Truncate to `max_length`."""
        ids, labels, image_mask = tokens
        is_learned = labels != IGNORE_INDEX
        if not is_learned.any():
            raise InputError(f"row {name}: the conversation has no assistant turn")
        if self._max_length is None or len(ids) <= self._max_length:
            return tokens
        needed = 1 + max(int(is_learned.argmax()), int(image_mask.nonzero()[0][-1]))
        if needed > self._max_length:
            raise _TooLongError(
                f"row {name}: the first answer begins at token {needed}, but max_length is {self._max_length}",
                "Use a larger max_length, or remove such rows: "
                'rows.filter(tokenize.fits, input_columns="conversations")',
            )
        kept = slice(self._max_length)
        return Tokenized(ids[kept], labels[kept], image_mask[kept])


class _TooLongError(InputError):
    """`max_length` cuts off all answers."""


class _Written(NamedTuple):
    """A conversation's text, the position of its image, and its answers."""

    text: str
    image: int
    answers: list[tuple[int, int]]


def _image_token(tokenizer: Any, asked: str | None) -> str:
    if asked is not None:
        if asked not in tokenizer.get_added_vocab():
            raise InputError(
                f"the tokenizer has no special token {asked!r}",
                f"Add it first: tokenizer.add_tokens([{asked!r}], special_tokens=True)",
            )
        return asked
    if IMAGE in tokenizer.get_added_vocab():
        return IMAGE
    for name in ("image_token", "pad_token", "eos_token"):
        if token := getattr(tokenizer, name, None):
            return str(token)
    raise InputError("the tokenizer has no image, padding or end token", "Choose one with image_token=...")
