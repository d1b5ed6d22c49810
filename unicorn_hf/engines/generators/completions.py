"""Interpret a chat completion: its text without reasoning, how it ended, its tokens."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unicorn_hf.core.generation import Answer, FinishReason, estimate_tokens
from unicorn_hf.core.thoughts import spoken
from unicorn_hf.engines.generators.failures import PassingError
from unicorn_hf.engines.generators.values import number_in, objects_in, parsed, shown, strings_in, well_formed
from unicorn_hf.engines.generators.wordings import MODERATED_ADVICE, THINKING

_ENDING_KEYS = ("finish_reason", "finishReason", "finish_details", "done_reason", "stop_reason")
_ENDINGS: tuple[tuple[FinishReason, str], ...] = (
    ("tool_call", r"tool|function"),
    (
        "length",
        r"length|max_?(?:new_|output_|completion_)?tokens|token_?limit|context_window|incomplete|truncat|error_limit",
    ),
    (
        "moderated",
        r"filter|safety|sensitive|refus|moderat|prohibit|block|spii|recitation|guardrail|toxic|policy|flagged|unsafe",
    ),
    (
        "failed",
        r"error|abort|cancel|insufficient|resource|timeout|time_limit|unavailable|overload|network|fail|interrupt"
        r"|preempt|^(?:un)?load$",
    ),
    ("stop", r"^(?:finish_reason_)?(?:stop\w*|eos\w*|end\w*|completed?|finished|done|success|none|null)$"),
)
"""Values of `finish_reason`, in the order of the tests. `failed` is a fault of the server: retry.

A missing reason is a normal end, unless the answer has as many tokens as it may have: an answer that is not streamed is
sent when it is complete, and some servers omit the reason.
"""
_TEXT_KEYS = ("text", "content", "output_text", "value", "parts")
_THOUGHT_PART = re.compile(r"think|thought|reason|summary", re.IGNORECASE)
_TEXT_PART = re.compile(r"text|message|answer|markdown", re.IGNORECASE)
"""Types of the parts of a content; other parts, e.g. images and calls of tools, are ignored."""
_NO_WORD = "none"
"""In place of a missing `finish_reason`."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_details", "reasoning_text")


@dataclass(frozen=True)
class Reply:
    """An answer, or the reason why this request has none."""

    answer: Answer
    advice: str = ""
    """What to do if no request gets text; empty if the answer is text."""

    @property
    def is_text(self) -> bool:
        return not self.advice


def completion(choice: dict[str, Any], usage: object, asked: Mapping[str, Any]) -> Reply:
    """Interpret a choice of a chat completion; `asked` is the body of the request.

    Raises:
        PassingError: it has no answer, or the server aborted it.
    """
    ending, word = _ending(choice)
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        if ending != "moderated":
            raise PassingError("no chat completion: choices[0] has no message", is_of_request=True)
        message = {}
    content, (field, reasoning) = _text(message.get("content")), _reasoning(message)
    said = spoken(well_formed(content))
    prompt = [str(asked_message.get("content")) for asked_message in asked.get("messages", ())]
    num_prompt, num_output, are_told = _tokens(usage, prompt, content + reasoning)
    if word == _NO_WORD and are_told and num_output >= (number_in(asked, *_LIMITS) or math.inf):
        ending = "length"

    def reply(reason: FinishReason, text: str, advice: str = "") -> Reply:
        return Reply(Answer(text, reason, num_prompt, num_output, tokens_told=are_told), advice)

    if ending == "failed":
        raise PassingError(f"the server aborted the answer (finish_reason {word!r})", is_of_request=True)
    refusals = (part.get("refusal") for part in (message, *objects_in(message.get("content"))))
    if refusal := next((text for refusal in refusals for text in strings_in(refusal) if text), ""):
        return reply("moderated", shown(f"the model refuses: {refusal}"), MODERATED_ADVICE)
    if ending in ("moderated", "tool_call", "unknown"):
        advice = MODERATED_ADVICE if ending == "moderated" else f"Its answers end with finish_reason {word!r}."
        return reply(ending, shown(f"finish_reason {word!r}, after: {said.text or reasoning!r}"), advice)
    if said.text.strip():
        return reply(ending, said.text)
    if message.get("tool_calls") or message.get("function_call"):
        return reply("tool_call", "the answer calls a tool", "Its answers call tools, although none was offered.")
    # Some servers show nothing of the reasoning, and only count its tokens.
    if said.is_thought_only or reasoning or ending == "length" or _num_thoughts(usage):
        nothing = "null" if message.get("content") is None else "without text"
        where = f"content is {nothing}, {field} is not" if field else "the answer is only reasoning"
        return reply("thought", shown(f"{where} (finish_reason {word!r}): {reasoning or content}"), THINKING)
    return reply(ending, "", "Its answers are empty: check the server's log and the chat template of its model.")


