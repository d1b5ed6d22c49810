"""How many conversations of which task, and which caption is asked for which."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages import Scripted, SerialPool, echo, pairs_of, recipe_of, rejections, seed_shards, seeds_file
from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import Example, Prompt
from unicorn_hf.core.recipe import (
    Instructions,
    Recipe,
    Sampling,
    Tasks,
)
from unicorn_hf.core.schemas import CAPTIONS, INSTRUCTIONS
from unicorn_hf.core.task import FormatName, InstructionFilters, PairRange
from unicorn_hf.instructions.reading import Candidate, Conversation, read_conversation
from unicorn_hf.instructions.step import (
    InstructionSet,
    InstructionStage,
    load_prompts,
    quotas,
    task_in_round,
)
from unicorn_hf.runtime.answers import store_at
from unicorn_hf.runtime.files import read_table, take_rows
from unicorn_hf.runtime.progress import Progress

WEIGHTS = st.tuples(*[st.integers(0, 300) | st.floats(0.001, 1000)] * 3).filter(any)
PROMPT = Prompt(version="1", system="s", user="{subject}")
CANDIDATE = Candidate(id="id", caption="A dog.", row=0, task="question_answering")
GOOD = [("What is it?", "The dog."), ("What is the dog like?", "The dog is small."), ("Where is it?", "The dog?")]


def read(text: str, finish_reason: str = "stop", **filters: Any) -> Conversation | Rejected:
    """What becomes of an answer of which 1 to 2 pairs are wanted."""
    used = config(filters=InstructionFilters(**filters))
    return read_conversation(CANDIDATE, Answer(text, finish_reason, 9, 9), used, PROMPT)  # type: ignore[arg-type]


def config(
    num: int = 470,
    weights: tuple[float, ...] = (171, 199, 100),
    filters: InstructionFilters | None = None,
) -> Instructions:
    tasks = {
        name: TASKS.get(name)(
            weight=weight, pairs=PairRange(min=1, max=2), prompt="p", filters=filters or InstructionFilters()
        )
        for name, weight in zip(TASKS.own_names, weights, strict=True)
    }
    return Instructions(num=num, tasks=Tasks(**tasks))


def test_the_papers_proportions() -> None:
    assert list(quotas(config(470_000)).values()) == [171_000, 199_000, 100_000]
    assert list(quotas(config(470)).values()) == [171, 199, 100]
    assert sum(quotas(config(471)).values()) == 471


@given(st.integers(1, 10_000), WEIGHTS)
def test_quotas_add_up_and_are_in_proportion(num: int, weights: tuple[float, ...]) -> None:
    parts = quotas(config(num, weights))
    assert sum(parts.values()) == num
    for task, weight in zip(TASKS.own_names, weights, strict=True):
        assert abs(parts.get(task, 0) - num * weight / sum(weights)) < 1
    assert all(task in parts for task, weight in zip(TASKS.own_names, weights, strict=True) if weight)
    assert not any(task in parts for task, weight in zip(TASKS.own_names, weights, strict=True) if not weight)


@given(st.text(st.characters(exclude_categories=["Cs"])), WEIGHTS)
def test_each_round_asks_for_another_task_until_all_were_asked_for(caption: str, weights: tuple[float, ...]) -> None:
    used = config(weights=weights)
    number = sum(1 for weight in weights if weight)
    rounds = [task_in_round(used, caption, round_number) for round_number in range(number)]
    assert sorted(rounds) == sorted(task for task, weight in zip(TASKS.own_names, weights, strict=True) if weight)
    assert task_in_round(used, caption, number) == rounds[0]


@pytest.mark.parametrize("weights", [(171, 199, 100), (1, 1, 1), (0, 3, 1), (0, 0, 5), (0.1, 0.2, 0.7)])
def test_the_first_round_asks_in_proportion(weights: tuple[float, ...]) -> None:
    number = 10_000
    used = config(weights=weights)
    asked = Counter(task_in_round(used, f"caption {index}", 0) for index in range(number))
    for task, weight in zip(TASKS.own_names, weights, strict=True):
        assert abs(asked[task] / number - weight / sum(weights)) < 0.02


def test_the_number_wanted_does_not_change_what_a_caption_is_asked_for() -> None:
    for index in range(100):
        assert task_in_round(config(10), str(index), 0) == task_in_round(config(10_000), str(index), 0)


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ('{"pairs":[{"question":"What is it?","answer":"The dog."}]}', "stop", None),
        ('{"pairs":[{"question":"What is it?","answer":"The dog."}]}', "length", "unfinished"),
        ("", "context", "too_long_for_model"),
        ('{"pairs":[{"question":"What is', "stop", "not_json"),
        ('{"pairs":[{"question":"What is it?"}]}', "stop", "wrong_shape"),
        ('{"pairs":[]}', "stop", "wrong_count"),
        ('{"pairs":[{"question":"What is it?","answer":"It is not mentioned."}]}', "stop", "caption_talk"),
    ],
)
def test_an_answer_is_kept_or_rejected_with_its_reason(text: str, finish_reason: str, reason: str | None) -> None:
    outcome = read(text, finish_reason)
    assert (outcome.reason if isinstance(outcome, Rejected) else None) == reason


@given(st.text())
def test_any_answer_is_kept_or_rejected(text: str) -> None:
    outcome = read(text)
    assert isinstance(outcome, Rejected) or len(outcome.turns) in (1, 2)


def test_a_pair_that_fails_is_left_out_if_enough_remain() -> None:
    bad = ("What is it?", "It is not mentioned.")
    outcome = read(pairs_of(bad, *GOOD[:2]))
    assert isinstance(outcome, Conversation)
    assert [turn.question for turn in outcome.turns] == [question for question, _ in GOOD[:2]]
    assert [wrong.reason for wrong in outcome.dropped] == ["caption_talk"]
    for outcome in (read(pairs_of(bad, bad)), read(pairs_of(GOOD[0], bad), keep_rest=False)):
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "caption_talk"


def test_more_pairs_than_wanted_are_too_many_and_the_first_are_kept() -> None:
    outcome = read(pairs_of(*GOOD), without=["asks_back"])
    assert isinstance(outcome, Conversation)
    assert [turn.question for turn in outcome.turns] == [question for question, _ in GOOD[:2]]
    assert outcome.dropped == ()


def test_a_sentence_of_a_worked_example_is_not_the_models_own() -> None:
    example = Example(subject="A cat.", answer=pairs_of(("What does the cat do all day?", "Nothing.")))
    prompt = PROMPT.model_copy(update={"examples": (example,)})
    answer = Answer(pairs_of(("What does the cat do all day?", "The dog.")), "stop", 9, 9)
    for off, reason in (((), "copied_example"), (("copied_example",), None)):
        filters = InstructionFilters(without=off, min_grounded=0)
        outcome = read_conversation(CANDIDATE, answer, config(filters=filters), prompt)
        assert (outcome.reason if isinstance(outcome, Rejected) else None) == reason


@pytest.mark.parametrize("task", TASKS.own_names)
@pytest.mark.parametrize("written", get_args(FormatName))
@pytest.mark.parametrize("size", ["v2", "v2-short"])
def test_our_own_worked_examples_pass_all_checks(task: str, written: FormatName, size: str) -> None:
    filters = InstructionFilters(without=["copied_example"], keep_rest=False)
    one = (
        Tasks()
        .by_name()[task]
        .model_copy(
            update={"prompt": f"{task}-{size}", "format": written, "filters": filters, "pairs": PairRange(min=2, max=8)}
        )
    )
    used = Instructions(num=1, tasks=Tasks(**{task: one}))
    prompt = load_prompts(used)[task]
    for example in prompt.asked.examples:
        outcome = read_conversation(
            Candidate("id", example.subject, 0, task), Answer(example.answer, "stop", 9, 9), used, prompt.source
        )
        assert isinstance(outcome, Conversation), outcome
        assert f"{one.pairs.min} to {one.pairs.max}" in prompt.asked.system + prompt.asked.user or size == "v2-short"


def test_the_right_letters_of_a_rehearsal_of_ten_thousand_choices_are_even() -> None:
    """Within 2 % of even: 2,450 to 2,550 of 10,000."""
    task = Tasks().multiple_choice
    used = config(filters=InstructionFilters(min_grounded=0)).model_copy(update={"tasks": Tasks()})
    schema = task.json_schema()
    letters: list[str] = []
    for number in itertools.count():
        caption = f"A donkey pulls cart number {number} along the lane."
        request = Request(f"row {number}", caption, (), Sampling(), number, schema)
        candidate = Candidate(request.id, caption, number, "multiple_choice")
        outcome = read_conversation(candidate, echo(request, 0), used, PROMPT)
        assert isinstance(outcome, Conversation)
        letters += [turn.answer for turn in outcome.turns]
        if len(letters) >= 10_000:
            break
    counts = Counter(letters[:10_000])
    assert set(counts) == set("ABCD")
    assert all(2450 <= count <= 2550 for count in counts.values()), counts


class TestStage:
    """The stage as a whole, in this process."""

    def make(
        self, tmp_path: Path, recipe: Recipe, generator: Scripted
    ) -> tuple[dict[str, dict[str, Any]], InstructionSet, list[str]]:
        """The conversations by their caption's id, the set, and the ids of all captions in order."""
        store_at.cache_clear()  # As another process.
        work_dir = tmp_path / "work"
        shards = seed_shards(recipe, work_dir)
        writer = Scripted(echo, identity="captions")
        made = CaptionStage(recipe, shards, writer, work_dir, work_dir / writer.identity).run(SerialPool(), Progress())  # type: ignore[arg-type]
        captions = [
            row
            for picked in made.picked
            for row in take_rows(read_table(picked.path, CAPTIONS), picked.rows).column("id").to_pylist()
        ]
        stage = InstructionStage(recipe, made.picked, generator, work_dir, work_dir / generator.identity)  # type: ignore[arg-type]
        conversations = stage.run(SerialPool(), Progress())
        kept = [
            row
            for parts in conversations.picked.values()
            for picked in parts
            for row in take_rows(read_table(picked.path, INSTRUCTIONS), picked.rows).to_pylist()
        ]
        assert len({row["id"] for row in kept}) == len(kept) == conversations.num, "no caption has two conversations"
        return {row["id"]: row for row in kept}, conversations, captions

    @pytest.mark.parametrize(("captions", "num"), [(20, 2), (30, 30), (41, 41), (57, 40), (24, 23), (2, 1), (3, 3)])
    def test_each_task_has_its_part_whatever_the_numbers(self, captions: int, num: int, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 23), captions=captions, instructions=num)
        rows, made, ids = self.make(tmp_path, recipe, Scripted(echo))
        assert len(rows) == num
        expected = quotas(recipe.instructions)
        assert Counter(row["task"] for row in rows.values()) == Counter(expected)
        assert made.per_task == Counter(expected)
        assert set(rows) <= set(ids)
        assert made.counts.num_kept == num
        assert made.counts.num_candidates == made.counts.num_kept + made.counts.num_rejected

    def test_a_conversation_that_does_not_hold_is_asked_for_again_with_another_seed(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 12), captions=12, instructions=6, instructions__attempts=3)

        def say(request: Request, time: int) -> Answer | str:
            return echo(request, time) if time == 2 else "I am no JSON."

        asked = Scripted(say)
        rows, made, _ = self.make(tmp_path, recipe, asked)
        assert len(rows) == 6
        assert made.counts.rejected == {}
        by_id = Counter(request.id for request in asked.asked)
        assert set(by_id.values()) == {3}
        assert len({request.seed for request in asked.asked}) == len(asked.asked)

    def test_a_caption_that_fails_all_attempts_gives_its_place_to_the_next(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 12), captions=12, instructions=6, instructions__attempts=2)
        _, _, ids = self.make(tmp_path, recipe, Scripted(echo))
        refused = set(ids[:4])
        raw = pairs_of(("What is it?", "It is not mentioned."), ("Where is it?", "As stated, there."))
        again = Scripted(lambda request, time: raw if request.id in refused else echo(request, time), identity="other")
        rows, made, _ = self.make(tmp_path, recipe, again)
        assert len(rows) == 6
        assert refused.isdisjoint(rows)
        assert made.counts.num_rejected == sum(made.counts.rejected.values()) >= 4
        assert set(made.counts.rejected) <= {"caption_talk", "wrong_shape", "wrong_count"}
        stored = [row for row in rejections(tmp_path / "work") if row["id"] in refused]
        assert stored
        assert {(row["stage"], row["raw"]) for row in stored} == {("instructions", raw)}
        assert all(row["detail"] and row["reason"] in made.counts.rejected for row in stored)

    def test_a_prompt_without_room_is_not_asked_for_again(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 12), captions=12, instructions=4, instructions__attempts=3)
        full: set[str] = set()

        def say(request: Request, time: int) -> Answer | str:
            if not full or request.id in full:
                full.add(request.id)
                return Answer("", "context", 9000, 0)
            return echo(request, time)

        asked = Scripted(say)
        _, made, _ = self.make(tmp_path, recipe, asked)
        (first,) = full
        assert [request.id for request in asked.asked].count(first) == made.counts.rejected["too_long_for_model"]

    def test_a_second_run_asks_nothing_and_gives_the_same(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 23), captions=40, instructions=40)
        before = self.make(tmp_path, recipe, Scripted(echo))
        asked = Scripted(echo)
        assert self.make(tmp_path, recipe, asked) == before
        assert asked.asked == []

    def test_other_filters_and_weights_ask_for_nothing_that_has_an_answer(self, tmp_path: Path) -> None:
        seeds = seeds_file(tmp_path, 23)

        def tasks(weight: float, **filters: Any) -> dict[str, Any]:
            used = Tasks().model_dump(mode="json")
            used["question_answering"] |= {"weight": weight, "filters": filters}
            return used

        first, again = Scripted(echo), Scripted(echo)
        self.make(tmp_path, recipe_of(seeds, captions=30, instructions=15, instructions__tasks=tasks(199)), first)
        changed = tasks(199, min_grounded=0.11, without=["personal"], max_copied_words=20)
        _, made, _ = self.make(
            tmp_path, recipe_of(seeds, captions=30, instructions=15, instructions__tasks=changed), again
        )
        assert made.num == 15
        assert again.asked == []
        more = Scripted(echo)
        self.make(tmp_path, recipe_of(seeds, captions=30, instructions=15, instructions__tasks=tasks(400)), more)
        assert {request.key for request in more.asked}.isdisjoint(request.key for request in first.asked)

    def test_more_attempts_ask_only_for_what_failed(self, tmp_path: Path) -> None:
        def say(request: Request, time: int) -> Answer | str:
            return "no" if stable_int(request.id, str(request.seed)) % 3 == 0 else echo(request, time)

        seeds = seeds_file(tmp_path, 23)
        first, more = Scripted(say), Scripted(say)
        recipe = recipe_of(seeds, captions=30, instructions=15, instructions__attempts=1)
        self.make(tmp_path, recipe, first)
        self.make(tmp_path, recipe_of(seeds, captions=30, instructions=15, instructions__attempts=4), more)
        assert {request.key for request in more.asked}.isdisjoint(request.key for request in first.asked)
        assert more.asked

    def test_the_shortfall_is_told_by_task(self, tmp_path: Path) -> None:
        recipe = recipe_of(
            seeds_file(tmp_path, 12),
            captions=12,
            instructions=12,
            instructions__attempts=1,
            instructions__max_rejected=1.0,
        )

        def say(request: Request, time: int) -> Answer | str:
            return "no" if "wrong" in (request.json_schema or "") else echo(request, time)

        asked = Scripted(say)
        with pytest.raises(RunError) as caught:
            self.make(tmp_path, recipe, asked)
        parts = quotas(recipe.instructions)
        missing = parts["multiple_choice"]
        assert caught.value.message.startswith(
            f"only {12 - missing} of 12 conversations are kept (0 of {missing} multiple_choice,"
        )
        assert "not_json" in caught.value.message
        assert "All answers are kept." in caught.value.advice

    def test_too_many_rejections_stop_the_stage_early(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 80), captions=80, instructions=60, instructions__max_rejected=0.3)
        with pytest.raises(RunError, match=r"instructions: 2\d of 2\d candidates are rejected \(2\d not_json\)"):
            self.make(tmp_path, recipe, Scripted(lambda request, time: "no"))

    def test_requests_carry_the_schema_of_their_task_and_the_caption(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 12), captions=12, instructions=12)
        asked = Scripted(echo)
        self.make(tmp_path, recipe, asked)
        tasks = recipe.instructions.tasks.by_name()
        schemas = {task.json_schema() for task in tasks.values()}
        assert {request.json_schema for request in asked.asked} <= schemas
        for request in asked.asked:
            assert request.messages[-1].content.endswith(request.subject)
            assert request.sampling == recipe.instructions.sampling

    def test_every_text_is_the_models_own(self, tmp_path: Path) -> None:
        """All but the image's place and the letters of options stands in the model's answer as it is."""
        recipe = recipe_of(seeds_file(tmp_path, 23), captions=30, instructions=30)
        said: dict[str, set[str]] = {}

        def strings(value: Any) -> set[str]:
            if isinstance(value, str):
                return {value}
            parts = value.values() if isinstance(value, dict) else value
            return {text for part in parts for text in strings(part)}

        def say(request: Request, time: int) -> Answer | str:
            answer = echo(request, time)
            said.setdefault(request.id, set()).update(strings(json.loads(answer.text)))
            return answer

        rows, _, _ = self.make(tmp_path, recipe, Scripted(say))
        for row_id, row in rows.items():
            for message in row["conversations"]:
                question, *options = message["value"].removeprefix("<image>\n").split("\n")
                assert question in said[row_id] | set("ABCD")
                assert [option[:3] for option in options] in ([], ["A. ", "B. ", "C. ", "D. "])
                assert {option[3:] for option in options} <= said[row_id]

    def test_the_set_does_not_depend_on_the_size_of_partitions(self, tmp_path: Path) -> None:
        def say(request: Request, time: int) -> Answer | str:
            return "no" if stable_int(request.id, str(request.seed)) % 4 == 0 else echo(request, time)

        seeds = seeds_file(tmp_path, 23)
        sets = []
        for partition_rows in (3, 8, 100):
            recipe = recipe_of(
                seeds, captions=37, instructions=27, instructions__attempts=1, partition_rows=partition_rows
            )
            rows, made, ids = self.make(tmp_path / str(partition_rows), recipe, Scripted(say))
            sets.append((ids, {row_id: row["conversations"] for row_id, row in rows.items()}, made.per_task))
        assert sets[0] == sets[1] == sets[2]


