"""How many conversations of which task, and which caption is asked for which."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.recipe import TASKS, Instructions, PairRange, Task, Tasks
from unicorn_hf.instructions.step import Candidate, judge, quotas, task_in_round

WEIGHTS = st.tuples(*[st.integers(0, 300) | st.floats(0.001, 1000)] * 3).filter(any)
PROMPT = Prompt(version="1", system="s", user="{subject}")
CANDIDATE = Candidate(id="id", caption="A dog.", row=0, task="question_answering")
PAIRS = PairRange(min=1, max=2)


def config(num: int = 470, weights: tuple[float, ...] = (171, 199, 100)) -> Instructions:
    tasks = {
        name: Task(weight=weight, pairs=PairRange(min=1, max=2), prompt="p")
        for name, weight in zip(TASKS, weights, strict=True)
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
    for task, weight in zip(TASKS, weights, strict=True):
        assert abs(parts.get(task, 0) - num * weight / sum(weights)) < 1
    assert all(task in parts for task, weight in zip(TASKS, weights, strict=True) if weight)
    assert not any(task in parts for task, weight in zip(TASKS, weights, strict=True) if not weight)


@given(st.text(st.characters(exclude_categories=["Cs"])), WEIGHTS)
def test_each_round_asks_for_another_task_until_all_were_asked_for(caption: str, weights: tuple[float, ...]) -> None:
    used = config(weights=weights)
    number = sum(1 for weight in weights if weight)
    rounds = [task_in_round(used, caption, round_number) for round_number in range(number)]
    assert sorted(rounds) == sorted(task for task, weight in zip(TASKS, weights, strict=True) if weight)
    assert task_in_round(used, caption, number) == rounds[0]


@pytest.mark.parametrize("weights", [(171, 199, 100), (1, 1, 1), (0, 3, 1), (0, 0, 5), (0.1, 0.2, 0.7)])
def test_the_first_round_asks_in_proportion(weights: tuple[float, ...]) -> None:
    number = 10_000
    used = config(weights=weights)
    asked = Counter(task_in_round(used, f"caption {index}", 0) for index in range(number))
    for task, weight in zip(TASKS, weights, strict=True):
        assert abs(asked[task] / number - weight / sum(weights)) < 0.02


def test_the_number_wanted_does_not_change_what_a_caption_is_asked_for() -> None:
    for index in range(100):
        assert task_in_round(config(10), str(index), 0) == task_in_round(config(10_000), str(index), 0)


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ('{"pairs":[{"question":"What is red?","answer":"The dog."}]}', "stop", None),
        ('{"pairs":[{"question":"What is red?","answer":"The dog."}]}', "length", "unfinished"),
        ("", "context", "too_long_for_model"),
        ('{"pairs":[{"question":"What is', "stop", "not_json"),
        ('{"pairs":[{"question":"What is red?"}]}', "stop", "wrong_shape"),
        ('{"pairs":[]}', "stop", "wrong_count"),
        ('{"pairs":[{"question":"What is red?","answer":"It is not mentioned."}]}', "stop", "caption_talk"),
    ],
)
def test_an_answer_is_kept_or_rejected_with_its_reason(text: str, finish_reason: str, reason: str | None) -> None:
    outcome = judge(CANDIDATE, Answer(text, finish_reason, 9, 9), PAIRS, PROMPT)  # type: ignore[arg-type]
    assert (outcome.reason if isinstance(outcome, Rejected) else None) == reason


@given(st.text())
def test_any_answer_is_kept_or_rejected(text: str) -> None:
    outcome = judge(CANDIDATE, Answer(text, "stop", 9, 9), PAIRS, PROMPT)
    assert isinstance(outcome, Rejected) or len(outcome) in (1, 2)
