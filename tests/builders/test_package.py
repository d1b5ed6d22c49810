"""From shards to the published files: every row once, in order, with its own vector and conversation."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages import SerialPool, TableEncoder, captions_of, recipe_of, vector_of
from unicorn_hf.builders.figures import RowFigures, WordFacts
from unicorn_hf.builders.package import REQUESTS, PackagedConfig, package
from unicorn_hf.builders.repository import add_shards
from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.schemas import INSTRUCTIONS, instruction, pretrain
from unicorn_hf.core.words import words
from unicorn_hf.instructions.turns import Turn, conversation
from unicorn_hf.representations.step import Representations, RepresentationStage
from unicorn_hf.runtime.files import rows_table, write_table
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked

DIM = 4
NUM_CAPTIONS = 12


@dataclass
class Shards:
    """A build's shards before packaging, and the rows that ought to be published."""

    folder: Path
    picked: list[Picked]
    instructions: dict[str, list[Picked]]
    captions: list[dict[str, Any]]
    conversations: dict[str, dict[str, Any]]
    """By the caption's id."""

    def package(self, **more: Any) -> tuple[list[PackagedConfig], Representations]:
        recipe = recipe_of(
            self.folder / "no-seeds.txt",
            captions=len(self.captions),
            instructions=max(1, len(self.conversations)),
            **more,
        )
        work_dir = self.folder / "work"
        stage = RepresentationStage(recipe, self.picked, TableEncoder(DIM), work_dir)  # type: ignore[arg-type]
        vectors = stage.run(SerialPool(), Progress())
        packaged = package(recipe, self.picked, self.instructions, vectors, work_dir, SerialPool(), Progress())
        return packaged, vectors


def shards_of(folder: Path, chosen: list[tuple[set[int], set[int]]]) -> Shards:
    """Partitions with the rows of the set, and which of these have a conversation: odd rows of a second round."""
    made = Shards(folder, [], {}, [], {})
    for number, (rows, with_conversation) in enumerate(chosen):
        partition = f"000-{number:05d}"
        path, all_rows = captions_of(folder / "captions", partition, NUM_CAPTIONS)
        picked = Picked(partition, path, "inputs", tuple(sorted(rows)))
        made.picked.append(picked)
        made.captions += [all_rows[row] for row in picked.rows]
        for round_number in (0, 1):
            kept = [row for row in range(NUM_CAPTIONS) if row % 2 == round_number]
            rounds = [conversation_row(all_rows[row], row) for row in kept]
            shard = folder / "instructions" / f"{partition}-{round_number}.parquet"
            write_table(shard, rows_table(rounds, INSTRUCTIONS), INSTRUCTIONS)
            places = tuple(place for place, row in enumerate(kept) if row in with_conversation & rows)
            made.instructions.setdefault(partition, []).append(
                Picked(f"{partition}-{round_number}", shard, "inputs", places)
            )
            made.conversations |= {str(rounds[place]["id"]): rounds[place] for place in places}
    return made


def conversation_row(caption: dict[str, Any], row: int) -> dict[str, Any]:
    turns = [Turn(f"What is {caption['caption']}?", f"Answer {index}.") for index in range(1 + row % 3)]
    return {"id": caption["id"], "row": row, "task": TASKS.own_names[row % 3], "conversations": conversation(turns)}


def read(config: PackagedConfig) -> list[dict[str, Any]]:
    return [row for path, _ in config.shards for row in pq.read_table(path).to_pylist()]


ALL = set(range(NUM_CAPTIONS))
SOME = [({0, 2, 3, 9}, {2, 9}), (ALL, {1, 2, 3, 4, 11}), (set(), set()), ({5}, set()), ({1, 4, 7}, {1, 4, 7})]


@pytest.fixture
def some(tmp_path: Path) -> Shards:
    return shards_of(tmp_path, SOME)


