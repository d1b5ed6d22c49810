"""The work of a build from each source."""

from pathlib import Path
from typing import Any

import pytest

from tests.builds import write_seeds
from unicorn_hf import InputError, Recipe, load_recipe
from unicorn_hf.estimate import Amount, Estimate, StageEstimate
from unicorn_hf.hub.regenerate import child_recipe, read_published
from unicorn_hf.rented.work import work_of

PUBLISHED = Path(__file__).parents[1] / "golden" / "published" / "form-3"


def recipe(folder: Path, **more: Any) -> Recipe:
    return load_recipe(
        "demo",
        {
            "engine": {"kind": "vllm", "model": "ORG/NAME"},
            "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
            "captions.num": 10_000,
            "instructions.num": 4_000,
            "representations.encoder": "hashing:16",
            **more,
        },
    )


def test_a_rehearsal_has_the_real_prompts(tmp_path: Path) -> None:
    work = work_of(recipe(tmp_path))
    assert "rehearsal" in work.source
    assert not work.knows_rejections
    captions, instructions = work.captions, work.instructions
    assert captions.rows == 10_000
    assert captions.requests == pytest.approx(captions.candidates)
    assert 10_000 <= captions.requests < 15_000
    assert 4_000 <= instructions.requests < 8_000
    for stage in (captions, instructions):
        assert 0.2 * stage.prompt_tokens < stage.shared_tokens < stage.prompt_tokens
        assert stage.load.prompt_tokens == pytest.approx(stage.prompt_tokens / stage.requests)
    assert work.caption_tokens == pytest.approx(captions.load.output_tokens)


def test_grammar_scores_and_longer_prompts_are_work(tmp_path: Path) -> None:
    plain = work_of(recipe(tmp_path))
    tasks = {f"instructions.tasks.{name}.format": "json" for name in ("multiple_choice", "question_answering")}
    with_more = work_of(recipe(tmp_path, **tasks, **{"instructions.judge": {}, "captions.screen": {}}))
    assert with_more.instructions.guided_share > plain.instructions.guided_share
    assert with_more.captions.requests > 1.5 * plain.captions.requests
    # Scores of `echo` are drawn, and must not reject.
    assert with_more.captions.candidates == pytest.approx(plain.captions.candidates)


def test_a_sample_is_better_than_a_rehearsal(tmp_path: Path) -> None:
    def amount(value: float) -> Amount:
        return Amount(value=value, error=0)

    stage = StageEstimate(
        rows=10_000, candidates=amount(20_000), requests=amount(20_000),
        prompt_tokens=amount(4e6), output_tokens=amount(3e6),
    )  # fmt: skip
    sampled = Estimate(
        num_sample=32, partitions=1, captions=stage, instructions=stage, encoder_hours=0, own_hours=0, start_hours=0,
        workers=1, hours=amount(1), cost=None, currency="USD", disk_bytes=0, upload_bytes=0,
    )  # fmt: skip
    work, rehearsed = work_of(recipe(tmp_path), sampled), work_of(recipe(tmp_path))
    assert "a sample of 32 captions" in work.source
    assert work.knows_rejections
    assert (work.captions.requests, work.captions.output_tokens) == (20_000, 3e6)
    assert work.caption_tokens == 150
    share = rehearsed.captions.shared_tokens / rehearsed.captions.prompt_tokens
    assert work.captions.shared_tokens == pytest.approx(4e6 * share)


def test_a_parents_statistics_are_better_than_a_rehearsal() -> None:
    parent = read_published(str(PUBLISHED))
    counts = parent.statistics.captions
    child = child_recipe(parent, {"random_seed": 99, "captions.num": 2 * counts.num_kept})
    work = work_of(child)
    assert str(PUBLISHED) in work.source
    assert work.knows_rejections
    assert work.captions.requests == pytest.approx(2 * counts.num_requests)
    assert work.captions.output_tokens == pytest.approx(2 * counts.num_output_tokens)
    assert 0 < work.captions.shared_tokens <= work.captions.prompt_tokens


def test_captions_that_exist_are_only_encoded() -> None:
    parent = read_published(str(PUBLISHED))
    work = work_of(child_recipe(parent, {"representations.encoder": "hashing:8"}))
    assert work.captions.requests == 0
    assert work.caption_tokens > parent.statistics.caption_words.mean


def test_what_nothing_is_known_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot rehearse"):
        work_of(recipe(tmp_path, **{"language": ["xx"], "captions.filters.check_language": False}))
