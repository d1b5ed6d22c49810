"""Sketches of captions: what two sets share is known from them, and others' are checked."""

import base64
import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from unicorn_hf.builders.sketch import FORM, NUM_KEPT, Common, Overlaps, Sketch, num_shared

captions = st.lists(st.text(st.sampled_from("ab c."), max_size=12), max_size=12)


def numbered(*numbers: range) -> list[str]:
    """Different captions of 20 words that share no run of eight."""
    return [
        " ".join(f"w{random.Random(f'{n} {at}').randrange(10**6)}" for at in range(20)) for all in numbers for n in all
    ]


def common(one: Sketch | None, other: Sketch | None) -> Common:
    return Overlaps([one, other]).of(0, 1)


@given(captions, st.integers(0, 12))
def test_a_sketch_is_that_of_its_parts_in_any_order(texts: list[str], cut: int) -> None:
    whole = Sketch.of(texts)
    assert Sketch.merged([Sketch.of(texts[cut:]), Sketch.of(texts[:cut])]) == whole
    assert Sketch.model_validate_json(whole.model_dump_json()) == whole


def test_it_takes_less_than_64_kilobytes() -> None:
    sketch = Sketch.of(numbered(range(NUM_KEPT + 500)))
    assert len(sketch.captions) == len(sketch.runs) == 8 * NUM_KEPT
    assert len(sketch.model_dump_json()) < 64_000


def test_small_sets_are_compared_exactly() -> None:
    ours, theirs = Sketch.of(numbered(range(100))), Sketch.of(numbered(range(75, 275)))
    found = common(ours, theirs)
    assert found.captions
    assert (found.captions.share, found.captions.words) == (0.25, "25.0 %")
    back = common(theirs, ours).captions
    assert back
    assert back.share == 0.125


@pytest.mark.parametrize(
    ("ours", "theirs", "width"), [(6000, 6000, 0.01), (6000, 3000, 0.01), (3000, 6000, 0.016), (300, 6000, 0.085)]
)
def test_large_sets_are_estimated_within_the_stated_error(ours: int, theirs: int, width: float) -> None:
    draw, found, num_shared = np.random.default_rng(ours), [], min(ours, 300) * 3 // 4
    for _ in range(100):
        hashes = draw.integers(0, 1 << 63, ours + theirs - num_shared, np.uint64)
        two = (np.sort(part)[:NUM_KEPT] for part in (hashes[:ours], hashes[ours - num_shared :]))
        share = common(*(Sketch(captions=part.astype("<u8").tobytes()) for part in two)).captions
        assert share
        found.append(share)
    assert sum(share.lower <= num_shared / ours <= share.upper for share in found) >= 90, "of 100, at 95 %"
    assert np.mean([share.share for share in found]) == pytest.approx(num_shared / ours, rel=0.05)
    assert np.mean([share.upper - share.lower for share in found]) / 2 == pytest.approx(width, rel=0.3)


def test_changed_captions_are_still_seen_by_their_runs_of_words() -> None:
    texts = [" ".join([caption] * 3) for caption in numbered(range(300))]
    changed = [caption.replace(caption.split()[5], "other", 1) for caption in texts]
    found = common(Sketch.of(texts), Sketch.of(changed))
    assert found.captions
    assert found.runs
    assert found.captions.share == 0.0
    assert found.runs.share > 0.6
    assert common(Sketch.of(texts), Sketch.of(numbered(range(300, 600)))).largest == 0.0


def test_captions_are_the_same_if_their_words_are() -> None:
    found = common(Sketch.of(["A red jar, on a shelf."]), Sketch.of(["a red jar on a shelf"]))
    assert found.captions
    assert found.captions.share == 1.0
    assert found.runs is None, "no run of eight words"


def test_nothing_is_known_without_a_sketch_or_of_another_form() -> None:
    sketch = Sketch.of(numbered(range(3)))
    assert common(sketch, None) == common(None, sketch) == Common()
    assert common(sketch, sketch.model_copy(update={"form": FORM + 1})) == Common()
    assert common(Sketch(), Sketch()) == Common()


def test_pairs_are_those_that_share_something() -> None:
    sketches = [Sketch.of(numbered(range(start, start + 10))) for start in (0, 5, 100)]
    assert set(Overlaps(sketches).pairs()) == {(0, 1), (1, 0)}


@given(st.lists(st.sets(st.integers(0, 20)), max_size=6))
def test_shared_hashes_are_counted(sets: list[set[int]]) -> None:
    found = num_shared([np.array(sorted(one), np.uint64) for one in sets])
    assert found.tolist() == [[len(one & other) for other in sets] for one in sets]


def test_samples_of_others_are_refused_if_they_are_no_samples() -> None:
    hashes = np.arange(NUM_KEPT + 1, dtype="<u8")
    for wrong in (
        base64.b64encode(hashes.tobytes()).decode(),
        base64.b64encode(hashes[::-1][:10].tobytes()).decode(),
        base64.b64encode(hashes[[3, 3]].tobytes()).decode(),
        base64.b64encode(b"seven b").decode(),
        "not base64 !",
        "AAAA" * 10_000_000,
        "é" * 16,
        17,
        None,
        [1, 2],
    ):
        with pytest.raises(ValidationError):
            Sketch.model_validate_json(json.dumps({"captions": wrong}))
