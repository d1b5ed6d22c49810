"""What a chat template writes for a conversation, and where in it each turn stands.

A template is a program: where a turn begins and ends in what it writes is found out by giving it marks instead of
turns, once for each number of turns. What it writes for a real conversation must then be the same text around that
conversation's turns, character by character: otherwise nobody could say which of it is the answers', and that is an
error.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unicorn_hf.core.errors import InputError

_REFUSED = "Give the tokenizer another template: tokenizer.chat_template = ..."


@dataclass(frozen=True)
class ChatText:
    """A conversation as the model reads it."""

    text: str
    turns: list[tuple[int, int]]
    """Of each turn, where its own words begin and end in `text`."""
    begins: list[int]
    """Of each turn that answers, where the model begins to write: behind its generation prompt, mostly its first word.

    What a template puts between the two is the model's to write too: a space, an empty thought.
    """
    closes: list[int]
    """Of each turn, where the token that closes it ends; where its words end, if no such token follows them."""


@dataclass(frozen=True)
class _Frame:
    """What a template writes around the turns of conversations of one length."""

    before: list[str]
    """The text before each turn's words, and, last, what stands after all."""
    leading: list[int]
    """How many characters before each turn's words belong to it."""
    closing: list[int]
    """How many characters behind each turn's words belong to it."""


class ChatTexts:
    """Writes conversations with a tokenizer's chat template.

    Args:
        tokenizer: of transformers.

    Raises:
        InputError: it has no chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                "the tokenizer has no chat template",
                "Take an instruction-tuned model's, or set one: tokenizer.chat_template = ...",
            )
        self._tokenizer = tokenizer
        added = [token for token in tokenizer.get_added_vocab() if token.strip()]
        self._added = sorted(added, key=len, reverse=True)
        self._frames: dict[tuple[str, ...], _Frame] = {}

    def write(self, roles: Sequence[str], contents: Sequence[str], *, prompt: bool = False) -> ChatText:
        """One conversation; a `prompt` ends where the model's answer begins.

        Raises:
            InputError: the template refuses it, or does something else with its words than to write them down, white
                space around them aside.
        """
        text = self._rendered(roles, contents, prompt)
        key = (*roles, "prompt" if prompt else "")
        # The second time with a new frame: some templates write the day's date, and training lasts for days.
        for frame in (self._frames.get(key), None):
            if frame is None:
                frame = self._frames[key] = self._frame(roles, prompt)
            if turns := _places(text, contents, frame):
                begins = [start - leading for (start, _), leading in zip(turns, frame.leading, strict=True)]
                closes = [end + closing for (_, end), closing in zip(turns, frame.closing, strict=True)]
                return ChatText(text, turns, begins, closes)
        raise InputError(
            "the chat template changes a conversation's words, so its answers are not found in it", _REFUSED
        )

    def _frame(self, roles: Sequence[str], prompt: bool) -> _Frame:
        marks = [f"TURN{number:04}OF{len(roles):04}" for number in range(len(roles))]
        rest = self._rendered(roles, marks, prompt)
        before = []
        for mark in marks:
            if rest.count(mark) != 1:
                raise InputError("the chat template leaves out turns, writes them twice or in another order", _REFUSED)
            text, _, rest = rest.partition(mark)
            before.append(text)
        before.append(rest)
        leading = [
            self._leading(roles[:number], marks[:number], text) if roles[number] == "assistant" else 0
            for number, text in enumerate(before[:-1])
        ]
        closing = [self._closing(text) for text in before[1:]]
        if roles[-1] == "assistant" and not closing[-1]:
            warnings.warn(
                "the chat template writes no token that closes an answer: a model that is trained on it does not learn "
                "to stop. Have the template write the tokenizer's eos_token behind each answer.",
                stacklevel=2,
            )
        return _Frame(before, leading, closing)

    def _leading(self, roles: Sequence[str], contents: Sequence[str], before: str) -> int:
        """Length of what the template writes before an answer and behind its generation prompt.

        Nothing if the prompt is written in another way than the answer's place, as some are that open a thought; of a
        template without a generation prompt, white space alone: its headings are not the model's to write.

        Args:
            roles: those before the answer.
            contents: their words.
            before: what stands between the last of them and the answer.
        """
        if not roles:
            return 0
        asked, plain = (self._rendered(roles, contents, prompt) for prompt in (True, False))
        prompt = asked.rpartition(contents[-1])[2]
        leading = before[len(prompt) :] if before.startswith(prompt) else ""
        return len(leading) if asked != plain or leading.isspace() else 0

    def _closing(self, after: str) -> int:
        """Length of the token that closes a turn, with white space before it, in the text behind the turn's words."""
        start = len(after) - len(after.lstrip())
        return next((start + len(token) for token in self._added if after.startswith(token, start)), 0)

    def _rendered(self, roles: Sequence[str], contents: Sequence[str], prompt: bool) -> str:
        from jinja2.exceptions import TemplateError

        messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
        try:
            text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        except TemplateError as error:
            raise InputError(f"the chat template refuses turns of {', '.join(roles)}: {error}", _REFUSED) from error
        return text


def _places(text: str, contents: Sequence[str], frame: _Frame) -> list[tuple[int, int]]:
    """Where each turn's words stand in `text`; nothing if `text` is not the frame around these words."""
    places = []
    if not text.startswith(frame.before[0]):
        return []
    start = len(frame.before[0])
    for content, after in zip(contents, frame.before[1:], strict=True):
        # Templates write words as they are, or trimmed.
        for form in (content, content.strip(), content.lstrip(), content.rstrip()):
            end = start + len(form)
            if text.startswith(form, start) and text.startswith(after, end):
                break
        else:
            return []
        places.append((start, end))
        start = end + len(after)
    return places if start == len(text) else []
