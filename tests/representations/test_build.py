"""Transfers through a whole build: what is published, and that it can be made again from that."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.builds import published_bytes, rows
from tests.representations import formulas
from tests.representations.test_moments import units
from tests.test_pipeline import recipe
from unicorn_hf import Recipe, build, load_recipe, load_transfer
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.encoders.hashing import HashingEncoder
from unicorn_hf.representations.moments import Moments
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, save_image_statistics

DIM = 24
IMAGES = units(200, DIM, 5, cone=-0.5)


def statistics_file(folder: Path, encoder: str = f"hashing:{DIM}") -> Path:
    path = folder / "image_statistics.safetensors"
    moments = Moments.of(IMAGES)
    kept = Sample.of(IMAGES, len(IMAGES))
    save_image_statistics(path, ImageStatistics(moments, encoder, encoder_id(encoder), "200 drawings", vectors=kept))
    return path


def small(folder: Path, transfer: str, **more: object) -> Recipe:
    return recipe(
        folder,
        captions__num=60,
        instructions__num=12,
        representations__encoder=f"hashing:{DIM}",
        representations__transfer=transfer,
        representations__dtype="float32",
        **more,
    )


@pytest.mark.parametrize("name", ["c3", "realign", "aniso_align", "barycentric"])
def test_what_is_published_is_the_formula_whatever_the_partitions(name: str, tmp_path: Path) -> None:
    images = str(statistics_file(tmp_path))
    made = []
    for partition_rows in (8, 1000):
        changes = {"partition_rows": partition_rows, "representations__image_statistics": images, "random_seed": 5}
        out = tmp_path / f"unicorn-{partition_rows}"
        result = build(small(tmp_path, name, **changes), out)
        facts = result.statistics.representations
        assert (facts.transfer, facts.transfer_asked) == (name, name)
        found = {row["id"]: row for row in rows(out, "pretrain")}
        for row in rows(out, "instruction"):
            assert row["image_embedding"] == found[row["id"]]["image_embedding"]
        made.append((list(found), np.array([row["image_embedding"] for row in found.values()])))
        texts = HashingEncoder(DIM).encode([row["caption"] for row in found.values()]).vectors.astype(np.float64)
        if name == "c3":
            exact = formulas.c3(texts, list(found), 5)
        elif name == "aniso_align":
            exact = load_transfer(out).apply_text(texts.astype(np.float32))
        else:
            exact = getattr(formulas, name)(texts, IMAGES.astype(np.float64))
        np.testing.assert_allclose(made[-1][1], exact, rtol=0, atol=1e-6)
    assert made[0][0] == made[1][0]
    np.testing.assert_allclose(made[0][1], made[1][1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["realign", "aniso_align", "barycentric"])
def test_a_set_is_made_again_from_what_it_publishes(name: str, tmp_path: Path) -> None:
    first = tmp_path / "first"
    build(small(tmp_path, name, representations__image_statistics=str(statistics_file(tmp_path))), first)
    assert "recipe.yaml statistics.json transfer.safetensors" in (first / "README.md").read_text()
    (tmp_path / "image_statistics.safetensors").unlink()
    again = tmp_path / "again"
    # The set does not bring the file of its seeds, and what its recipe calls it is not opened.
    with pytest.raises(InputError, match=r"names the file '.*seeds\.txt' as seeds\.sources\.path"):
        load_recipe(first / "recipe.yaml")
    (source,) = read_recipe(first / "recipe.yaml").model_dump(mode="json")["seeds"]["sources"]
    mine = {"seeds.sources": [source | {"path": str(tmp_path / "seeds.txt")}]}
    build(load_recipe(first / "recipe.yaml", mine), again)
    before, after = published_bytes(first), published_bytes(again)
    assert after == before
    moved = load_transfer(again).apply_image(IMAGES)
    exact = formulas.n(IMAGES - IMAGES.mean(0)) if name == "barycentric" else IMAGES
    np.testing.assert_allclose(moved, exact, rtol=0, atol=1e-6)


def test_the_card_and_the_statistics_tell_the_image_side(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    build(small(tmp_path, "realign", representations__image_statistics=str(statistics_file(tmp_path))), out)
    card = (out / "README.md").read_text()
    assert "No image was used." not in card
    assert "| images that the image side was measured on | 200 (200 drawings) |" in card
    facts = json.loads((out / "statistics.json").read_text())["representations"]["image"]
    assert facts["num_images"] == 200
    assert facts["trace"] == pytest.approx(Moments.of(IMAGES).trace, abs=1e-4)
    assert str(tmp_path) not in card


def test_without_images_the_card_says_what_stands_in(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    result = build(small(tmp_path, "realign"), out)
    facts = result.statistics.representations
    assert (facts.transfer, facts.transfer_asked, facts.image) == ("mean_shift", "realign", None)
    card = (out / "README.md").read_text()
    assert "The recipe asks for the transfer `realign`" in card
    assert "No image was used." in card
    assert load_transfer(out).name == "mean_shift"


def test_images_of_another_encoder_stop_the_build_before_it_begins(tmp_path: Path) -> None:
    path = statistics_file(tmp_path, "hashing:25")
    with pytest.raises(InputError, match="another model"):
        build(small(tmp_path, "realign", representations__image_statistics=str(path)), tmp_path / "unicorn")
    assert not (tmp_path / "unicorn.work").exists()


def test_other_captions_shift_every_shard(tmp_path: Path) -> None:
    """A shard whose captions stayed is written again: the mean that it was shifted by is another."""
    build(small(tmp_path, "mean_shift", packaging={"rows_per_shard": 20}), tmp_path / "unicorn")
    more = small(tmp_path, "mean_shift", packaging={"rows_per_shard": 20})
    more = more.model_copy(update={"captions": more.captions.model_copy(update={"num": 90})})
    build(more, tmp_path / "more", work_dir=tmp_path / "unicorn.work")
    vectors = np.array([row["image_embedding"] for row in rows(tmp_path / "more", "pretrain")])
    texts = HashingEncoder(DIM).encode([row["caption"] for row in rows(tmp_path / "more", "pretrain")]).vectors
    np.testing.assert_allclose(vectors, formulas.mean_shift(texts.astype(np.float64), texts), rtol=0, atol=1e-6)
