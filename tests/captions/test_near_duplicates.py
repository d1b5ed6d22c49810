"""Near-duplicates: found where they are, the better one kept, the same set however the work was cut up."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages import SerialPool
from unicorn_hf.captions.candidates import Candidates
from unicorn_hf.captions.greedy import select
from unicorn_hf.captions.minhash import jaccard, key_shape, may_be_alike, meeting, shingles, sketch
from unicorn_hf.captions.step import digest_of
from unicorn_hf.core.generation import Encoded
from unicorn_hf.core.recipe import NearDuplicates
from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.runtime.files import rows_table, write_table

ONE_PAIR = np.array([[0, 1]])
VOCABULARY = [f"word{number}" for number in range(400)]


def write_captions(path: Path, texts: list[str]) -> Path:
    rows = [
        {"id": str(n), "caption": t, "digest": digest_of(t), "seed": "s", "source": "f", "domain": "d"}
        for n, t in enumerate(texts)
    ]
    write_table(path, rows_table(rows, CAPTIONS), CAPTIONS)
    return path


def families(number: int, variants: int, seed: int = 0) -> list[str]:
    """Texts of 60 words; each of `number` has `variants` that differ from it in a few words each, in mixed order."""
    rng = random.Random(seed)
    texts = []
    for _ in range(number):
        text = rng.choices(VOCABULARY, k=60)
        for variant in range(variants):
            changed = list(text)
            for _ in range(variant):
                changed[rng.randrange(60)] = rng.choice(VOCABULARY)
            texts.append(" ".join(changed) + ".")
    rng.shuffle(texts)
    return texts


@dataclass
class PlaceEncoder:
    """An encoder whose vectors say where a text's number stands on a circle: `text 7` at 7 hundredths."""

    dim: int = 2
    text_identity: str = "place"
    uses_gpu: bool = False

    def open(self) -> "PlaceEncoder":
        return self

    def close(self) -> None:
        """Nothing to give back."""

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> Encoded:
        angles = np.array([int(text.split()[1].rstrip(".")) / 100 for text in texts])
        return Encoded(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), 0)


def candidates_of(
    folder: Path,
    texts: list[str],
    sizes: list[int],
    config: NearDuplicates,
    waves: int,
    encoder: PlaceEncoder | None = None,
) -> Candidates:
    """The texts cut into shards of `sizes`, in turn, and added in `waves`."""
    paths, begin = [], 0
    while begin < len(texts):
        size = sizes[len(paths) % len(sizes)]
        paths.append(write_captions(folder / f"{begin}.parquet", texts[begin : begin + size]))
        begin += size
    candidates = Candidates(config, folder / "work", encoder)
    for part in np.array_split(np.arange(len(paths)), waves):
        candidates.add([paths[at] for at in part], SerialPool())
    return candidates


def kept(candidates: Candidates, wanted: int) -> list[int]:
    return np.flatnonzero(candidates.select(wanted)[0].kept).tolist()


def test_of_captions_that_say_nearly_the_same_one_is_kept_and_it_is_the_better_one(tmp_path: Path) -> None:
    texts = families(40, 4)
    config = NearDuplicates()
    chosen = kept(candidates_of(tmp_path, texts, [13], config, 1), len(texts))
    runs = [shingles(text, config.shingle_words) for text in texts]
    rank = [(-len(set(text.rstrip(".").split())), at) for at, text in enumerate(texts)]
    assert 40 <= len(chosen) < 80
    for one, other in combinations(chosen, 2):
        assert jaccard(runs[one], runs[other]) < 0.7
    for at in set(range(len(texts))) - set(chosen):
        assert any(jaccard(runs[at], runs[other]) >= 0.7 and rank[other] < rank[at] for other in chosen)


@pytest.mark.parametrize(("sizes", "waves"), [([7], 1), ([64], 2), ([5, 1, 31], 4), ([1000], 1)])
def test_the_set_is_the_same_however_the_candidates_are_cut_up(sizes: list[int], waves: int, tmp_path: Path) -> None:
    texts = families(30, 3, seed=1)
    whole = kept(candidates_of(tmp_path / "whole", texts, [len(texts)], NearDuplicates(), 1), 25)
    assert kept(candidates_of(tmp_path / "cut", texts, sizes, NearDuplicates(), waves), 25) == whole
    assert len(whole) == 25


def test_rows_are_told_by_shard(tmp_path: Path) -> None:
    texts = families(20, 2)
    candidates = candidates_of(tmp_path, texts, [7], NearDuplicates(), 2)
    selection, rows = candidates.select(len(texts))
    assert [begin + row for begin, here in zip(range(0, 40, 7), rows, strict=True) for row in here] == np.flatnonzero(
        selection.kept
    ).tolist()


def test_captions_of_the_same_words_are_duplicates_and_the_first_is_kept(tmp_path: Path) -> None:
    texts = ["A dog, a cat.", "A cow.", "a dog a cat", "A cow!", "A hen."]
    for threshold in (None, 1.0):
        candidates = candidates_of(tmp_path, texts, [2], NearDuplicates(threshold=threshold), 2)
        assert kept(candidates, 9) == [0, 1, 4]
        assert candidates.is_first.tolist() == [True, True, False, False, True]


def test_without_a_threshold_nothing_is_compared(tmp_path: Path) -> None:
    texts = families(5, 3)
    assert len(kept(candidates_of(tmp_path, texts, [4], NearDuplicates(threshold=None), 1), 99)) == len(set(texts))
    assert not (tmp_path / "work").exists()


