"""From answers to a score with its interval."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.evaluation.questions import Question

NUM_BOOTSTRAPS = 2000
Shares = NDArray[np.float64]
"""How right the answer to each question is, 0 to 1: (seeds, questions)."""


def chosen_rightly(scores: Sequence[Shares], right: Sequence[int]) -> Shares:
    """Whether the right option of each question has the highest score; several that are highest share it.

    Args:
        scores: of each question's options: (seeds, options).
        right: the number of the right one.

    Raises:
        InputError: a score is no number.
    """
    columns = []
    for found, number in zip(scores, right, strict=True):
        if np.isnan(found).any():
            raise InputError("an option has no likelihood", "Weights or vectors hold values that are no numbers.")
        is_best = found == found.max(axis=1, keepdims=True)
        columns.append(is_best[:, number] / is_best.sum(axis=1))
    return np.stack(columns, axis=1)


def grouped(shares: Shares, questions: Sequence[Question]) -> tuple[Shares, list[Question]]:
    """Groups of questions as one question, which is as right as the least right of them."""
    groups = _groups(questions)
    found = np.stack([shares[:, numbers].min(axis=1) for numbers in groups], axis=1)
    return found, [questions[numbers[0]] for numbers in groups]


def _groups(questions: Sequence[Question]) -> list[list[int]]:
    """The numbers of the questions of each group; a question without one is its own."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, question in enumerate(questions):
        members[question.group or f"question {number}"].append(number)
    return list(members.values())


def interval(shares: Shares, questions: Sequence[Question]) -> tuple[float, float]:
    """95 % of the shares of right answers in a bootstrap over images and seeds, in per cent."""
    units = {unit: number for number, unit in enumerate(dict.fromkeys(question.unit for question in questions))}
    of_unit = np.array([units[question.unit] for question in questions])
    sums = np.stack([np.bincount(of_unit, weights=row, minlength=len(units)) for row in shares])
    counts = np.bincount(of_unit, minlength=len(units))
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(NUM_BOOTSTRAPS):
        times = np.bincount(random.integers(len(units), size=len(units)), minlength=len(units))
        seeds = random.integers(len(shares), size=len(shares))
        drawn.append((sums[seeds] @ times).mean() / (counts @ times))
    low, high = 100 * np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def per_kind(shares: Shares, questions: Sequence[Question]) -> dict[str, float]:
    kinds = np.array([question.kind for question in questions])
    if set(kinds) == {""}:
        return {}
    return {str(kind): 100 * float(shares[:, kinds == kind].mean()) for kind in np.unique(kinds)}


def most_common(questions: Sequence[Question]) -> float:
    """The share of the answer that is most often right, in per cent."""
    counts = Counter(answer for question in questions for answer in set(question.answers))
    return 100 * counts.most_common(1)[0][1] / len(questions)


def chance(questions: Sequence[Question]) -> float | None:
    """The share that guesses get, in per cent; None if a question is open."""
    if not all(question.options or {"yes", "no"} & set(question.answers) for question in questions):
        return None
    guesses = np.array([1 / (len(question.options) or 2) for question in questions])
    return 100 * float(np.mean([guesses[numbers].prod() for numbers in _groups(questions)]))


def yes_or_no_measures(said: list[str], questions: Sequence[Question]) -> dict[str, float]:
    """Precision, recall and F1 of yes, and the share of yes, in per cent, as POPE reports them."""
    answers = [question.answers[0] for question in questions]
    if set(answers) - {"yes", "no"}:
        return {}
    hits = sum(one == other == "yes" for one, other in zip(said, answers, strict=True))
    num_said, num_yes = said.count("yes"), answers.count("yes")
    precision, recall = hits / max(num_said, 1), hits / max(num_yes, 1)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    found = {"precision": precision, "recall": recall, "F1": f1, "yes": num_said / max(len(said), 1)}
    return {name: 100 * value for name, value in found.items()}
