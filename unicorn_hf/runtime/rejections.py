"""Rejected candidates in the message of a build that stops: an example of each frequent reason, and its recipe key."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from unicorn_hf.core.choices import CAPTION_FILTERS, CONVERSATION_FILTERS
from unicorn_hf.core.schemas import REJECTIONS
from unicorn_hf.runtime.files import DamagedShardError, read_table
from unicorn_hf.runtime.generation import REJECTED

_MOST_REASONS = 4
_MAX_RAW = 200
_KEYS = {
    ("captions", "unfinished"): "captions.sampling.max_tokens",
    ("captions", "near_duplicate"): "captions.near_duplicates.threshold",
    ("captions", "unsafe_score"): "captions.screen.min_score",
    ("instructions", "unfinished"): "instructions.sampling.max_tokens",
    ("instructions", "low_score"): "instructions.judge.min_score",
}
"""Keys of reasons that are no filter with bounds."""


def explained(stage: str, step: Path, rejected: Mapping[str, int]) -> str:
    """For each of the most common reasons, an example's raw text and the keys of the filter's bounds, in lines.

    Args:
        stage: `captions` or `instructions`.
        step: the folder of the stage's step.
        rejected: the candidates by reason.
    """
    wanted = [reason for reason, _ in Counter(rejected).most_common(_MOST_REASONS)]
    examples: dict[str, dict[str, Any]] = {}
    for row in _rows(step):
        examples.setdefault(row["reason"], row)
        if examples.keys() >= set(wanted):
            break
    return "".join(f"{_line(stage, examples[reason])}\n" for reason in wanted if reason in examples)


def bounds(stage: str, reason: str) -> str:
    """The recipe keys that decide whether a candidate is rejected for this reason; empty if none does."""
    if keys := _KEYS.get((stage, reason)):
        return keys
    if stage == "captions":
        fields = CAPTION_FILTERS.get(reason).model_fields if reason in CAPTION_FILTERS else ()
        return ", ".join(f"captions.filters.{field}" for field in fields)
    if reason not in CONVERSATION_FILTERS:
        return ""
    filters = "instructions.tasks.TASK.filters"
    fields = CONVERSATION_FILTERS.get(reason).model_fields
    return ", ".join([*(f"{filters}.{field}" for field in fields), f"{filters}.without: [{reason}]"])


def _rows(step: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(step.glob(f"*.{REJECTED}.parquet")):
        with suppress(DamagedShardError):  # of an earlier run; this one would make it again
            yield from read_table(path, REJECTIONS).to_pylist()


def _line(stage: str, row: Mapping[str, Any]) -> str:
    raw = " ".join(row["raw"].split())
    raw = raw if len(raw) <= _MAX_RAW else f"{raw[:_MAX_RAW]}…"
    keys = bounds(stage, row["reason"])
    return f"  {row['reason']} ({row['detail'][:_MAX_RAW]}): {raw}" + (f"\n    keys: {keys}" if keys else "")
