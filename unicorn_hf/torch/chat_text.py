"""Render a conversation with a chat template, and locate each turn in the text.

A template is a program. To find where turns begin and end in its output, it renders markers instead of turns, once for
each number of turns. For a real conversation the text around the turns must be the same, character by character.
Otherwise the answers cannot be located, and that is an error.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unicorn_hf.core.errors import InputError

_REFUSED = "Set another template: tokenizer.chat_template = ..."


@dataclass(frozen=True)
class ChatText:
    """A rendered conversation."""

    text: str
    start: int
    """Start of the first turn's content in `text`."""
    answers: list[tuple[int, int]]
    """Of each answer: where the model begins to write, after the generation prompt, and the end of its closing token,
    or of its content if no such token follows.

    Usually the first is the start of the content. Text of the template between the two, such as a space or an empty
    thought, is also the model's output.
    """


@dataclass(frozen=True)
class _Frame:
    """The template's text around the turns of conversations with the same roles."""

    before: list[str]
    """The text before each turn's content, and the text after the last turn."""
    answers: dict[int, tuple[int, int]]
    """By an answer's turn: number of characters before and after its content that belong to it."""


class ChatTexts:
    """Renders conversations with a tokenizer's chat template.

    Args:
        tokenizer: of transformers.

    Raises:
        InputError: it has no chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                "the tokenizer has no chat template",
                "Use the tokenizer of an instruction-tuned model, or set one: tokenizer.chat_template = ...",
            )
        self._tokenizer = tokenizer
        added = [token for token in tokenizer.get_added_vocab() if token.strip()]
        self._added = sorted(added, key=len, reverse=True)
        self._frames: dict[tuple[str, ...], _Frame] = {}

    def write(self, roles: Sequence[str], contents: Sequence[str], *, prompt: bool = False) -> ChatText:
        """Render one conversation; a `prompt` ends where the model's answer begins.

        Raises:
            InputError: the template refuses the conversation, or changes its content beyond white space around turns.
        """
        text = self._rendered(roles, contents, prompt)
        key = (*roles, "prompt" if prompt else "")
        # If the cached frame does not fit, compute it again: some templates contain the date, and training takes days.
        for frame in (self._frames.get(key), None):
            if frame is None:
                frame = self._frames[key] = self._frame(roles, prompt)
            if turns := _places(text, contents, frame):
                answers = [(turns[at][0] - leading, turns[at][1] + end) for at, (leading, end) in frame.answers.items()]
                return ChatText(text, turns[0][0], answers)
        raise InputError(
            "the chat template changes the conversation's text, so its answers cannot be located", _REFUSED
        )

    def _frame(self, roles: Sequence[str], prompt: bool) -> _Frame:
        marks = [f"TURN{number:04}OF{len(roles):04}" for number in range(len(roles))]
        rest = self._rendered(roles, marks, prompt)
        before = []
        for mark in marks:
            if rest.count(mark) != 1:
                raise InputError("the chat template omits, repeats or reorders turns", _REFUSED)
            text, _, rest = rest.partition(mark)
            before.append(text)
        before.append(rest)
        answers = {
            number: (self._leading(roles[:number], marks[:number], before[number]), self._closing(before[number + 1]))
            for number, role in enumerate(roles)
            if role == "assistant"
        }
        if roles[-1] == "assistant" and not answers[len(roles) - 1][1]:
            warnings.warn(
                "the chat template writes no closing token after an answer: a model trained with it does not learn "
                "to stop. Change the template to write the tokenizer's eos_token after each answer.",
                stacklevel=2,
            )
        return _Frame(before, answers)

    def _leading(self, roles: Sequence[str], contents: Sequence[str], before: str) -> int:
        """Length of the template's text between the generation prompt and an answer.

        It is 0 if the generation prompt differs from the text before an answer, as when it opens a thought. For a
        template without a generation prompt it is the length of white space: the model does not write headings.

        Args:
            roles: the roles of the turns before the answer.
            contents: their contents.
            before: the text between the last of them and the answer.
        """
        if not roles:
            return 0
        asked, plain = (self._rendered(roles, contents, prompt) for prompt in (True, False))
        prompt = asked.rpartition(contents[-1])[2]
        leading = before[len(prompt) :] if before.startswith(prompt) else ""
        return len(leading) if asked != plain or leading.isspace() else 0

    def _closing(self, after: str) -> int:
        """Length of a turn's closing token, with white space before it, at the start of the text after the turn."""
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
    """Start and end of each turn's content in `text`; empty if `text` is not the frame around these contents."""
    places = []
    if not text.startswith(frame.before[0]):
        return []
    start = len(frame.before[0])
    for content, after in zip(contents, frame.before[1:], strict=True):
        # Templates write contents unchanged, or trimmed.
        for form in (content, content.strip(), content.lstrip(), content.rstrip()):
            end = start + len(form)
            if text.startswith(form, start) and text.startswith(after, end):
                break
        else:
            return []
        places.append((start, end))
        start = end + len(after)
    return places if start == len(text) else []
