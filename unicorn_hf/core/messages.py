"""Conversations as OpenAI's `messages`, for chat templates of vision-language models."""

from collections.abc import Mapping, Sequence

IMAGE = "<image>"
ROLES = {"human": "user", "gpt": "assistant"}
"""Roles in our rows, and in the messages of chat templates."""


def as_messages(conversation: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """Turn `from` and `value` into `role` and `content`, with one part for the image and one for the text."""
    return [{"role": ROLES[turn["from"]], "content": _parts(turn["value"])} for turn in conversation]


def _parts(value: str) -> list[dict[str, str | None]]:
    text: dict[str, str | None] = {"type": "text", "text": value.removeprefix(f"{IMAGE}\n")}
    return [{"type": "image", "text": None}, text] if value.startswith(f"{IMAGE}\n") else [text]