class TestJudge:
    """Conversations that the model itself scores."""

    def make(self, tmp_path: Path, min_score: int, **more: Any) -> tuple[InstructionSet, Scripted]:
        def say(request: Request, time: int) -> Answer | str:
            if "score" not in (request.json_schema or ""):
                return echo(request, time)
            return json.dumps({"score": 1 + stable_int("score", request.subject) % 5})

        recipe = recipe_of(
            seeds_file(tmp_path, 40), captions=40, instructions=6,
            instructions__judge={"min_score": min_score}, instructions__max_rejected=1.0, **more,
        )  # fmt: skip
        asked = Scripted(say)
        _, made, _ = TestStage().make(tmp_path, recipe, asked)
        return made, asked

    def test_what_scores_too_low_is_asked_again_then_rejected(self, tmp_path: Path) -> None:
        made, asked = self.make(tmp_path, 4, instructions__attempts=2)
        assert made.num == 6
        assert made.counts.rejected.keys() == {"low_score"}
        details = {row["detail"] for row in rejections(tmp_path / "work") if row["stage"] == "instructions"}
        assert details <= {f"{score}, below 4" for score in (1, 2, 3)}
        scored = [request for request in asked.asked if "score" in (request.json_schema or "")]
        assert all(request.sampling.temperature == 0 for request in scored)
        assert all("Question: " in request.subject and "Answer: " in request.subject for request in scored)

    def test_another_bound_asks_for_no_score_twice(self, tmp_path: Path) -> None:
        _, first = self.make(tmp_path, 5, instructions__attempts=1)
        made, again = self.make(tmp_path, 2, instructions__attempts=1)
        assert made.num == 6
        assert {request.key for request in again.asked}.isdisjoint(request.key for request in first.asked)
        assert len(again.asked) < len(first.asked)

    def test_a_rehearsal_is_scored_too(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 30), captions=30, instructions=6, instructions__judge={"min_score": 2})
        asked = Scripted(echo)
        _, made, _ = TestStage().make(tmp_path, recipe, asked)
        assert made.num == 6
        assert any("score" in (request.json_schema or "") for request in asked.asked)

    def test_without_a_judge_nothing_is_scored(self, tmp_path: Path) -> None:
        recipe = recipe_of(seeds_file(tmp_path, 12), captions=12, instructions=6)
        asked = Scripted(echo)
        TestStage().make(tmp_path, recipe, asked)
        assert not any("score" in (request.json_schema or "") for request in asked.asked)
