"""What making a set took, and what it cost: in the card, apart from the statistics."""

from typing import Any

import pytest

from tests.cards.samples import examples, recipe, run, statistics
from unicorn_hf.cards.card import render_card
from unicorn_hf.cards.costs import RunFacts, StageTime, costs, rate
from unicorn_hf.core.recipe import Price

RUN = run()


def card(took: RunFacts | None = RUN, **changes: Any) -> str:
    return render_card(recipe(**changes), statistics(), examples(), took)


def test_tokens_and_hours_cost_what_the_recipe_says() -> None:
    price = Price(per_million_prompt_tokens=2, per_million_output_tokens=10, per_worker_hour=3)
    facts = statistics()
    prompt = facts.captions.num_prompt_tokens + facts.instructions.num_prompt_tokens
    output = facts.captions.num_output_tokens + facts.instructions.num_output_tokens
    bill = {
        f"{prompt:,} prompt tokens": prompt * 2e-6,
        f"{output:,} output tokens": output * 1e-5,
        "2.00 worker hours": 6,
    }
    assert costs(price, facts, RUN) == pytest.approx(bill)
    assert costs(Price(), facts, RUN) == {}


def test_the_card_has_the_bill() -> None:
    page = card(price={"currency": "EUR", "per_worker_hour": 3})
    assert "| at the recipe's prices | EUR |" in page
    assert "| 2.00 worker hours | 6.00 |" in page
    assert "| total | 6.00 |" in page
    assert "prompt tokens | 0" not in page


def test_the_card_has_the_time() -> None:
    page = card()
    tokens = statistics().captions.num_output_tokens
    assert f"| captions | 90.0 min | {tokens / 5400:,.0f} | 7 |" in page
    assert "| representations | 30.3 s |" in page
    assert "Machines: 2 cores of a processor" in page
    assert "has no prices" in page


def test_a_set_of_which_nothing_is_known() -> None:
    assert "The time and cost of this set are unknown." in card(None)


def test_no_time_is_no_rate() -> None:
    assert rate(statistics().captions, StageTime(seconds=0.01)) is None
    nothing = RUN.model_copy(update={"captions": StageTime(seconds=0), "machines": ()})
    assert "| captions | 0.0 s | — | 0 |" in card(nothing)
    assert "Machines:" not in card(nothing)
