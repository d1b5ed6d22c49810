"""Pictures from folders and data sets."""

import json
import struct
import zlib
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features
from numpy.typing import NDArray
from PIL import Image

from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.calibrate import encoded
from unicorn_hf.representations.pictures import PictureSource, on_white
from unicorn_hf.runtime.progress import Progress


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


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, side: int = 4) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


BOMB = zlib.compress(bytes(20 << 20))
NO_PICTURES = {
    "more pixels than memory": png(side=30_000),
    "more pixels than numbers": png(side=2**31 - 1),
    "a text that grows": png(chunk(b"zTXt", b"k\0\0" + BOMB)),
    "a profile that grows": png(chunk(b"iCCP", b"k\0\0" + BOMB)),
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\n%%EOF\n",
    "nothing": b"",
}


@pytest.mark.parametrize("where", ["folder", "data set"])
@pytest.mark.parametrize("content", NO_PICTURES.values(), ids=NO_PICTURES)
def test_a_picture_that_is_none_is_named(
    tmp_path: Path, content: bytes, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *command, **_: started.append(command))
    if where == "folder":
        (tmp_path / "one.png").write_bytes(content)
    else:
        table = pa.table({"image": [{"bytes": content, "path": None}]})
        features = Features({"image": datasets.Image()})
        pq.write_table(table.cast(features.arrow_schema), tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"(one\.png|row 0) cannot be read as an image: "):
        list(PictureSource(str(tmp_path), 10))
    assert not started, "Pillow starts Ghostscript for PostScript"


@pytest.mark.parametrize("line", ["[1, 2]", "5", '{"file_name": ["0.png"]}', '{"file_name": "../0.png", "text": "no"}'])
def test_a_line_of_metadata_without_a_pictures_name_is_of_none(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "in" / "0.png", (1, 2, 3))
    (tmp_path / "in" / "metadata.jsonl").write_text(f'{line}\n{{"file_name": "0.png", "text": ["a"]}}')
    [found] = PictureSource(str(tmp_path / "in"), 10)
    assert (found.text, len(found.rows)) == ("['a']", 1)


def test_metadata_that_is_nested_deeply_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "0.png", (1, 2, 3))
    (tmp_path / "metadata.jsonl").write_text('{"file_name":' + "[" * 100_000)
    with pytest.raises(InputError, match=r"metadata\.jsonl: "):
        list(PictureSource(str(tmp_path), 10))


def test_large_pictures_are_in_memory_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tower:
        def encode(self, images: list[Image.Image]) -> NDArray[np.float32]:
            return np.ones((len(images), 2), np.float32)

    monkeypatch.setattr("unicorn_hf.representations.calibrate._MOST_PIXELS", 100)
    for number in range(13):
        picture(tmp_path / f"{number}.png", (number, 0, 0), size=(4, 5))
    source = PictureSource(str(tmp_path), 100)
    assert [len(batch) for batch, _ in encoded(source, Tower(), Progress())] == [6, 6, 1]


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
