"""The whole road with the rehearsal engines: what comes out, and that it is the same however it was made."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from tests.builds import published_bytes, rows, tables, write_seeds
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import BuildResult, Recipe, RunError, build, load_recipe
from unicorn_hf.pipeline.planning import plan
from unicorn_hf.runtime.answers import AnswerStore

NUM_CAPTIONS, NUM_INSTRUCTIONS, DIM = 700, 235, 32


def recipe(folder: Path, **overrides: Any) -> Recipe:
    defaults = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
        "captions.num": NUM_CAPTIONS,
        "instructions.num": NUM_INSTRUCTIONS,
        "representations.encoder": f"hashing:{DIM}",
        "partition_rows": 32,
    }
    if "cluster__workers" not in overrides:
        defaults["cluster.kind"] = share_workers()
    return load_recipe("demo", {**defaults, **{key.replace("__", "."): value for key, value in overrides.items()}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildResult]:
    folder = tmp_path_factory.mktemp("made")
    return folder, build(recipe(folder, cluster__workers=2), folder / "unicorn")


def test_exact_counts_unique_ids_and_joined_configs(made: tuple[Path, BuildResult]) -> None:
    folder, _ = made
    pretrain, instruction = rows(folder / "unicorn", "pretrain"), rows(folder / "unicorn", "instruction")
    assert (len(pretrain), len(instruction)) == (NUM_CAPTIONS, NUM_INSTRUCTIONS)
    assert len({row["id"] for row in pretrain}) == NUM_CAPTIONS
    assert len({row["id"] for row in instruction}) == NUM_INSTRUCTIONS
    by_id = {row["id"]: row for row in pretrain}
    for row in instruction:
        for column in ("caption", "seed", "domain", "image_embedding"):
            assert row[column] == by_id[row["id"]][column]
    order = {row["id"]: place for place, row in enumerate(pretrain)}
    assert [order[row["id"]] for row in instruction] == sorted(order[row["id"]] for row in instruction)


def test_tasks_have_the_papers_proportions(made: tuple[Path, BuildResult]) -> None:
    folder, _ = made
    tasks = Counter(row["task"] for row in rows(folder / "unicorn", "instruction"))
    for task, weight in {"multiple_choice": 171, "question_answering": 199, "complex_reasoning": 100}.items():
        assert abs(tasks[task] - NUM_INSTRUCTIONS * weight / 470) < 1


def test_conversations_are_as_trainers_read_them(made: tuple[Path, BuildResult]) -> None:
    folder, _ = made
    for config in ("pretrain", "instruction"):
        for row in rows(folder / "unicorn", config):
            turns = row["conversations"]
            assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
            assert turns[0]["value"].startswith("<image>\n")
            assert sum(turn["value"].count("<image>") for turn in turns) == 1
            if config == "pretrain":
                assert turns[1]["value"] == row["caption"]
            elif row["task"] == "multiple_choice":
                assert {turn["value"] for turn in turns[1::2]} <= set("ABCD")


def test_embeddings_are_the_mean_shift_of_the_encoders_vectors(made: tuple[Path, BuildResult]) -> None:
    from unicorn_hf.encoders.hashing import HashingEncoder

    folder, _ = made
    pretrain = rows(folder / "unicorn", "pretrain")
    text = HashingEncoder(DIM).encode([row["caption"] for row in pretrain]).vectors.astype(np.float64)
    shifted = text - text.mean(axis=0)
    wanted = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)
    found = np.array([row["image_embedding"] for row in pretrain], dtype=np.float64)
    assert np.abs(found - wanted).max() < 1e-3  # float16
    with safe_open(folder / "unicorn" / "transfer.safetensors", "numpy") as file:
        assert np.abs(file.get_tensor("text_mean") - text.mean(axis=0)).max() < 1e-7
        facts = json.loads(file.metadata()["unicorn_hf"])
        assert (facts["transfer"], facts["encoder"]) == ("mean_shift", f"hashing:{DIM}")
        assert facts["text_count"] == NUM_CAPTIONS


def test_statistics_account_for_every_candidate(made: tuple[Path, BuildResult]) -> None:
    folder, result = made
    facts = json.loads((folder / "unicorn" / "statistics.json").read_text())
    assert facts == result.statistics.model_dump(mode="json")
    for stage, number in (("captions", NUM_CAPTIONS), ("instructions", NUM_INSTRUCTIONS)):
        assert facts[stage]["num_kept"] == number
        assert facts[stage]["num_candidates"] == number + sum(facts[stage]["rejected"].values())
    assert facts["pretrain"]["num_rows"] == sum(table.num_rows for table in tables(folder / "unicorn", "pretrain"))


def test_each_worker_process_builds_each_engine_once(made: tuple[Path, BuildResult]) -> None:
    _, result = made
    assert len({built.pid for built in result.engines}) == 2
    assert len({(built.pid, built.identity) for built in result.engines}) == len(result.engines) == 4


def test_another_number_of_workers_makes_the_same_files(made: tuple[Path, BuildResult], tmp_path: Path) -> None:
    folder, _ = made
    again = recipe(folder, cluster__workers=1)
    build(again, tmp_path / "unicorn")
    assert published_bytes(tmp_path / "unicorn") == published_bytes(folder / "unicorn")


def test_what_it_took_is_told_apart_from_the_statistics(made: tuple[Path, BuildResult]) -> None:
    folder, _ = made
    run = json.loads((folder / "unicorn" / "run.json").read_text())
    assert len(run["machines"]) == 1
    assert all(run[stage]["seconds"] > 0 for stage in ("captions", "instructions", "representations", "packaging"))
    card = (folder / "unicorn" / "README.md").read_text()
    assert f"| captions | {run['captions']['seconds']:.1f} s |" in card
    assert "seconds" not in (folder / "unicorn" / "statistics.json").read_text()


def test_what_is_done_is_found_without_a_worker(made: tuple[Path, BuildResult]) -> None:
    folder, _ = made
    took = [(folder / "unicorn" / name).read_bytes() for name in ("run.json", "README.md")]
    before = published_bytes(folder / "unicorn")
    result = build(recipe(folder, cluster__workers=2), folder / "unicorn")
    assert result.engines == ()
    assert published_bytes(folder / "unicorn") == before
    assert [(folder / "unicorn" / name).read_bytes() for name in ("run.json", "README.md")] == took


def test_a_changed_filter_or_count_asks_for_no_stored_answer(made: tuple[Path, BuildResult], tmp_path: Path) -> None:
    folder, _ = made
    work_dir = folder / "unicorn.work"
    (store,) = map(AnswerStore, (work_dir / "answers").iterdir())
    before = store.count()
    fewer = recipe(
        folder, captions__num=300, instructions__num=60, captions__filters={"min_words": 30, "max_words": 155}
    )
    build(fewer, tmp_path / "fewer", work_dir=work_dir)
    assert store.count() <= before + 3, "a margin of the last wave"
    assert [row["id"] for row in rows(tmp_path / "fewer", "pretrain")] == [
        row["id"] for row in rows(folder / "unicorn", "pretrain")[:300]
    ]


def test_the_limit_of_rejections_stops_a_build(tmp_path: Path) -> None:
    strict = recipe(
        tmp_path,
        captions__num=50,
        instructions__num=5,
        captions__filters={"min_words": 300},
        captions__max_rejected=0.5,
    )
    with pytest.raises(RunError, match=r"above the recipe's limit of 50%") as raised:
        build(strict, tmp_path / "unicorn")
    assert "too_short" in raised.value.message
    assert "captions.max_rejected" in raised.value.advice
    assert not (tmp_path / "unicorn").exists()


def test_more_conversations_than_one_round_gives(tmp_path: Path) -> None:
    """Every caption has one conversation, so over-full tasks have to give captions to the others."""
    build(recipe(tmp_path, captions__num=47, instructions__num=47), tmp_path / "unicorn")
    tasks = Counter(row["task"] for row in rows(tmp_path / "unicorn", "instruction"))
    assert tasks == {"multiple_choice": 17, "question_answering": 20, "complex_reasoning": 10}


def test_it_loads_as_a_plain_data_set(made: tuple[Path, BuildResult], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from datasets import load_dataset

    folder, _ = made
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
    cache = str(folder / "cache")
    assert load_dataset("unicorn", cache_dir=cache)["train"].num_rows == NUM_CAPTIONS
    for config, number in (("pretrain", NUM_CAPTIONS), ("instruction", NUM_INSTRUCTIONS)):
        data = load_dataset("unicorn", config, split="train", cache_dir=cache).with_format("torch")
        assert data.num_rows == number
        assert isinstance(data[0]["image_embedding"], torch.Tensor)
        assert data[:8]["image_embedding"].shape == (8, DIM)
        streamed = next(iter(load_dataset("unicorn", config, split="train", streaming=True)))
        assert streamed["caption"] == data[0]["caption"]


@pytest.mark.parametrize(
    ("changes", "num_workers"),
    [
        ({}, 8),
        ({"engine.concurrency": 3}, 3),
        ({"cluster.workers": 5}, 5),
        ({"engine": {"kind": "echo"}}, 8),
        ({"engine": {"kind": "vllm", "model": "org/m"}}, 1),
        ({"representations.encoder": "open_clip:ViT-B-32/openai"}, 2),
    ],
    ids=str,
)
def test_builds_on_a_server_use_the_cores_that_are_there(
    changes: dict[str, object], num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the encoder's weights are on this machine's processor, as many as fit its memory."""
    monkeypatch.setattr("unicorn_hf.pipeline.planning.cpu_count", lambda: 8)
    monkeypatch.setattr("unicorn_hf.pipeline.planning.psutil.virtual_memory", lambda: SimpleNamespace(total=23 * 2**30))
    engine = {"kind": "endpoint", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    given = {"engine": engine, "representations.encoder": "hashing:16", "cluster.kind": "local", **changes}
    assert plan(load_recipe("demo", given), tmp_path / "unicorn").place.num_workers == num_workers
