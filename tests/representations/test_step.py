"""Stage 3: vectors beside their ids, and the mean over all partitions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.representations import formulas
from tests.representations.test_moments import units
from tests.representations.test_transfers import NEED_IMAGES
from tests.stages import SerialPool, TableEncoder, captions_of, recipe_of, seeds_file, vector_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import Encoded
from unicorn_hf.core.schemas import embeddings
from unicorn_hf.representations.moments import Covariance, Moments
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.step import Representations, RepresentationStage, image_side
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, save_image_statistics
from unicorn_hf.representations.transfers.aniso_align import AnisoAlign
from unicorn_hf.representations.transfers.mean_shift import MeanShift
from unicorn_hf.representations.transfers.none import Identity
from unicorn_hf.representations.vectors import read_vectors
from unicorn_hf.runtime.progress import Progress
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


def run(
    captions: Captions,
    tmp_path: Path,
    encoder: TableEncoder,
    transfer: str = "mean_shift",
    image: ImageStatistics | None = None,
    progress: Progress | None = None,
) -> Representations:
    recipe = recipe_of(seeds_file(tmp_path, 1), representations__transfer=transfer, representations__batch_size=7)
    stage = RepresentationStage(recipe, captions.picked, encoder, tmp_path / "work", image)  # type: ignore[arg-type]
    return stage.run(SerialPool(), progress or Progress())


def test_each_caption_of_the_set_has_its_vector_in_its_order(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    assert made.dim == DIM
    for partition, texts in captions.texts.items():
        if texts:
            table = pa.ipc.open_file(made.path(partition)).read_all()
            assert table.schema.equals(embeddings(DIM))
            assert table.column("id").to_pylist() == [row_id for row_id, _ in texts]
            vectors = read_vectors(made.path(partition))
            np.testing.assert_array_equal(vectors, np.stack([vector_of(text, DIM) for _, text in texts]))
        else:
            assert not made.path(partition).exists()


def test_the_mean_is_of_all_partitions_together(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    vectors = np.stack([vector_of(text, DIM) for texts in captions.texts.values() for _, text in texts])
    assert made.text.overall.count == len(vectors) == 84
    np.testing.assert_allclose(made.text.overall.mean, vectors.astype(np.float64).mean(axis=0), rtol=1e-13)
    assert isinstance(made.transfer, MeanShift)
    np.testing.assert_array_equal(made.transfer.text_mean, made.text.overall.mean)


def test_the_transfer_is_the_recipes_and_the_vectors_are_stored_before_it(captions: Captions, tmp_path: Path) -> None:
    run(captions, tmp_path, TableEncoder(DIM))
    again = TableEncoder(DIM)
    made = run(captions, tmp_path, again, transfer="none")
    assert isinstance(made.transfer, Identity)
    assert again.encoded == [], "another transfer needs no new vectors"


def test_captions_that_are_cut_are_counted(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    assert made.num_long == sum(len(text) % 2 for texts in captions.texts.values() for _, text in texts)


def test_a_second_run_encodes_nothing_and_other_rows_only_their_partition(captions: Captions, tmp_path: Path) -> None:
    before = run(captions, tmp_path, TableEncoder(DIM))
    again = TableEncoder(DIM)
    made = run(captions, tmp_path, again)
    assert again.encoded == []
    np.testing.assert_array_equal(made.text.overall.mean, before.text.overall.mean)
    first = captions.picked[0]
    captions.picked[0] = Picked(first.partition, first.path, first.content, (0, 2))
    fewer = TableEncoder(DIM)
    assert run(captions, tmp_path, fewer).text.overall.count == 82
    assert fewer.encoded == [text for _, text in captions.texts["000-00000"][:2]]


def test_another_encoder_encodes_again(captions: Captions, tmp_path: Path) -> None:
    run(captions, tmp_path, TableEncoder(DIM))
    other = TableEncoder(DIM + 1, text_identity="other")
    made = run(captions, tmp_path, other)
    assert len(other.encoded) == 84
    assert made.dim == DIM + 1


def test_domains_have_moments_of_their_own(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM))
    assert {name: part.count for name, part in made.text.domains.items()} == {"d": 84}


# -- transfers that need images ----------------------------------------------------------------------------------------

IMAGES = units(50, DIM, 9, cone=-0.5)
SIDE = ImageStatistics(Covariance.of(IMAGES), "table", "table", "art")


def all_vectors(captions: Captions) -> np.ndarray[Any, Any]:
    return np.stack([vector_of(text, DIM) for texts in captions.texts.values() for _, text in texts])


@pytest.mark.parametrize(("name", "num_parts"), [("realign", 2), ("gaussian_ot", 1)])
def test_a_transfer_of_two_passes_sees_all_partitions(
    captions: Captions, tmp_path: Path, name: str, num_parts: int
) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM), name, SIDE)
    texts = all_vectors(captions)
    moved = np.concatenate(
        [made.transfer.apply_text(read_vectors(made.path(part))) for part in captions.texts if captions.texts[part]]
    )
    expected = getattr(formulas, name)(texts.astype(np.float64), IMAGES.astype(np.float64))
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-6)
    assert len(list((tmp_path / "work").glob("alignment-*/*.json"))) == num_parts
    again = TableEncoder(DIM)
    assert run(captions, tmp_path, again, name, SIDE).identity == made.identity
    assert again.encoded == []


def test_a_training_is_done_once_and_stored(
    captions: Captions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = replace(SIDE, vectors=Sample.of(IMAGES, 40))
    made = run(captions, tmp_path, TableEncoder(DIM), "aniso_align", side)
    monkeypatch.setattr(AnisoAlign, "fit", None)
    again = run(captions, tmp_path, TableEncoder(DIM), "aniso_align", side)
    texts = all_vectors(captions)
    np.testing.assert_array_equal(again.transfer.apply_text(texts), made.transfer.apply_text(texts))
    assert again.identity == made.identity
    assert made.statistics.image_vectors
    assert len(made.statistics.image_vectors.vectors) == 40
    fewer = replace(SIDE, vectors=Sample.of(IMAGES, 30))
    with pytest.raises(TypeError, match="not callable"):
        run(captions, tmp_path, TableEncoder(DIM), "aniso_align", fewer)


def test_other_images_align_again(captions: Captions, tmp_path: Path) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM), "realign", SIDE)
    other = ImageStatistics(Moments.of(units(50, DIM, 10)), "table", "table", "art")
    assert run(captions, tmp_path, TableEncoder(DIM), "realign", other).identity != made.identity
    assert len(list((tmp_path / "work").glob("alignment-*"))) == 2


@pytest.mark.parametrize("name", NEED_IMAGES)
def test_without_images_the_mean_shift_stands_in_and_says_so(captions: Captions, tmp_path: Path, name: str) -> None:
    told = Told()
    made = run(captions, tmp_path, TableEncoder(DIM), name, progress=told)
    assert isinstance(made.transfer, MeanShift)
    assert (made.transfer.name, made.asked) == ("mean_shift", name)
    assert any(f"the transfer {name} needs image statistics" in note for note in told.notes)
    assert made.identity == run(captions, tmp_path, TableEncoder(DIM)).identity


def test_known_images_do_not_change_what_mean_shift_publishes_but_what_its_consumer_gets(
    captions: Captions, tmp_path: Path
) -> None:
    made = run(captions, tmp_path, TableEncoder(DIM), image=SIDE)
    assert made.identity == run(captions, tmp_path, TableEncoder(DIM)).identity
    assert isinstance(made.transfer, MeanShift)
    np.testing.assert_array_equal(made.transfer.image_mean, SIDE.moments.mean)


def test_other_rows_have_another_identity(captions: Captions, tmp_path: Path) -> None:
    """Their mean is another, so no packaged shard of before may be found, not even of a partition that stayed."""
    before = run(captions, tmp_path, TableEncoder(DIM)).identity
    last = captions.picked[1]
    captions.picked[1] = Picked(last.partition, last.path, last.content, last.rows[:40])
    assert run(captions, tmp_path, TableEncoder(DIM)).identity != before


@pytest.mark.parametrize(("bad", "what"), [(0.0, "is zero"), (np.nan, "contains NaN"), (np.inf, "is not finite")])
def test_a_bad_vector_is_named_by_shard_and_row(captions: Captions, tmp_path: Path, bad: float, what: str) -> None:
    broken = captions.texts["000-00000"][2][1]  # Row 3 of its shard.
    with pytest.raises(InputError, match=f"shard 000-00000, row 3: the vector {what}"):
        run(captions, tmp_path, Broken(DIM, broken, bad))


@pytest.mark.parametrize("name", ["mean_shift", "realign"])
def test_captions_that_all_have_one_vector_are_named_by_shard_and_row(
    captions: Captions, tmp_path: Path, name: str
) -> None:
    captions.picked[0] = Picked("000-00000", captions.picked[0].path, "inputs", (2, 3))
    with pytest.raises(InputError, match="from shard 000-00000, row 2 on: all 82 vectors are equal"):
        run(captions, tmp_path, Broken(DIM, None, 0.5), name, SIDE)
    captions.picked[1:] = []
    captions.picked[0] = Picked("000-00000", captions.picked[0].path, "inputs", (3,))
    with pytest.raises(InputError, match="from shard 000-00000, row 3 on: 1 vectors have no spread"):
        run(captions, tmp_path, TableEncoder(DIM), name, SIDE)


def test_statistics_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.safetensors"
    recipe = recipe_of(seeds_file(tmp_path, 1), representations__image_statistics=str(path))
    with pytest.raises(InputError, match="there is no file"):
        image_side(recipe)
    save_image_statistics(path, ImageStatistics(Moments.of(units(9, 8)), "hashing:8", encoder_id("hashing:8"), "art"))
    found = image_side(recipe)
    assert found is not None
    assert found.source == "art"
    save_image_statistics(path, ImageStatistics(Moments.of(units(9, 8)), "hashing:9", encoder_id("hashing:9"), "art"))
    with pytest.raises(
        InputError, match=r"was made with the encoder hashing:9, but the build uses hashing:8"
    ) as caught:
        image_side(recipe)
    assert "unicorn-hf calibrate --images DATASET_OR_FOLDER --encoder hashing:8" in caught.value.advice


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ("aniso_align", "aniso_align is fitted to image vectors, but the image statistics contain none"),
        ("barycentric", "barycentric is fitted to image vectors, but the image statistics contain none"),
        ("gaussian_ot", "contain no covariance"),
        ("realign", None),
    ],
)
def test_what_the_transfer_lacks_stops_the_build_before_it_begins(
    transfer: str, message: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "images.safetensors"
    save_image_statistics(path, ImageStatistics(Moments.of(units(9, 8)), "hashing:8", encoder_id("hashing:8"), "art"))
    recipe = recipe_of(
        seeds_file(tmp_path, 1), representations__image_statistics=str(path), representations__transfer=transfer
    )
    if message is None:
        assert image_side(recipe)
        return
    with pytest.raises(InputError, match=message):
        image_side(recipe)


class Told(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Broken(TableEncoder):
    """Gives one text, or all, a vector of one number."""

    def __init__(self, dim: int, text: str | None, number: float) -> None:
        super().__init__(dim)
        self.text, self.number = text, number

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> Encoded:
        encoded = super().encode(texts, on_texts)
        for row, text in enumerate(texts):
            if self.text in (None, text):
                encoded.vectors[row] = self.number
        return encoded
