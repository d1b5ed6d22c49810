"""Links in a set that somebody sent."""

from pathlib import Path

import pytest

from unicorn_hf import InputError
from unicorn_hf.core.links import check_links


def made(folder: Path) -> Path:
    (folder / "pretrain").mkdir(parents=True)
    (folder / "README.md").write_text("card")
    return folder


@pytest.mark.parametrize(
    "name", ["README.md", "recipe.yaml", "pretrain/train-0.parquet", "pretrain", "deep/er/x.parquet"]
)
def test_a_link_that_leads_out_is_named(name: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    outside = tmp_path / "mine"
    outside.mkdir()
    place = folder / name
    if place.is_dir():
        place.rmdir()
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)
    with pytest.raises(InputError, match=r"is a link to .*mine, which is not part of the set"):
        check_links(folder)


def test_links_within_the_set_and_a_link_to_it_are_followed(tmp_path: Path) -> None:
    folder = made(tmp_path / "set")
    (folder / "copy.md").symlink_to("README.md")
    (tmp_path / "here").symlink_to(folder)
    check_links(folder)
    check_links(tmp_path / "here")
    check_links(tmp_path / "nowhere")


def test_the_cache_of_the_hub_has_links_to_its_own_files(tmp_path: Path) -> None:
    folder = made(tmp_path / "datasets--org--name" / "snapshots" / ("0" * 40))
    blobs = tmp_path / "datasets--org--name" / "blobs"
    blobs.mkdir()
    (blobs / "abc").write_text("rows")
    (folder / "pretrain" / "train-0.parquet").symlink_to("../../../blobs/abc")
    check_links(folder)
