"""What becomes of a candidate row that is not kept."""

from dataclasses import dataclass

from unicorn_hf.core.generation import Answer, FinishReason

NOT_ANSWERED = "not_answered"
"""The reason of rows whose request failed: a later run asks for them again."""

FATAL = "fatal_request"
"""The reason of rows whose request took its worker or its engine down again and again: none asks for them again."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a row is not kept: the name of the check, under which it is counted, and what the check saw."""

    reason: str
    detail: str


def unanswered(answer: Answer) -> Rejected | None:
    """Why there is nothing to judge in an answer; None where there is."""
    reason = _REASONS.get(answer.finish_reason)
    return Rejected(reason, answer.text or f"{answer.num_prompt_tokens} tokens of prompt") if reason else None


_REASONS: dict[FinishReason, str] = {
    "context": "too_long_for_model",
    "refused": "refused_by_server",
    "moderated": "moderated",
    "thought": "unfinished",
    "tool_call": "tool_call",
    "unknown": "unknown_ending",
    "fatal": FATAL,
    "failed": NOT_ANSWERED,
}
