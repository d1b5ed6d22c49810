"""A score counts each picture, each group and each seed as documented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.errors import InputError
from unicorn_hf.evaluation import scoring
from unicorn_hf.evaluation.questions import Question


def question(answer: str = "a", *, group: str = "", unit: str = "one", kind: str = "", options: int = 4) -> Question:
    return Question("?", (answer,), tuple("abcdefgh"[:options]), 0, kind=kind, group=group, unit=unit)


def test_options_with_the_same_highest_score_share_it() -> None:
    scores = [np.array([[1.0, 2.0]]), np.array([[2.0, 2.0]]), np.array([[0.0, 0.0, 0.0, -1.0]])]
    assert scoring.chosen_rightly(scores, [1, 0, 2]).tolist() == [[1.0, 0.5, 1 / 3]]


def test_what_is_no_number_is_no_score() -> None:
    with pytest.raises(InputError, match="an option has no likelihood"):
        scoring.chosen_rightly([np.array([[0.5, np.nan]])], [0])


def test_a_group_is_as_right_as_its_least_right_question() -> None:
    asked = [question(group="7"), question(), question(group="7"), question(group="8")]
    shares, first = scoring.grouped(np.array([[1.0, 1, 0, 1], [1, 0, 1, 1]]), asked)
    assert shares.tolist() == [[0, 1, 1], [1, 0, 1]]
    assert first == [asked[0], asked[1], asked[3]]


def test_guesses_answer_a_whole_group_more_rarely() -> None:
    assert scoring.chance([question(options=4), question(options=2)]) == 37.5
    assert scoring.chance([question(options=2, group="7"), question(options=2, group="7")]) == 25
    assert scoring.chance([question("yes", options=0), question("no", options=0)]) == 50
    assert scoring.chance([question("a fox", options=0)]) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=60))
def test_the_interval_holds_the_share_and_is_the_same_again(answers: list[tuple[bool, int]]) -> None:
    asked = [question(unit=str(unit)) for _, unit in answers]
    shares = np.array([[float(right) for right, _ in answers]])
    low, high = scoring.interval(shares, asked)
    assert 0 <= low <= 100 * shares.mean() + 1e-9 <= high + 2e-9 <= 100 + 1e-6
    assert scoring.interval(shares, asked) == (low, high)


def test_more_questions_about_the_same_pictures_do_not_narrow_the_interval() -> None:
    random = np.random.default_rng(0)
    right = random.integers(2, size=100).astype(float)
    once = [question(unit=str(number)) for number in range(100)]
    low, high = scoring.interval(right[None], once)
    repeated = scoring.interval(np.repeat(right, 5)[None], [one for one in once for _ in range(5)])
    assert repeated == pytest.approx((low, high), abs=1.0)
    independent = scoring.interval(np.repeat(right, 5)[None], [question(unit=str(n)) for n in range(500)])
    assert independent[1] - independent[0] < 0.6 * (high - low)


def test_the_interval_is_that_of_the_binomial_for_independent_pictures() -> None:
    right = np.r_[np.ones(300), np.zeros(100)]
    low, high = scoring.interval(right[None], [question(unit=str(number)) for number in range(400)])
    error = 100 * (0.75 * 0.25 / 400) ** 0.5
    assert (low, high) == pytest.approx((75 - 1.96 * error, 75 + 1.96 * error), abs=0.6)


def test_the_share_of_each_kind() -> None:
    asked = [question(kind="colour"), question(kind="number"), question(kind="number")]
    assert scoring.per_kind(np.array([[1.0, 0, 1]]), asked) == {"colour": 100, "number": 50}
    assert scoring.per_kind(np.array([[1.0]]), [question()]) == {}


def test_the_most_common_answer() -> None:
    assert scoring.most_common([question("a"), question("b"), question("a"), question("c")]) == 50


def test_popes_measures() -> None:
    asked = [question(answer, options=0) for answer in ("yes", "yes", "yes", "no", "no")]
    found = scoring.yes_or_no_measures(["yes", "yes", "no", "yes", "no"], asked)
    assert found == pytest.approx({"precision": 200 / 3, "recall": 200 / 3, "F1": 200 / 3, "yes": 60})
    nothing = scoring.yes_or_no_measures(["no"] * 5, asked)
    assert nothing == {"precision": 0, "recall": 0, "F1": 0, "yes": 0}
    assert scoring.yes_or_no_measures(["a fox"], [question("a fox", options=0)]) == {}
