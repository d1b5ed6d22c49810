"""Rejection of candidate rows."""

from dataclasses import dataclass

from unicorn_hf.core.generation import Answer, FinishReason

NOT_ANSWERED = "not_answered"
"""Reason for rows whose request failed: a later run retries them."""

FATAL = "fatal_request"
"""Reason for rows whose request repeatedly killed its worker or engine: no run retries them."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a row is rejected: the name of the check, under which it is counted, and what the check found."""

    reason: str
    detail: str

    def row(self, stage: str, row_id: str, subject: str, raw: str) -> dict[str, str]:
        """The rejected candidate, in the schema `REJECTIONS`."""
        facts = {"id": row_id, "stage": stage, "reason": self.reason, "detail": self.detail}
        return {**facts, "subject": subject, "raw": raw}


def unanswered(answer: Answer) -> Rejected | None:
    """Why an answer has no text to check; None if it has."""
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
