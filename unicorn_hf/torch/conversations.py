"""Conversations to token ids, with what is to be learned of them and the image's place."""

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
"""The label of tokens that are not learned: PyTorch's cross entropy leaves it out."""

_START, _END = itemgetter(0), itemgetter(1)

Conversation = Sequence[Mapping[str, str]]
"""Turns of `from` ("human", "gpt") and `value`; the first has `<image>` in it."""


class Tokenized(NamedTuple):
    """One conversation; all arrays have the shape (tokens,)."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    """The answers' ids, and the token that closes each; `IGNORE_INDEX` everywhere else."""
    image_mask: NDArray[np.bool_]
    """True at the `image_tokens` places that the image takes."""


class ConversationTokenizer:
    """Tokenises conversations with a model's own chat template.

    Labelled is what the model has to write: each answer from where its generation prompt ends, and the token that
    closes it, if the template writes one right behind it. A model that does not learn that token never stops, so a
    template without one is warned of.

    Args:
        tokenizer: a fast one of transformers, with a chat template; tokens are added to it before.
        image_tokens: places that the image takes in the ids, where `<image>` stands in the first turn.
        image_token: the token that stands there. Unless given: the tokenizer's own `image_token`, or `<image>` if it is
            one token of it, or else the padding or end token, which no model reads there after `place_images`.
        max_length: conversations of more tokens lose their end.

    Raises:
        InputError: the tokenizer has no chat template, or cannot say where in a text its tokens are, or has no such
            image token.
    """

    def __init__(
        self, tokenizer: Any, *, image_tokens: int = 1, image_token: str | None = None, max_length: int | None = None
    ) -> None:
        if image_tokens < 1:
            raise InputError(f"image_tokens is {image_tokens}: an image takes one place or more")
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(
                "the tokenizer cannot say where in a text its tokens are",
                "Take the model's fast one, whose is_fast is true: AutoTokenizer loads it where there is one.",
            )
        self._texts = ChatTexts(tokenizer)
        self._tokenizer = tokenizer
        self._image_tokens = image_tokens
        self._max_length = max_length
        self.image_token = _image_token(tokenizer, image_token)
        self.image_token_id: int = tokenizer.convert_tokens_to_ids(self.image_token)

    def __call__(self, conversations: Sequence[Conversation], names: Sequence[object] | None = None) -> list[Tokenized]:
        """Conversations, tokenised together.

        Args:
            names: what to call each in an error.

        Raises:
            InputError: one is not of the form above, the template does not fit it, or `max_length` leaves none of its
                answers or not the whole image.
        """
        names = names if names is not None else range(len(conversations))
        written = [self._written(turns, name) for turns, name in zip(conversations, names, strict=True)]
        return [self._cut(tokens, name) for tokens, name in zip(self._tokens(written, names), names, strict=True)]

    def prompt(self, conversation: Conversation) -> Tokenized:
        """For inference: a conversation whose last turn is human's, up to where the model's answer begins.

        Raises:
            InputError: as for a call, but for `max_length`.
        """
        [tokens] = self._tokens([self._written(conversation, 0, prompt=True)], [0])
        return tokens

    def fits(self, conversation: Conversation) -> bool:
        """Whether `max_length` leaves any of its answers: `rows.filter(tokenize.fits, input_columns="conversations")`.

        Raises:
            InputError: as for a call, but for `max_length`.
        """
        try:
            self([conversation])
        except _TooLongError:
            return False
        return True

    def _written(self, turns: Conversation, name: object, *, prompt: bool = False) -> "_Written":
        if turns is None or any(turn is None or turn["value"] is None for turn in turns):
            raise InputError(f"row {name}: its conversation, or a part of it, is null")
        try:
            roles = [ROLES[turn["from"]] for turn in turns]
        except KeyError as error:
            raise InputError(f"row {name}: turns are from {', '.join(ROLES)}, not {error}") from None
        if not turns or IMAGE not in turns[0]["value"]:
            raise InputError(f"row {name}: its first turn has no {IMAGE}")
        try:
            chat = self._texts.write(roles, [turn["value"] for turn in turns], prompt=prompt)
        except InputError as error:
            raise InputError(f"row {name}: {error.message}", error.advice) from error
        image = chat.text.index(IMAGE, chat.turns[0][0])
        # One token for now, however many places it takes.
        text = chat.text[:image] + self.image_token + chat.text[image + len(IMAGE) :]
        moved = len(self.image_token) - len(IMAGE)
        answers = [
            (begins + moved, closes + moved)
            for role, begins, closes in zip(roles, chat.begins, chat.closes, strict=True)
            if role == "assistant"
        ]
        return _Written(text, image, answers)

    def _tokens(self, written: Sequence["_Written"], names: Sequence[object]) -> list[Tokenized]:
        # Called directly: what transformers puts around it takes a sixth of the time. It sets both anew before each of
        # its own calls.
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
            # A token that reaches into an answer is the answer's. So is one of no characters where it begins: the space
            # that SentencePiece puts before a text.
            first = min(bisect_right(offsets, start, key=_END), bisect_left(offsets, start, key=_START))
            part = slice(first, bisect_left(offsets, end, key=_START))
            labels[part] = ids[part]
        place = bisect_right(offsets, written.image, key=_END)
        if ids[place] != self.image_token_id or labels[place] != IGNORE_INDEX:
            raise InputError(f"row {name}: the tokenizer writes {self.image_token!r} differently within this text")
        times = np.ones_like(ids)
        times[place] = self._image_tokens
        ids, labels = ids.repeat(times), labels.repeat(times)
        image_mask = np.zeros(len(ids), dtype=np.bool_)
        image_mask[place : place + self._image_tokens] = True
        return Tokenized(ids, labels, image_mask)

    def _cut(self, tokens: Tokenized, name: object) -> Tokenized:
        """To `max_length`."""
        ids, labels, image_mask = tokens
        is_learned = labels != IGNORE_INDEX
        if not is_learned.any():
            raise InputError(f"row {name}: it has no assistant turn")
        if self._max_length is None or len(ids) <= self._max_length:
            return tokens
        needed = 1 + max(int(is_learned.argmax()), int(image_mask.nonzero()[0][-1]))
        if needed > self._max_length:
            raise _TooLongError(
                f"row {name}: its first answer begins at token {needed}, and max_length is {self._max_length}",
                "Give a larger max_length, or leave such rows out: "
                'rows.filter(tokenize.fits, input_columns="conversations")',
            )
        kept = slice(self._max_length)
        return Tokenized(ids[kept], labels[kept], image_mask[kept])


class _TooLongError(InputError):
    """`max_length` leaves nothing to learn."""


class _Written(NamedTuple):
    """A conversation's text, where its image stands in it, and its answers."""

    text: str
    image: int
    answers: list[tuple[int, int]]


def _image_token(tokenizer: Any, asked: str | None) -> str:
    if asked is not None:
        if asked not in tokenizer.get_added_vocab():
            raise InputError(
                f"the tokenizer has no special token {asked!r}",
                f"Add it before: tokenizer.add_tokens([{asked!r}], special_tokens=True)",
            )
        return asked
    if IMAGE in tokenizer.get_added_vocab():
        return IMAGE
    for name in ("image_token", "pad_token", "eos_token"):
        if token := getattr(tokenizer, name, None):
            return str(token)
    raise InputError("the tokenizer has no token for the image, for padding or for the end", "Name one: image_token=")
