"""What a build would take, told from a sample of it, against what it took."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.builds import write_seeds
from tests.engines.chat_server import ChatServer
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import InputError, Recipe, RunError, build, load_recipe
from unicorn_hf.cli import main
from unicorn_hf.estimate import Amount, estimate, lines
from unicorn_hf.pipeline.planning import plan

pytestmark = pytest.mark.slow

NUM_CAPTIONS, NUM_INSTRUCTIONS = 400, 140
PRICE = {"per_million_prompt_tokens": 2.0, "per_million_output_tokens": 10.0}


def recipe(folder: Path, **more: object) -> Recipe:
    return load_recipe(
        "demo",
        {
            "engine": {"kind": "echo"},
            "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
            "captions.num": NUM_CAPTIONS,
            "instructions.num": NUM_INSTRUCTIONS,
            "representations.encoder": "hashing:16",
            "partition_rows": 20,
            "cluster.kind": share_workers(),
            "price": PRICE,
            **more,
        },
    )


def holds(amount: Amount, truth: float) -> bool:
    # Twice the interval: one draw in twenty lies outside of it.
    return abs(amount.value - truth) <= 2 * amount.error


def test_the_estimate_holds_for_the_build(tmp_path: Path) -> None:
    found = estimate(plan(recipe(tmp_path)), sample=100, workers=4)
    made = build(recipe(tmp_path), tmp_path / "unicorn")
    truth = made.statistics
    for stage, facts in ((found.captions, truth.captions), (found.instructions, truth.instructions)):
        assert holds(stage.candidates, facts.num_candidates)
        assert holds(stage.requests, facts.num_requests)
        assert holds(stage.prompt_tokens, facts.num_prompt_tokens)
        assert holds(stage.output_tokens, facts.num_output_tokens)
        assert 0 < stage.output_tokens.error < 0.5 * stage.output_tokens.value
    stages = (truth.captions, truth.instructions)
    cost = sum(2.0 * stage.num_prompt_tokens + 10.0 * stage.num_output_tokens for stage in stages) / 1e6
    assert found.cost
    assert holds(found.cost, cost)
    assert found.workers == 4
    assert 0 < found.start_hours < found.hours.value
    assert found.hours.value > found.start_hours + (found.own_hours + found.encoder_hours) / 4
    files = sum(path.stat().st_size for path in (tmp_path / "unicorn").glob("*/*.parquet"))
    assert 0.5 * files < found.upload_bytes < 2 * files
    assert list(tmp_path.glob("unicorn-hf-plan-*")) == []


def test_a_sample_of_everything_leaves_nothing_unknown(tmp_path: Path) -> None:
    found = estimate(plan(recipe(tmp_path, **{"captions.num": 40, "instructions.num": 20})), sample=64)
    assert found.num_sample == 40
    assert found.captions.output_tokens.error == 0
    assert found.instructions.output_tokens.error == 0


@pytest.mark.parametrize(("language", "is_rehearsed"), [("de", True), ("xx", False)])
def test_own_work_is_rehearsed_where_echo_has_sentences(tmp_path: Path, language: str, is_rehearsed: bool) -> None:
    mine = recipe(tmp_path, **{"captions.num": 40, "instructions.num": 0, "captions.filters.check_language": False})
    found = estimate(plan(mine.model_copy(update={"language": (language,)})), sample=10)
    assert (found.own_hours > 0) == is_rehearsed
    assert (found.start_hours > 0) == is_rehearsed


def test_the_command_tells_it_in_words_and_as_json(tmp_path: Path) -> None:
    seeds = ["--seeds", str(write_seeds(tmp_path / "seeds.txt")), "--engine", "echo", "--encoder", "hashing:8"]
    command = ["plan", "demo", *seeds, "--sample", "8", "--workers", "3"]
    shown = CliRunner().invoke(main, command).output
    assert "with 3 workers" in shown
    assert "no price given" in shown
    assert "own work" in shown
    assert not re.search(r"± 0(?:\.0+)?(?![.\d])| 0\.0 ", shown)
    # No rehearsal of its own work: `echo` does not know the language.
    unknown = ["--set", "language=xx", "--set", "captions.filters.check_language=false"]
    as_json = json.loads(CliRunner().invoke(main, [*command, *unknown, "--json"]).stdout)
    assert (as_json["workers"], as_json["cost"]) == (3, None)


def test_a_build_ends_when_it_has_cost_enough_and_goes_on_with_more(tmp_path: Path) -> None:
    mine = recipe(tmp_path)
    whole = build(mine, tmp_path / "whole")
    stages = (whole.statistics.captions, whole.statistics.instructions)
    cost = sum(2.0 * stage.num_prompt_tokens + 10.0 * stage.num_output_tokens for stage in stages) / 1e6
    with pytest.raises(RunError, match=r"has cost .* USD; the limit is") as ended:
        build(mine, tmp_path / "unicorn", max_cost=cost / 2)
    assert "higher --max-cost" in ended.value.advice
    assert not (tmp_path / "unicorn").exists()
    assert list((tmp_path / "unicorn.work").glob("captions-*/*.json"))
    build(mine, tmp_path / "unicorn", max_cost=cost * 1.01)
    assert (tmp_path / "unicorn").is_dir()


def test_a_build_ends_when_it_has_run_long_enough(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has run for .* hours"):
        build(recipe(tmp_path), tmp_path / "unicorn", max_hours=1e-9)
    build(recipe(tmp_path), tmp_path / "unicorn", max_hours=10)


def test_a_cost_without_a_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="requires a price"):
        build(recipe(tmp_path, price={}), tmp_path / "unicorn", max_cost=1)


def test_batches_are_estimated_live_and_compared(tmp_path: Path) -> None:
    with ChatServer().running() as server:
        engine = {"kind": "batch", "base_url": server.url, "model": "m"}
        mine = recipe(tmp_path, engine=engine, **{"captions.num": 40, "instructions.num": 0})
        found = estimate(plan(mine), sample=20)
    assert found.cost
    assert found.other_costs["in batches"] == pytest.approx(found.cost.value)
    assert found.other_costs["live on a server"] == pytest.approx(2 * found.cost.value)
    assert any("USD live on a server" in line for line in lines(found))