def of_stream(body: bytes) -> dict[str, Any] | None:
    """The completion in a stream of events, which some servers send unasked; None if it is none, or incomplete."""
    events = [parsed(line.removeprefix(b"data:")) for line in body.splitlines() if line.startswith(b"data:")]
    chunks = [event for event in events if isinstance(event, dict)]
    if error := next((chunk for chunk in chunks if chunk.get("error")), None):
        return error
    message: defaultdict[str, list[Any]] = defaultdict(list)
    ending, usage = None, None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in objects_in(chunk.get("choices"))[:1]:
            ending = _ending_in(choice) or ending
            for delta in objects_in([choice.get("delta") or choice.get("message")]):
                for name, part in delta.items():
                    message[name] += part if isinstance(part, list) else filter(None, [part])
    if not ending and b"[DONE]" not in body:
        return None
    return {"choices": [{"message": message, "finish_reason": ending}], "usage": usage}


def has_content(choice: Mapping[str, Any]) -> bool:
    """Whether a choice has a message with content."""
    message = choice.get("message")
    return isinstance(message, dict) and bool(message.get("content"))


def _text(content: object) -> str:
    """The text of a message's content: a string, a list of parts, or a JSON object; thoughts and images are ignored."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(map(_part, content))
    if isinstance(content, dict):
        is_part = any(key in content for key in ("type", *_TEXT_KEYS))
        return _part(content) if is_part else json.dumps(content, ensure_ascii=False)
    raise PassingError(f"no chat completion: content is {type(content).__name__}", is_of_request=True)


def _part(part: object) -> str:
    if isinstance(part, str | list):
        return _text(part)
    if not isinstance(part, dict) or _is_thought(part) or not _TEXT_PART.search(str(part.get("type") or "text")):
        return ""
    return next((_text(part[key]) for key in _TEXT_KEYS if isinstance(part.get(key), str | list | dict)), "")


def _is_thought(part: Mapping[str, Any]) -> bool:
    return part.get("thought") is True or bool(_THOUGHT_PART.search(str(part.get("type"))))


def _reasoning(message: dict[str, Any]) -> tuple[str, str]:
    """The field with the model's reasoning, and its text; both empty if there is none."""
    content = message.get("content")
    fields = [(key, message.get(key)) for key in _REASONING_KEYS]
    for part in objects_in(content if isinstance(content, list) else [content]):
        if _is_thought(part):
            fields.append((f"its part {part.get('type', 'thought')}", part))
    texts = ((name, " ".join(strings_in(field))) for name, field in fields)
    return next(((name, text) for name, text in texts if text), ("", ""))


def _ending_in(choice: Mapping[str, Any]) -> object:
    return next((reason for key in _ENDING_KEYS if (reason := choice.get(key)) not in (None, "")), None)


def _ending(choice: Mapping[str, Any]) -> tuple[FinishReason, str]:
    """The meaning of a choice's `finish_reason`, and the server's word for it."""
    reason = _ending_in(choice)
    if isinstance(reason, dict):
        reason = reason.get("type") or reason.get("reason")
    if reason is None:
        return "stop", _NO_WORD
    word = str(reason)
    plain = re.sub(r"[\s-]+", "_", word.rpartition(".")[2].strip().lower())
    return next((meaning for meaning, words in _ENDINGS if re.search(words, plain)), "unknown"), word


def _tokens(usage: object, asked: Sequence[str], output: str) -> tuple[int, int, bool]:
    """Tokens of prompt and output, and whether the server counted both; its missing counts are estimated."""
    told = usage if isinstance(usage, dict) else {}
    prompt = number_in(told, "prompt_tokens", "input_tokens", "prompt_eval_count")
    written = number_in(told, "completion_tokens", "output_tokens", "eval_count")
    total = number_in(told, "total_tokens")
    # Neither a prompt nor a text has zero tokens: a zero means that the server does not count them.
    prompt, written = prompt or None, written if written or not output else None
    if total is not None and prompt is not None:
        # Some servers leave the reasoning out of the output's tokens. It is paid.
        written = max(written or 0, total - prompt) or written
    if total is not None and written is not None and prompt is None:
        prompt = max(0, total - written) or None
    are_told = prompt is not None and written is not None
    if prompt is None:
        prompt = estimate_tokens(*asked)
    return prompt, estimate_tokens(output) if written is None else written, are_told


def _num_thoughts(usage: object) -> int:
    """Tokens of reasoning in the output."""
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return number_in(details, "reasoning_tokens") or 0 if isinstance(details, dict) else 0
