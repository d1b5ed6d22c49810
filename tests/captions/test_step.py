"""Stage 1: which captions are in the set, what is asked for them, and what is never asked again."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.stages import Scripted, SerialPool, echo, recipe_of, rejections, seed_shards, seeds_file
from unicorn_hf.captions.candidates import Candidates
from unicorn_hf.captions.step import CaptionSet, CaptionStage
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.ids import caption_id, stable_int
from unicorn_hf.core.recipe import CaptionFilters, Recipe
from unicorn_hf.core.schemas import CAPTIONS, SEEDS
from unicorn_hf.runtime.answers import store_at
from unicorn_hf.runtime.files import read_table, take_rows
from unicorn_hf.runtime.progress import Progress

CHANGED_FILTERS: dict[str, object] = {
    "min_words": 20,
    "max_words": 600,
    "max_repeated_fraction": 0.5,
    "forbid_caption_talk": False,
    "forbid_refusals": False,
    "forbid_markup": False,
    "check_language": False,
    "max_rhetoric": 3,
    "min_seed_coverage": 0.9,
    "min_added_words": 3,
    "forbid_unsafe": False,
    "unsafe_words": ["zebra"],
}


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return seeds_file(tmp_path, 20)


def run(recipe: Recipe, tmp_path: Path, generator: Scripted) -> CaptionSet:
    store_at.cache_clear()  # As another process.
    work_dir = tmp_path / "work"
    shards = seed_shards(recipe, work_dir)
    return CaptionStage(recipe, shards, generator, work_dir, work_dir / generator.identity).run(
        SerialPool(), Progress()
    )  # type: ignore[arg-type]


def rows(made: CaptionSet) -> list[dict[str, str]]:
    return [
        row for picked in made.picked for row in take_rows(read_table(picked.path, CAPTIONS), picked.rows).to_pylist()
    ]


def seed_order(recipe: Recipe, tmp_path: Path) -> list[str]:
    shards = seed_shards(recipe, tmp_path / "work")
    return [seed for path in shards.paths for seed in read_table(path, SEEDS).column("seed").to_pylist()]


def sample_of(row: dict[str, str]) -> int:
    return next(s for s in range(99) if caption_id(row["seed"], "caption-v1-short", s) == row["id"])


@pytest.mark.parametrize("number", [2, 7, 8, 9, 20, 21, 47])
def test_the_set_has_the_captions_asked_for_in_a_fixed_order(number: int, seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=number, instructions=1)
    made = run(recipe, tmp_path, Scripted(echo))
    kept = rows(made)
    assert made.num == len(kept) == number
    order = seed_order(recipe, tmp_path)
    assert [(sample_of(row), row["seed"]) for row in kept] == [
        (position // 20, order[position % 20]) for position in range(number)
    ]
    assert len({row["caption"] for row in kept}) == number
    assert made.counts.num_kept == made.counts.num_candidates == number
    assert made.counts.rejected == {}


def test_what_is_rejected_gives_its_place_to_the_next(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=20)
    refused = set(seed_order(recipe, tmp_path)[3:9])

    def say(request: Request, time: int) -> Answer | str:
        first = request.id == caption_id(request.subject, "caption-v1-short", 0)
        return "I'm sorry, I cannot see that." if request.subject in refused and first else echo(request, time)

    made = run(recipe, tmp_path, Scripted(say))
    kept = rows(made)
    order = seed_order(recipe, tmp_path)
    assert [row["seed"] for row in kept] == [seed for seed in order if seed not in refused] + order[:6]
    assert made.counts.rejected == {"refusal": 6}
    assert made.counts.num_kept == 20
    assert made.counts.num_candidates == 26
    stored = rejections(tmp_path / "work")
    assert {row["subject"] for row in stored} == refused
    assert {(row["stage"], row["reason"], row["raw"]) for row in stored} == {
        ("captions", "refusal", "I'm sorry, I cannot see that.")
    }


def test_captions_of_the_same_words_are_one(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=20)

    def say(request: Request, time: int) -> Answer | str:
        """The captions of the seeds 0 to 9 of the first sample are those of the seeds 10 to 19."""
        text = echo(request, time).text
        first = request.id == caption_id(request.subject, "caption-v1-short", 0)
        number = int(request.subject.removeprefix("seed number "))
        if not first:
            return text
        twin = Request(str(number % 10), "seed number", request.messages, request.sampling, 0)
        return echo(twin, 0).text.replace(", ", " , ") if number % 2 else echo(twin, 0).text

    made = run(recipe, tmp_path, Scripted(say))
    assert made.num == 20
    assert made.counts.rejected == {"duplicate": 10}
    assert made.counts.num_candidates == made.counts.num_kept + made.counts.num_rejected
    assert len({row["caption"].replace(" , ", ", ") for row in rows(made)}) == 20


def test_no_more_are_asked_than_are_wanted(seeds: Path, tmp_path: Path) -> None:
    asked = Scripted(echo)
    made = run(recipe_of(seeds, captions=10, instructions=1), tmp_path, asked)
    assert (len(asked.asked), made.counts.num_candidates) == (10, 10)


def test_what_is_missing_is_asked_with_a_margin_and_what_is_more_is_surplus(seeds: Path, tmp_path: Path) -> None:
    bad = iter([True, True])
    asked = Scripted(lambda request, time: "No." if next(bad, False) else echo(request, time))
    made = run(recipe_of(seeds, captions=10, instructions=1), tmp_path, asked)
    # Two are missing, and eight of ten were kept: (2 + 2 sqrt(2 * 0.2)) / 0.8 are asked.
    assert (len(asked.asked), made.num, made.counts.num_candidates) == (15, 10, 12)


def test_a_seed_that_got_no_answer_is_left_out_of_the_next_wave(tmp_path: Path) -> None:
    def say(request: Request, time: int) -> Answer:
        return Answer("no", "refused", 5, 0) if request.subject == "seed number 1" else echo(request, time)

    recipe = recipe_of(seeds_file(tmp_path, 3), captions=6, instructions=1)
    asked = Scripted(say)
    made = run(recipe, tmp_path, asked)
    # Twice in the wave of the first six candidates, and not in the one that brings what was missing.
    assert Counter(request.subject for request in asked.asked)["seed number 1"] == 2
    assert made.num == 6
    assert run(recipe, tmp_path, Scripted(lambda request, time: pytest.fail("asked"))).picked == made.picked


def test_a_second_run_asks_nothing(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=30)
    before = run(recipe, tmp_path, Scripted(echo))
    again = Scripted(lambda request, time: pytest.fail("asked again"))
    assert run(recipe, tmp_path, again) == before
    assert again.asked == []


def test_a_set_that_is_done_is_known_without_looking_for_duplicates(
    seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(recipe_of(seeds, captions=15), tmp_path, Scripted(echo))
    # A folder that was copied back, or a clock that jumps, changes times.
    os.utime(made.picked[0].path, ns=(0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(Candidates, "add", lambda *_: pytest.fail("looked for duplicates"))
        again = run(recipe_of(seeds, captions=15), tmp_path, Scripted(echo))
    assert (again.picked, again.counts) == (made.picked, made.counts)


def test_what_an_engine_says_otherwise_when_it_is_asked_again_is_another_shard(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=15)
    before = run(recipe, tmp_path, Scripted(echo)).picked
    next(tmp_path.rglob("captions-*/000-00000.json")).unlink()
    shutil.rmtree(tmp_path / "work" / "scripted")
    other = Scripted(lambda request, time: f"{echo(request, time).text} It is late.")
    after = run(recipe, tmp_path, other).picked
    assert (after[0].path, after[0].partition) == (before[0].path, before[0].partition)
    assert after[0].identity != before[0].identity, "what was made of the old words is not found for the new ones"
    assert after[1] == before[1]


def test_more_captions_ask_for_the_further_ones_only(seeds: Path, tmp_path: Path) -> None:
    first = Scripted(echo)
    fewer = rows(run(recipe_of(seeds, captions=20), tmp_path, first))
    more = Scripted(echo)
    made = run(recipe_of(seeds, captions=40), tmp_path, more)
    assert rows(made)[:20] == fewer
    assert {request.id for request in more.asked}.isdisjoint(request.id for request in first.asked)


def test_other_filters_judge_the_stored_answers_again(seeds: Path, tmp_path: Path) -> None:
    before = run(recipe_of(seeds, captions=10, instructions=1), tmp_path, Scripted(echo))
    lengths = sorted(len(row["caption"].split()) for row in rows(before))
    stricter = recipe_of(
        seeds, captions=3, instructions=1, captions__filters={"min_words": lengths[3], "max_words": 500}
    )
    asked = Scripted(echo)
    made = run(stricter, tmp_path, asked)
    assert asked.asked == []
    assert all(len(row["caption"].split()) >= lengths[3] for row in rows(made))


@pytest.mark.parametrize(
    "changes",
    [
        *({"captions__filters": {name: value}} for name, value in CHANGED_FILTERS.items()),
        {"captions__near_duplicates": {"threshold": None}},
        {"captions__near_duplicates": {"threshold": 0.9, "shingle_words": 2, "num_hashes": 64}},
        {"language": ["en", "de"]},
    ],
)
def test_no_change_of_a_filter_asks_again_for_what_is_stored(
    changes: dict[str, object], seeds: Path, tmp_path: Path
) -> None:
    first = run(recipe_of(seeds, captions=20), tmp_path, Scripted(echo))
    assert first.num == 20
    changed = run(recipe_of(seeds, captions=20, **changes), tmp_path, asked := Scripted(echo))
    assert asked.asked == []
    assert changed.num == 20


def test_every_filter_is_among_those_that_were_changed() -> None:
    defaults = CaptionFilters()
    assert set(CHANGED_FILTERS) == set(CaptionFilters.model_fields)
    assert all(getattr(defaults, name) != value for name, value in CHANGED_FILTERS.items())


def test_near_duplicates_give_their_place_to_the_next(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=20)
    order = seed_order(recipe, tmp_path)
    poorer = set(order[4:7])

    def say(request: Request, time: int) -> Answer | str:
        """Four seeds get one caption with endings of their own; that of the fourth has more words."""
        first = request.id == caption_id(request.subject, "caption-v1-short", 0)
        if not first or request.subject not in {*poorer, order[12]}:
            return echo(request, time)
        twin = Request("twin", "seed number", request.messages, request.sampling, 0)
        text = echo(twin, 0).text
        return (
            f"{text} Unlike the others it ends here."
            if request.subject == order[12]
            else f"{text} It is {order.index(request.subject)}."
        )

    made = run(recipe, tmp_path, Scripted(say))
    assert made.counts.rejected == {"near_duplicate": 3}
    assert made.counts.num_candidates == made.counts.num_kept + 3 == 23
    kept_for = next(row["id"] for row in rows(made) if row["seed"] == order[12])
    stored = rejections(tmp_path / "work")
    assert {row["subject"] for row in stored} == poorer
    assert {(row["stage"], row["reason"], row["detail"]) for row in stored} == {
        ("captions", "near_duplicate", f"of {kept_for}")
    }
    assert all(row["raw"].startswith("A ") for row in stored)
    assert [row["seed"] for row in rows(made)] == [seed for seed in order if seed not in poorer] + order[:3]
    assert made.num == 20


@pytest.mark.parametrize(
    "changes",
    [
        {"captions__sampling": {"temperature": 0.5}},
        {"captions__prompt": "caption-v2"},
        {"random_seed": 1},
    ],
)
def test_another_way_of_asking_asks_again(changes: dict[str, object], seeds: Path, tmp_path: Path) -> None:
    run(recipe_of(seeds, captions=8), tmp_path, Scripted(echo))
    asked = Scripted(echo)
    run(recipe_of(seeds, captions=8, **changes), tmp_path, asked)
    assert len(asked.asked) == 8


def test_another_engine_is_asked_again(seeds: Path, tmp_path: Path) -> None:
    run(recipe_of(seeds, captions=8), tmp_path, Scripted(echo))
    other = Scripted(echo, identity="another")
    run(recipe_of(seeds, captions=8), tmp_path, other)
    assert len(other.asked) == 8


def test_ids_do_not_depend_on_the_engine_or_the_random_seed(seeds: Path, tmp_path: Path) -> None:
    kept = rows(run(recipe_of(seeds, captions=20), tmp_path, Scripted(echo)))
    others = rows(run(recipe_of(seeds, captions=20, random_seed=5), tmp_path, Scripted(echo, identity="another")))
    assert {row["id"] for row in kept} == {row["id"] for row in others}
    assert [row["id"] for row in kept] != [row["id"] for row in others]


def test_requests_share_all_but_the_seed(seeds: Path, tmp_path: Path) -> None:
    asked = Scripted(echo)
    run(recipe_of(seeds, captions=20), tmp_path, asked)
    assert len({request.messages[:-1] for request in asked.asked}) == 1
    assert len({request.seed for request in asked.asked}) == len(asked.asked) == 20
    for request in asked.asked:
        assert request.messages[-1].content.endswith(request.subject)
        assert request.json_schema is None


def test_when_the_attempts_are_exhausted_the_counts_are_shown(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=20, captions__max_attempts_per_caption=2, captions__max_rejected=1.0)

    def say(request: Request, time: int) -> Answer | str:
        return echo(request, time) if int(request.subject[-1]) < 3 else "**No**."

    first = Scripted(say)
    with pytest.raises(RunError) as caught:
        run(recipe, tmp_path, first)
    assert caught.value.message == ("only 12 of 20 captions are kept after 40 candidates (rejected: 28 markup)")
    assert "All answers are kept." in caught.value.advice
    assert "captions.max_attempts_per_caption" in caught.value.advice
    more = Scripted(say)
    recipe = recipe_of(seeds, captions=20, captions__max_attempts_per_caption=4, captions__max_rejected=1.0)
    assert run(recipe, tmp_path, more).num == 20
    assert {request.id for request in more.asked}.isdisjoint(request.id for request in first.asked)


def test_captions_per_seed_bounds_the_samples(seeds: Path, tmp_path: Path) -> None:
    made = run(recipe_of(seeds, captions=40, captions__captions_per_seed=2), tmp_path, Scripted(echo))
    assert max(sample_of(row) for row in rows(made)) == 1
    with pytest.raises(RunError, match="only 40 of 41 captions are kept after 40 candidates"):
        run(recipe_of(seeds, captions=41, captions__captions_per_seed=2), tmp_path, Scripted(echo))


def test_too_many_rejections_stop_the_stage_early(seeds: Path, tmp_path: Path) -> None:
    recipe = recipe_of(seeds, captions=200, captions__max_rejected=0.5)
    asked = Scripted(lambda request, time: "No")
    with pytest.raises(RunError) as caught:
        run(recipe, tmp_path, asked)
    assert "captions: 2" in caught.value.message
    assert "are rejected (2" in caught.value.message
    assert "above the recipe's limit of 50%" in caught.value.message
    assert "captions.max_rejected" in caught.value.advice
    assert len(asked.asked) < 40


def test_answers_that_leave_no_room_are_rejected_as_such(seeds: Path, tmp_path: Path) -> None:
    def say(request: Request, time: int) -> Answer | str:
        return Answer("", "context", 9000, 0) if request.subject.endswith("7") else echo(request, time)

    made = run(recipe_of(seeds, captions=20), tmp_path, Scripted(say))
    assert made.num == 20
    assert set(made.counts.rejected) == {"too_long_for_model"}
    assert {row["detail"] for row in rejections(tmp_path / "work")} == {"9000 tokens of prompt"}


def test_a_row_that_got_no_answer_is_counted_and_asked_again_by_the_next_run(seeds: Path, tmp_path: Path) -> None:
    def fail(request: Request, time: int) -> Answer | str:
        return Answer("status 500", "failed", 0, 0) if request.subject == "seed number 3" else echo(request, time)

    recipe = recipe_of(seeds, captions=20)
    first = run(recipe, tmp_path, Scripted(fail))
    assert first.counts.rejected == {"not_answered": 1}
    assert first.counts.num_candidates == 21
    generator = Scripted(echo)
    second = run(recipe, tmp_path, generator)
    assert [request.subject for request in generator.asked] == ["seed number 3"]
    assert second.counts.rejected == {}
    assert [row["seed"] for row in rows(second)] == seed_order(recipe, tmp_path)


def test_a_screen_scores_what_passes_the_filters_and_another_bound_asks_nothing(seeds: Path, tmp_path: Path) -> None:
    def say(request: Request, time: int) -> Answer | str:
        if not request.json_schema:
            return echo(request, time)
        return json.dumps({"score": 1 + stable_int("score", request.subject) % 5})

    def made(min_score: int) -> tuple[CaptionSet, Scripted]:
        asked = Scripted(say)
        recipe = recipe_of(
            seeds,
            captions=6,
            instructions=1,
            captions__screen={"min_score": min_score},
            captions__max_attempts_per_caption=8,
        )
        return run(recipe, tmp_path, asked), asked

    strict, first = made(5)
    assert strict.num == 6
    assert set(strict.counts.rejected) == {"unsafe_score"}
    scored = [request.subject for request in first.asked if request.json_schema]
    assert {row["caption"] for row in rows(strict)} <= set(scored)
    mild, again = made(2)
    assert mild.num == 6
    assert again.asked == []
