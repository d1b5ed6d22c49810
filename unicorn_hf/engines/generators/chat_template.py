"""What chat models read: messages to token ids."""

from collections.abc import Sequence
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import Message


class ChatTemplate:
    """From messages to token ids, as the model was trained to read them.

    Args:
        tokenizer: the model's, of transformers.
        model: its name, for messages to people.

    Raises:
        InputError: the model has no chat template.
    """

    def __init__(self, tokenizer: Any, model: str) -> None:
        self._tokenizer = tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                f"the model {model} has no chat template", "It is a base model: take its instruction-tuned sibling."
            )
        self._takes_system = self._probe_system()

    def token_ids(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token ids of each conversation, up to where the model's answer begins."""
        # The template writes the special tokens itself.
        texts = [self.text(messages) for messages in conversations]
        encoded: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return encoded

    def text(self, messages: Sequence[Message]) -> str:
        """What the model reads, without thinking where the model can be told so."""
        if not self._takes_system:
            messages = without_system(messages)
        return self._render(messages)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        # Thinking models read `enable_thinking`; to other templates it is a variable that they do not look at.
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def _probe_system(self) -> bool:
        """Whether the template has a place for a system prompt: some refuse one, some drop it without a word."""
        from jinja2.exceptions import TemplateError

        try:
            return "SYSTEM-PROBE" in self._render([Message("system", "SYSTEM-PROBE"), Message("user", "Hello.")])
        except TemplateError:
            return False


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The system prompt moved to the head of the first user turn."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    if system and turns:
        turns[0] = Message(turns[0].role, f"{system}\n\n{turns[0].content}")
    return turns