def test_every_caption_is_published_once_in_order(some: Shards) -> None:
    (pretraining, _), _ = some.package()
    rows = read(pretraining)
    assert [row["id"] for row in rows] == [caption["id"] for caption in some.captions]
    for row, caption in zip(rows, some.captions, strict=True):
        assert {key: row[key] for key in ("caption", "seed", "domain")} == {
            key: caption[key] for key in ("caption", "seed", "domain")
        }


def test_a_pretraining_row_asks_for_a_description_and_gets_the_caption(some: Shards) -> None:
    (pretraining, _), _ = some.package()
    asked = set()
    for row in read(pretraining):
        human, gpt = row["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert gpt["value"] == row["caption"]
        image, request = human["value"].split("\n")
        assert image == "<image>"
        assert request in REQUESTS
        asked.add(request)
    assert len(asked) > 3


def test_every_conversation_is_published_with_its_caption_in_the_captions_order(some: Shards) -> None:
    (_, instructing), _ = some.package()
    rows = read(instructing)
    order = [caption["id"] for caption in some.captions if caption["id"] in some.conversations]
    assert [row["id"] for row in rows] == order
    captions = {caption["id"]: caption for caption in some.captions}
    for row in rows:
        assert row["conversations"] == some.conversations[row["id"]]["conversations"]
        assert row["task"] == some.conversations[row["id"]]["task"]
        assert row["caption"] == captions[row["id"]]["caption"]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("float32", 2e-6)])
def test_every_row_has_the_shifted_vector_of_its_own_caption(some: Shards, dtype: str, tolerance: float) -> None:
    configs, vectors = some.package(representations__dtype=dtype)
    mean = np.stack([vector_of(row["caption"], DIM) for row in some.captions]).astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(vectors.text.overall.mean, mean, rtol=1e-12)
    for config in configs:
        for row in read(config):
            moved = vector_of(row["caption"], DIM) - mean
            np.testing.assert_allclose(row["image_embedding"], moved / np.linalg.norm(moved), atol=tolerance)


def test_without_a_transfer_the_vectors_are_the_encoders(some: Shards) -> None:
    configs, _ = some.package(representations__transfer="none", representations__dtype="float32")
    for config in configs:
        for row in read(config):
            np.testing.assert_array_equal(np.float32(row["image_embedding"]), vector_of(row["caption"], DIM))


def test_the_schemas_are_the_published_ones(some: Shards) -> None:
    configs, _ = some.package()
    for config, schema in zip(configs, (pretrain(DIM, "float16"), instruction(DIM, "float16")), strict=True):
        for path, _ in config.shards:
            assert pq.read_schema(path).equals(schema)


@settings(max_examples=15)
@given(
    st.lists(
        st.sets(st.integers(0, NUM_CAPTIONS - 1)).flatmap(
            lambda rows: st.tuples(st.just(rows), st.sets(st.sampled_from(sorted(rows))) if rows else st.just(set()))
        ),
        min_size=1,
        max_size=5,
    ).filter(lambda chosen: sum(len(rows) for rows, _ in chosen) > 1 and any(some for _, some in chosen)),
    st.integers(1, 15),
    st.integers(1, 30),
)
def test_regrouping_loses_nothing_whatever_the_sizes(
    tmp_path_factory: pytest.TempPathFactory,
    chosen: list[tuple[set[int], set[int]]],
    row_group_rows: int,
    rows_per_shard: int,
) -> None:
    shards = shards_of(tmp_path_factory.mktemp("package"), chosen)
    configs, _ = shards.package(packaging={"row_group_rows": row_group_rows, "rows_per_shard": rows_per_shard})
    wanted = [caption["id"] for caption in shards.captions]
    assert [row["id"] for row in read(configs[0])] == wanted
    assert [row["id"] for row in read(configs[1])] == [row_id for row_id in wanted if row_id in shards.conversations]
    for config in configs:
        for path, record in config.shards:
            metadata = pq.read_metadata(path)
            groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
            assert all(number == row_group_rows for number in groups[:-1])
            assert 1 <= groups[-1] <= row_group_rows
            assert record.statistics.num_rows == sum(groups) > 0
        sizes = [record.statistics.num_rows for _, record in config.shards]
        assert all(rows_per_shard <= number < rows_per_shard + NUM_CAPTIONS for number in sizes[:-1])


