"""Both sides on disk, and what a consumer does with them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.representations.test_moments import units
from tests.representations.test_transfers import ids_of, statistics_of
from unicorn_hf import load_transfer
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.representations.moments import Covariance, DomainMoments, Moments
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfer_file import (
    ImageStatistics,
    add_images,
    load_image_statistics,
    save_image_statistics,
    save_transfer,
)
from unicorn_hf.representations.transfers import TransferStatistics, fit

TEXTS, IMAGES = units(60, 6), units(40, 6, 1, cone=-0.3)
TEXT = DomainMoments.of(TEXTS, ["birds", "food", "food"] * 20)


def statistics_for(name: str, *, images: bool = True) -> TransferStatistics:
    return statistics_of(name, TEXTS, IMAGES if images else None, [], seed=3)


def saved(folder: Path, name: str, *, images: bool = True) -> Path:
    path, statistics = folder / "transfer.safetensors", statistics_for(name, images=images)
    save_transfer(
        path, fit(name, statistics), statistics, TEXT, encoder="hashing:6", encoder_id="0a", image_source="art"
    )
    return path


@pytest.mark.parametrize("name", TRANSFERS.own_names)
def test_a_transfer_comes_back_whole(name: str, tmp_path: Path) -> None:
    before, path = fit(name, statistics_for(name)), saved(tmp_path, name)
    for source in (tmp_path, str(tmp_path), path):
        after = load_transfer(source)
        assert after.name == name
        np.testing.assert_array_equal(after.apply_image(IMAGES), before.apply_image(IMAGES))
        expected = before.apply_text(TEXTS, ids_of(TEXTS))
        np.testing.assert_allclose(after.apply_text(TEXTS, ids_of(TEXTS)), expected, atol=1e-7)


def test_the_file_says_both_sides_method_and_encoder_in_one_key_and_the_same_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path, "realign")
    with safe_open(path, "np") as file:
        assert sorted(file.keys()) == [
            "aligned_mean", "image_covariance", "image_mean", "image_variance", "text_domain_mean",
            "text_domain_variance", "text_mean", "text_variance",
        ]  # fmt: skip
        assert all(file.get_tensor(name).dtype == np.float64 for name in file.keys())  # noqa: SIM118
        np.testing.assert_allclose(file.get_tensor("text_mean"), TEXT.overall.mean, rtol=1e-14)
        np.testing.assert_allclose(file.get_tensor("text_domain_mean")[1], TEXT.domains["food"].mean, rtol=1e-15)
        (facts,) = map(json.loads, file.metadata().values())
    assert (facts["transfer"], facts["encoder"], facts["encoder_id"]) == ("realign", "hashing:6", "0a")
    assert (facts["text_count"], facts["image_count"], facts["image_source"]) == (60, 40, "art")
    assert facts["text_domains"] == {"birds": 20, "food": 40}
    again = tmp_path / "again"
    again.mkdir()
    assert saved(again, "realign").read_bytes() == path.read_bytes()


def test_image_statistics_come_of_their_own_file_or_of_a_data_set(tmp_path: Path) -> None:
    path = tmp_path / "image_statistics.safetensors"
    covariance = Covariance.of(IMAGES)
    save_image_statistics(path, ImageStatistics(covariance, "hashing:6", "0a", "art"))
    for file in (path, saved(tmp_path, "mean_shift")):
        found = load_image_statistics(file)
        assert (found.encoder, found.encoder_id, found.source) == ("hashing:6", "0a", "art")
        np.testing.assert_array_equal(found.moments.mean, Moments.of(IMAGES).mean)
        np.testing.assert_allclose(found.moments.variance, Moments.of(IMAGES).variance, rtol=1e-14)
        assert isinstance(found.moments, Covariance)
        np.testing.assert_allclose(found.moments.scatter, covariance.scatter, rtol=1e-12)
    with pytest.raises(InputError, match="contains no image statistics"):
        load_image_statistics(saved(tmp_path, "mean_shift", images=False))
    with pytest.raises(InputError, match="contains no transfer"):
        load_transfer(path)


@pytest.mark.parametrize("name", ["mean_shift", "aniso_align", "barycentric"])
def test_vectors_are_passed_on_to_a_transfer_that_is_fitted_to_them(name: str, tmp_path: Path) -> None:
    path, kept = tmp_path / "image_statistics.safetensors", Sample.of(IMAGES, 30)
    save_image_statistics(path, ImageStatistics(Moments.of(IMAGES), "hashing:6", "0a", "art", vectors=kept))
    found = load_image_statistics(path).vectors
    assert found
    assert (found.identity, found.size) == (kept.identity, 30)
    passed_on = load_image_statistics(saved(tmp_path, name)).vectors
    assert (passed_on is not None) == (name != "mean_shift")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fitted_basis": None}, "contains no complete aniso_align: 'basis'"),
        ({"fitted_basis": np.zeros((6, 5), np.float32)}, r"basis is not finite, or has the shape \(6, 5\)"),
        ({"fitted_bias_3": np.full(2, np.nan, np.float32)}, "bias_3 is not finite"),
        ({"image_vectors": np.zeros((4, 5), np.float16)}, None),
    ],
)
def test_a_damaged_training_is_told(change: dict[str, Any], message: str | None, tmp_path: Path) -> None:
    path = saved(tmp_path, "aniso_align")
    with safe_open(path, "np") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors |= change
    save_file({name: array for name, array in tensors.items() if array is not None}, path, metadata)
    if message:
        with pytest.raises(InputError, match=message):
            load_transfer(path)
    else:
        load_transfer(path)  # Only a refit reads the images' vectors.
        with pytest.raises(InputError, match="image_vectors are invalid"):
            load_image_statistics(path)


def test_a_transfer_without_image_side_is_given_one(tmp_path: Path) -> None:
    images = tmp_path / "image_statistics.safetensors"
    path = saved(tmp_path, "mean_shift", images=False)
    covariance = Covariance.of(IMAGES)
    save_image_statistics(images, ImageStatistics(covariance, "hashing:6", "other", "art"))
    with pytest.raises(InputError, match="is of the encoder hashing:6"):
        add_images(path, images)
    save_image_statistics(images, ImageStatistics(covariance, "hashing:6", "0a", "art"))
    add_images(path, images)
    expected = fit("mean_shift", statistics_for("mean_shift"))
    np.testing.assert_array_equal(load_transfer(path).apply_image(IMAGES[:1]), expected.apply_image(IMAGES[:1]))
    with pytest.raises(InputError, match="has image statistics already"):
        add_images(path, images)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load_image_statistics(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="there is no file"):
        load_transfer(tmp_path)
    text = tmp_path / "text.safetensors"
    text.write_text("no")
    other = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3)}, other)
    for path in (text, other):
        with pytest.raises(InputError, match="is not a statistics file"):
            load_image_statistics(path)
    broken = tmp_path / "broken.safetensors"
    facts = {"format": 1, "encoder": "e", "encoder_id": "i", "image_count": 2}
    save_file({"image_mean": np.zeros(3), "image_variance": np.zeros(2)}, broken, {"unicorn_hf": json.dumps(facts)})
    with pytest.raises(InputError, match="are invalid or of different shapes"):
        load_image_statistics(broken)
    tensors = {"image_mean": np.zeros(3), "image_variance": np.ones(3), "image_covariance": np.eye(2)}
    save_file(tensors, broken, {"unicorn_hf": json.dumps(facts)})
    with pytest.raises(InputError, match="image_covariance is invalid or of another shape"):
        load_image_statistics(broken)


def test_statistics_of_an_older_version_have_no_covariance() -> None:
    with pytest.raises(InputError, match="contain no covariance"):
        fit("gaussian_ot", replace(statistics_for("gaussian_ot"), image=Moments.of(IMAGES)))


def test_what_is_neither_here_nor_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("nothing", "/no/such/folder", "./no/such"):
        with pytest.raises(InputError, match="there is no data set at"):
            load_transfer(source)
    with pytest.raises(InputError, match="is not a valid data set name"):
        load_transfer("a b/c")


def test_a_hub_out_of_reach_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(RunError, match="the Hub cannot be reached, and the cache has no transfer of a/b"):
        load_transfer("a/b")


@pytest.mark.parametrize("name", ["mean_shift", "aniso_align"])
def test_the_consumer_needs_no_torch(name: str, tmp_path: Path) -> None:
    saved(tmp_path, name)
    code = (
        "import sys, numpy as np; from unicorn_hf import load_transfer;"
        f"t = load_transfer({str(tmp_path)!r}); t.apply_image(np.eye(6)); t.apply_text(np.eye(6, dtype=np.float32)); "
        "print([name for name in ('torch', 'datasets', 'distributed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("dtype", ["F8_E4M3", "BF16", "F64"])
@pytest.mark.parametrize("counted", [10**400, -1, 60])
def test_numbers_that_numpy_does_not_have_are_told(dtype: str, counted: int, tmp_path: Path) -> None:
    path = saved(tmp_path, "realign")
    with safe_open(path, "numpy") as file:
        facts = json.loads(next(iter(file.metadata().values())))
        (key,) = file.metadata()
    size = {"F8_E4M3": 1, "BF16": 2, "F64": 8}[dtype]
    header = {
        "__metadata__": {key: json.dumps(facts | {"text_count": counted})},
        "text_mean": {"dtype": dtype, "shape": [6], "data_offsets": [0, 6 * size]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(6 * size))
    with pytest.raises(InputError):
        load_transfer(path)
