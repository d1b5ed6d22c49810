"""Convert messages to token ids with a model's chat template."""

from collections.abc import Sequence
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import Message


class ChatTemplate:
    """The chat template of a tokenizer of transformers; `model` is its model's name, for error messages.

    Raises:
        InputError: the model has no chat template.
    """

    def __init__(self, tokenizer: Any, model: str) -> None:
        from jinja2.exceptions import TemplateError

        self._tokenizer = tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                f"the model {model} has no chat template", "It is a base model: use its instruction-tuned version."
            )
        # Some templates refuse a system prompt, some drop it silently.
        self._takes_system = True
        try:
            probe = self.text([Message("system", "SYSTEM-PROBE"), Message("user", "Hello.")])
            self._takes_system = "SYSTEM-PROBE" in probe
        except TemplateError:
            self._takes_system = False

    def token_ids(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token ids of each conversation, up to the start of the model's answer."""
        # The template adds the special tokens itself.
        texts = [self.text(messages) for messages in conversations]
        encoded: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return encoded

    def text(self, messages: Sequence[Message]) -> str:
        """The prompt as text, with thinking disabled if the template supports that."""
        if not self._takes_system:
            messages = without_system(messages)
        turns = [{"role": message.role, "content": message.content} for message in messages]
        # Templates of thinking models read `enable_thinking`; others ignore it.
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Move the system prompt to the start of the first user turn."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    if system and turns:
        turns[0] = Message(turns[0].role, f"{system}\n\n{turns[0].content}")
    return turns
