"""Pictures from folders and data sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.pictures import PictureSource, on_white


def picture(path: Path, colour: object, mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


def test_a_folder_is_read_whole_in_an_order_of_its_own(tmp_path: Path) -> None:
    names = [f"{group}/{number}.png" for group in ("a", "b") for number in range(20)] + ["c.JPG"]
    for number, name in enumerate(names):
        picture(tmp_path / name, (number, 0, 0))
    (tmp_path / "notes.txt").write_text("no picture")
    found = [each.name for each in PictureSource(str(tmp_path), 1000)]
    assert sorted(found) == sorted(names)
    assert found != sorted(names)
    first = [each.name for each in PictureSource(str(tmp_path), 10)]
    assert first == found[:10]
    assert {name[0] for name in first} >= {"a", "b"}
    assert PictureSource(str(tmp_path), 10).name == tmp_path.name


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_folders_metadata_tells_the_texts(tmp_path: Path, form: str) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", (number, 0, 0))
    rows = [{"file_name": f"{number}.png", "text": f"picture {number}"} for number in range(2)]
    lines = ["file_name,text", *(f"{row['file_name']},{row['text']}" for row in rows)]
    content = "\n".join(lines if form == "csv" else map(json.dumps, rows))
    (tmp_path / f"metadata.{form}").write_text(content + "\n")
    texts = {each.name: each.text for each in PictureSource(str(tmp_path), 10)}
    assert texts == {"0.png": "picture 0", "1.png": "picture 1", "2.png": None}


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    for mode, clear, solid in (("RGBA", (0, 0, 0, 0), (10, 20, 30, 255)), ("LA", (0, 0), (20, 255))):
        image = Image.new(mode, (2, 1), clear)
        image.putpixel((1, 0), solid)
        found = np.array(on_white(image))
        assert found[0, 0].tolist() == [255, 255, 255]
        assert found[0, 1].tolist() == ([10, 20, 30] if mode == "RGBA" else [20, 20, 20])
    palette = picture(tmp_path / "p.png", 0, "P")
    with Image.open(palette) as image:
        assert on_white(image).mode == "RGB"


def test_a_data_set_is_streamed(tmp_path: Path) -> None:
    import datasets

    images = [Image.new("RGB", (4, 4), (number, 0, 0)) for number in range(30)]
    data = datasets.Dataset.from_dict({"picture": images, "caption": [f"red {number}" for number in range(30)]})
    data = data.cast_column("picture", datasets.Image())
    (tmp_path / "set").mkdir()
    data.to_parquet(tmp_path / "set" / "train.parquet")
    found = list(PictureSource(str(tmp_path / "set"), 1000))
    assert sorted(each.text or "" for each in found) == sorted(f"red {number}" for number in range(30))
    for each in found:
        assert each.text == f"red {np.array(each.image)[0, 0, 0]}"
    assert [each.text for each in PictureSource(str(tmp_path / "set"), 5)] == [each.text for each in found[:5]]
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(tmp_path / "texts.parquet")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts.parquet").rename(tmp_path / "texts" / "train.parquet")
    with pytest.raises(InputError, match="has no column of images; its columns: text"):
        list(PictureSource(str(tmp_path / "texts"), 5))


def test_what_holds_no_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no images"):
        list(PictureSource(str(tmp_path), 5))
    (tmp_path / "broken.png").write_text("no")
    with pytest.raises(InputError, match=r"broken\.png cannot be read as an image"):
        list(PictureSource(str(tmp_path), 5))
    with pytest.raises(InputError, match="is neither a folder with images nor a data set"):
        list(PictureSource(str(tmp_path / "nothing.d"), 5))


def test_a_picture_that_a_data_set_places_elsewhere_is_not_opened(tmp_path: Path) -> None:
    import datasets

    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    data = datasets.Dataset.from_dict({"picture": [{"bytes": None, "path": str(tmp_path / "mine.png")}]})
    (tmp_path / "set").mkdir()
    data.cast_column("picture", datasets.Image()).to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(InputError, match=r"row 0: the image is not in the data set, but at '.*mine\.png'"):
        list(PictureSource(str(tmp_path / "set"), 5))
