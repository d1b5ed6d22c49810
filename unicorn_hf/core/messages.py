"""Conversations as OpenAI's `messages`, in the form that chat templates of vision-language models take."""

from collections.abc import Mapping, Sequence

IMAGE = "<image>"
ROLES = {"human": "user", "gpt": "assistant"}
"""Who speaks: in our rows, and in the messages of chat templates."""


def as_messages(conversation: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """Turns of `from` and `value` as messages of `role` and `content`: a part for the image, one for the text."""
    return [{"role": ROLES[turn["from"]], "content": _parts(turn["value"])} for turn in conversation]


def _parts(value: str) -> list[dict[str, str | None]]:
    text: dict[str, str | None] = {"type": "text", "text": value.removeprefix(f"{IMAGE}\n")}
    return [{"type": "image", "text": None}, text] if value.startswith(f"{IMAGE}\n") else [text]