def test_a_second_run_finds_what_the_first_compared(tmp_path: Path) -> None:
    texts = families(20, 3)
    first = kept(candidates_of(tmp_path, texts, [9], NearDuplicates(), 2), 15)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.*")}
    assert kept(candidates_of(tmp_path, texts, [9], NearDuplicates(), 2), 15) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.*")} == written


def test_a_large_cluster_of_one_text_takes_a_bounded_number_of_comparisons() -> None:
    keys = np.zeros(5000, np.uint64)
    pairs = meeting(keys, np.arange(5000))
    assert len(pairs) < 5000 * 17
    assert set(pairs[:, 1]) == set(range(1, 5000))
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_texts_just_at_the_threshold_meet_as_often_as_promised() -> None:
    for threshold in (0.3, 0.5, 0.7, 0.9, 0.99):
        num_keys, rows = key_shape(threshold, 128)
        assert num_keys * rows <= 128
        assert 1 - (1 - threshold**rows) ** num_keys >= 0.97
    rng = random.Random(3)
    config = NearDuplicates(threshold=0.7, shingle_words=1)
    met = 0
    for _ in range(200):
        shared, own = rng.sample(VOCABULARY, 70), [f"x{rng.random()}" for _ in range(30)]
        keys, marks = sketch([" ".join(shared + own[:15]), " ".join(shared + own[15:])], config)
        met += bool((keys[0] == keys[1]).any() and may_be_alike(marks.T, ONE_PAIR, config)[0])
    assert met >= 190


@pytest.mark.parametrize("num_hashes", [1, 33, 64, 128])
def test_marks_agree_as_the_hashes_do(num_hashes: int) -> None:
    config = NearDuplicates(num_hashes=num_hashes, shingle_words=1)
    _, same = sketch(["a b c", "c b a"], config)
    assert may_be_alike(same.T, ONE_PAIR, config)[0]
    texts = [" ".join(f"{who}{number}" for number in range(40)) for who in range(60)]
    _, other = sketch(texts, config)
    pairs = np.array(list(combinations(range(60), 2)))
    share = may_be_alike(other.T, pairs, config).mean()
    assert share < (0.01 if num_hashes > 60 else 1.1), "texts that share nothing"


@given(st.text(), st.integers(1, 5))
def test_runs_of_words(text: str, number: int) -> None:
    runs = shingles(text, number)
    assert jaccard(runs, runs) == 1
    assert jaccard(runs, shingles(f"{text} {text}", number)) <= 1


@st.composite
def graphs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    number = draw(st.integers(1, 14))
    eligible = np.array(draw(st.lists(st.booleans() | st.just(True), min_size=number, max_size=number)))
    richness = np.array(draw(st.lists(st.integers(1, 4), min_size=number, max_size=number)), np.int32)
    able = np.flatnonzero(eligible).tolist()
    pairs = [pair for pair in combinations(able, 2) if draw(st.integers(0, 3)) == 0]
    return eligible, richness, pairs


@given(graphs(), st.integers(0, 15))
def test_the_selection_is_what_its_definition_says(
    graph: tuple[np.ndarray, np.ndarray, list[tuple[int, int]]], wanted: int
) -> None:
    eligible, richness, pairs = graph

    def greedy(taken: int) -> set[int]:
        chosen: set[int] = set()
        for row in sorted(range(taken), key=lambda row: (-richness[row], row)):
            if eligible[row] and not any((min(row, o), max(row, o)) in pairs for o in chosen):
                chosen.add(row)
        return chosen

    # The shortest run that has enough; all where none has.
    number = next((n for n in range(len(eligible) + 1) if len(greedy(n)) >= wanted), len(eligible))
    selection = select(eligible, richness, pairs, wanted)
    assert selection.num_used == number
    assert set(np.flatnonzero(selection.kept)) == greedy(number)


@pytest.mark.parametrize("rows_per_cell", [10_000, 8])
@pytest.mark.parametrize(("sizes", "waves"), [([100], 1), ([7], 3)])
def test_captions_of_one_meaning_are_near_duplicates(
    sizes: list[int], waves: int, rows_per_cell: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unicorn_hf.captions.semantic._ROWS_PER_CELL", rows_per_cell)
    texts = [f"Text {number}." + " and more" * (number % 3 == 1) for number in range(90)]
    random.Random(0).shuffle(texts)
    config = NearDuplicates(semantic_threshold=float(np.cos(0.015)))
    chosen = kept(candidates_of(tmp_path, texts, sizes, config, waves, PlaceEncoder()), 90)
    # Neighbours mean the same; the middle one of three has more words and stays.
    assert sorted(int(texts[at].split()[1].rstrip(".")) for at in chosen) == list(range(1, 90, 3))
    without = kept(candidates_of(tmp_path, texts, sizes, NearDuplicates(), waves, PlaceEncoder()), 90)
    assert len(without) == 90


def test_meanings_are_compared_after_a_wave_without_captions(tmp_path: Path) -> None:
    candidates = Candidates(NearDuplicates(semantic_threshold=0.99), tmp_path / "work", PlaceEncoder())
    for name, texts in {"none": [], "two": ["Text 7.", "Text 8."]}.items():
        candidates.add([write_captions(tmp_path / f"{name}.parquet", texts)], SerialPool())
    assert kept(candidates, 9) == [0]
