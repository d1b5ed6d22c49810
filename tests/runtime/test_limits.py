"""A stage that rejects too much stops while it runs, and not before it has shown enough."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.generation import Counts, GenerationRecord
from unicorn_hf.runtime.limits import RejectionLimit
from unicorn_hf.runtime.progress import Progress

NOWHERE = Path("no-step")


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.known_counts: list[tuple[int, int]] = []

    def known(self, kept: int, rejected: int) -> None:
        self.known_counts.append((kept, rejected))


def record_of(kept: int, rejected: int) -> GenerationRecord:
    reasons = {"too_short": rejected} if rejected else {}
    return GenerationRecord(
        inputs="i",
        num_bytes={},
        content="c",
        counts=Counts(num_candidates=kept + rejected, num_kept=kept, rejected=reasons),
    )


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=8), st.integers(0, 20))
def test_it_stops_exactly_when_the_share_of_many_is_above_the_limit(parts: list[tuple[int, int]], most: int) -> None:
    limit = RejectionLimit("captions", NOWHERE, most / 20, Counts(), Progress())
    kept = rejected = 0
    for part in parts:
        kept, rejected = kept + part[0], rejected + part[1]
        if kept + rejected >= 20 and rejected > most / 20 * (kept + rejected) + 1e-9:
            with pytest.raises(RunError):
                limit.add(record_of(*part))
            return
        limit.add(record_of(*part))


def test_the_message_says_how_much_why_and_what_to_do() -> None:
    limit = RejectionLimit("captions", NOWHERE, 0.5, Counts(), Progress())
    with pytest.raises(RunError) as caught:
        limit.add(record_of(1000, 1204))
    assert caught.value.message == (
        "captions: 1,204 of 2,204 candidates are rejected (1,204 too_short), above the recipe's limit of 50%"
    )
    assert "raise captions.max_rejected" in caught.value.advice


def test_few_candidates_prove_nothing() -> None:
    RejectionLimit("captions", NOWHERE, 0.0, Counts(), Progress()).add(record_of(0, 19))


def test_what_was_counted_before_counts_and_the_sum_is_shown() -> None:
    told = Told()
    before = record_of(5, 15).counts
    limit = RejectionLimit("captions", NOWHERE, 0.9, before, told)
    limit.add(record_of(2, 1))
    limit.add(record_of(3, 0))
    assert told.known_counts == [(7, 16), (10, 16)]
    assert before == record_of(5, 15).counts