@pytest.mark.parametrize("row_group_rows", [1, 2, 3, 5, 20, 100])
def test_row_groups_have_the_rows_asked_for(some: Shards, row_group_rows: int) -> None:
    configs, _ = some.package(packaging={"row_group_rows": row_group_rows})
    for config, number in zip(configs, (len(some.captions), len(some.conversations)), strict=True):
        ((path, _),) = config.shards
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        whole, rest = divmod(number, row_group_rows)
        assert groups == [row_group_rows] * whole + [rest] * bool(rest)
        assert len({row["id"] for row in read(config)}) == number


def test_statistics_are_counted_from_the_rows(some: Shards) -> None:
    configs, _ = some.package(packaging={"row_group_rows": 3, "rows_per_shard": 7})
    for config in configs:
        rows = read(config)
        pairs = [len(row["conversations"]) // 2 for row in rows]
        tasks = [row["task"] for row in rows] if config.name == "instruction" else []
        facts = config.facts.model_dump(include=set(RowFigures.model_fields))
        assert facts == {
            "num_rows": len(rows),
            "num_turns": sum(pairs),
            "per_domain": {"d": len(rows)},
            "per_task": Counter(tasks),
            "turns": Counter(pairs),
            "question_words": {"what": sum(pairs)} if tasks else {},
            "answer_letters": {},
            "personal": {},
        }
        assert config.words == WordFacts.of(Counter(len(words(row["caption"])) for row in rows))
        assert len(config.shards) > 1


def test_records_know_their_files(some: Shards) -> None:
    configs, _ = some.package()
    for config in configs:
        for path, record in config.shards:
            assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            assert list(record.num_bytes.values()) == [path.stat().st_size]
            assert record.num_arrow_bytes > 0


def test_files_are_named_as_the_hub_expects_and_added_to_the_folder(some: Shards, tmp_path: Path) -> None:
    configs, _ = some.package(packaging={"rows_per_shard": 7})
    (tmp_path / "out").mkdir()
    add_shards(tmp_path / "out", configs)
    number = len(configs[0].shards)
    assert configs[0].file_names() == [f"pretrain/train-{shard:05d}-of-{number:05d}.parquet" for shard in range(number)]
    for config in configs:
        for name, (path, _) in zip(config.file_names(), config.shards, strict=True):
            assert (tmp_path / "out" / name).read_bytes() == path.read_bytes()


def test_a_second_run_writes_nothing_and_the_same_rows_give_the_same_bytes(some: Shards, tmp_path: Path) -> None:
    def digests(configs: list[PackagedConfig]) -> list[str]:
        return [record.sha256 for config in configs for _, record in config.shards]

    before, _ = some.package()
    written = [path.stat().st_mtime_ns for config in before for path, _ in config.shards]
    after, _ = some.package()
    assert [path.stat().st_mtime_ns for config in after for path, _ in config.shards] == written
    elsewhere, _ = shards_of(tmp_path / "elsewhere", SOME).package()
    assert digests(elsewhere) == digests(before)


def test_another_choice_of_rows_is_packaged_again(some: Shards) -> None:
    some.package()
    first = some.picked[0]
    some.picked[0] = Picked(first.partition, first.path, first.content, (2, 9))
    some.captions = [caption for caption in some.captions if caption["id"] not in ("000-00000-0", "000-00000-3")]
    (pretraining, _), _ = some.package()
    assert [row["id"] for row in read(pretraining)] == [caption["id"] for caption in some.captions]
