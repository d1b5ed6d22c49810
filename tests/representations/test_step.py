"""Stage 3: vectors beside their ids, and the mean over all partitions."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.stages import SerialPool, TableEncoder, captions_of, recipe_of, seeds_file, vector_of
from unicorn_hf.core.schemas import embeddings
from unicorn_hf.representations.step import Representations, RepresentationStage
from unicorn_hf.representations.transfers import Identity, MeanShift
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.progress import NoProgress
from unicorn_hf.runtime.selection import Picked

DIM = 4


class Captions:
    """Two partitions of captions, of which some rows belong to the set, and one without any."""

    def __init__(self, folder: Path) -> None:
        chosen = {"000-00000": (0, 2, 3, 9), "000-00001": tuple(range(80)), "001-00000": ()}
        self.picked: list[Picked] = []
        self.texts: dict[str, list[tuple[str, str]]] = {}
        for partition, rows in chosen.items():
            path, all_rows = captions_of(folder, partition, 80)
            self.picked.append(Picked(partition, path, "inputs", rows))
            self.texts[partition] = [(str(all_rows[row]["id"]), str(all_rows[row]["caption"])) for row in rows]


@pytest.fixture
def captions(tmp_path: Path) -> Captions:
    return Captions(tmp_path / "captions")


def run(captions: Captions, tmp_path: Path, encoder: TableEncoder, transfer: str = "mean_shift") -> Representations:
    recipe = recipe_of(seeds_file(tmp_path, 1), representations__transfer=transfer, representations__batch_size=7)
    stage = RepresentationStage(recipe, captions.picked, encoder, tmp_path / "work")  # type: ignore[arg-type]
    return stage.run(SerialPool(), NoProgress())


def test_each_caption_of_the_set_has_its_vector_in_its_order(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    assert made.dim == DIM
    for partition, texts in captions.texts.items():
        if texts:
            table = read_table(made.path(partition), embeddings(DIM))
            assert table.column("id").to_pylist() == [row_id for row_id, _ in texts]
            vectors = np.array(table.column("embedding").to_pylist(), dtype=np.float32)
            np.testing.assert_array_equal(vectors, np.stack([vector_of(text, DIM) for _, text in texts]))
        else:
            assert not made.path(partition).exists()


def test_the_mean_is_of_all_partitions_together(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    vectors = np.stack([vector_of(text, DIM) for texts in captions.texts.values() for _, text in texts])
    assert made.moments.count == len(vectors) == 84
    np.testing.assert_allclose(made.moments.mean, vectors.astype(np.float64).mean(axis=0), rtol=1e-13)
    assert isinstance(made.transfer, MeanShift)
    np.testing.assert_array_equal(made.transfer.text_mean, made.moments.mean)


def test_the_transfer_is_the_recipes_and_the_vectors_are_stored_before_it(captions: Captions, tmp_path: Path) -> None:
    run(captions, tmp_path, TableEncoder(DIM))
    again = TableEncoder(DIM)
    made = run(captions, tmp_path, again, transfer="none")
    assert isinstance(made.transfer, Identity)
    assert again.encoded == [], "another transfer needs no new vectors"


def test_captions_that_are_cut_are_counted(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    assert made.num_truncated == sum(len(text) % 2 for texts in captions.texts.values() for _, text in texts)


def test_a_second_run_encodes_nothing_and_other_rows_only_their_partition(captions: Captions, tmp_path: Path) -> None:
    before = run(captions, tmp_path, TableEncoder(DIM))
    again = TableEncoder(DIM)
    made = run(captions, tmp_path, again)
    assert again.encoded == []
    np.testing.assert_array_equal(made.moments.sum, before.moments.sum)
    first = captions.picked[0]
    captions.picked[0] = Picked(first.partition, first.path, first.inputs, (0, 2))
    fewer = TableEncoder(DIM)
    assert run(captions, tmp_path, fewer).moments.count == 82
    assert fewer.encoded == [text for _, text in captions.texts["000-00000"][:2]]


def test_another_encoder_encodes_again(captions: Captions, tmp_path: Path) -> None:
    run(captions, tmp_path, TableEncoder(DIM))
    other = TableEncoder(DIM + 1, identity="other")
    made = run(captions, tmp_path, other)
    assert len(other.encoded) == 84
    assert made.dim == DIM + 1


def test_vectors_are_stored_as_the_schema_says(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    table = read_table(made.path("000-00000"), embeddings(DIM))
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), DIM)
