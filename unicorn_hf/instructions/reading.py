"""Turns an answer into a conversation or a rejection."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.languages import ENGLISH
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.source import source_identity
from unicorn_hf.instructions.filters import Scene
from unicorn_hf.instructions.turns import Turn, conversation

if TYPE_CHECKING:
    from unicorn_hf.core.recipe import Instructions


@dataclass(frozen=True, slots=True)
class Candidate:
    """A caption for which a conversation of one task is requested."""

    id: str
    caption: str
    row: int
    task: str
    language: str = ENGLISH

    def kept(self, turns: Sequence[Turn]) -> dict[str, object]:
        return {"id": self.id, "row": self.row, "task": self.task, "conversations": conversation(turns)}


@dataclass(frozen=True, slots=True)
class Conversation:
    """The valid turns of an answer, and why others were dropped."""

    turns: tuple[Turn, ...]
    dropped: tuple[Rejected, ...] = ()


def read_conversation(
    candidate: Candidate, answer: Answer, config: "Instructions", prompt: Prompt, languages: Sequence[str] = (ENGLISH,)
) -> Conversation | Rejected:
    """The conversation in an answer, or why it is rejected: its shape, or the first pair that fails."""
    if nothing := unanswered(answer):
        return nothing
    task = config.tasks.by_name()[candidate.task]
    turns = task.parse(answer, candidate.id)
    if isinstance(turns, Rejected):
        return turns
    scene = Scene(candidate.caption, candidate.language, languages, prompt=prompt, max_answer=task.max_answer)
    good, bad = task.good_turns(turns, scene)
    if bad and (not task.filters.keep_rest or len(good) < task.pairs.min <= len(turns)):
        return bad[0]
    if len(good) < task.pairs.min:
        return Rejected("wrong_count", f"{len(turns)} pairs instead of {task.pairs.min} to {task.pairs.max}")
    return Conversation(tuple(good[: task.pairs.max]), tuple(bad))


def code_identity() -> str:
    """Fingerprint of the code that accepts answers as conversations: changed code derives them again."""
    return source_identity(__name__, "unicorn_hf.instructions.filters", "unicorn_hf.instructions.tasks")
