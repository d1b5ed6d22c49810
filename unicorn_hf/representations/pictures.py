"""Pictures to measure the image side with: a folder, or a data set of `datasets`; one after the other, never all."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.streams import end_quietly
from unicorn_hf.runtime.dataset_card import check_data_files

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_TEXT_COLUMNS = ("text", "caption", "label")
_SHUFFLED = 1000


@dataclass(frozen=True)
class Picture:
    name: str
    image: "Image"
    """RGB."""
    text: str | None
    """What the source says of it, where it says something."""


@dataclass(frozen=True)
class PictureSource:
    """Where pictures come from.

    A folder's pictures are taken in the order of a hash of their names, a data set's shuffled a little, so that the
    first ones stand for all. Of a folder with a `metadata.csv` or `metadata.jsonl` (columns `file_name` and `text`, as
    `datasets` reads them) the texts are known.
    """

    path: str
    """A folder with pictures, or what `datasets.load_dataset` takes."""
    limit: int
    config: str | None = None
    split: str = "train"

    @property
    def name(self) -> str:
        """What to call it where others read it: no folder of this machine."""
        folder = Path(self.path).expanduser()
        return folder.resolve().name if folder.exists() else self.path

    def __iter__(self) -> Iterator[Picture]:
        """
        Raises:
            InputError: there is no such source, or no picture in it; a picture cannot be read.
        """
        folder = Path(self.path).expanduser()
        files = _files(folder)
        if not files and folder.is_dir() and not any(folder.rglob("*.parquet")):
            raise InputError(f"{self.path} holds no pictures ({', '.join(SUFFIXES)})")
        number = 0
        for picture in self._of_files(folder, files) if files else self._of_dataset():
            yield picture
            number += 1
            if number == self.limit:
                return
        if not number:
            raise InputError(f"{self.path} holds no pictures")

    def _of_files(self, folder: Path, files: list[Path]) -> Iterator[Picture]:
        from PIL import Image, UnidentifiedImageError

        texts = _texts(folder)
        for path in files:
            name = path.relative_to(folder).as_posix()
            try:
                with Image.open(path) as image:
                    yield Picture(name, on_white(image), texts.get(name))
            except (UnidentifiedImageError, OSError) as error:
                raise InputError(f"{path} cannot be read as a picture: {error}") from None

    def _of_dataset(self) -> Iterator[Picture]:
        import datasets

        check_data_files(self.path)
        end_quietly()
        try:
            data = datasets.load_dataset(self.path, self.config, split=self.split, streaming=True)
            data = data.shuffle(seed=0, buffer_size=_SHUFFLED)
            features: dict[str, Any] = data.features or {}
            data = data.decode(False) if features else data
            column = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), None)
            if column is None:
                raise InputError(f"{self.path} has no column of pictures; its columns: {', '.join(features) or 'none'}")
            text = next((name for name in _TEXT_COLUMNS if _is_text(features.get(name))), None)
            for number, row in enumerate(data):
                image = features[column].decode_example(self._own(row[column], number))
                yield Picture(f"row {number}", on_white(image), row[text] if text else None)
        except (FileNotFoundError, ValueError) as error:
            raise InputError(f"{self.path} is neither a folder with pictures nor a data set: {error}") from None
        except (OSError, RuntimeError) as error:
            raise RunError(f"the pictures of {self.path} cannot be read: {error}") from None

    def _own(self, value: dict[str, Any], number: int) -> dict[str, Any]:
        """A picture's bytes, or its place in the data set.

        Raises:
            InputError: it lies elsewhere, and only whoever made the data set knows why.
        """
        path, folder = str(value.get("path") or ""), Path(self.path).expanduser()
        is_local = path and folder.is_dir() and Path(path).resolve().is_relative_to(folder.resolve())
        if value.get("bytes") is not None or is_local or path.startswith(f"hf://datasets/{self.path}@"):
            return value
        raise InputError(f"{self.path}, row {number}: the picture is not in the data set, but at {path!r}")


def on_white(image: "Image") -> "Image":
    """The picture as RGB; what is transparent shows white."""
    from PIL import Image

    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA"):
        return image.convert("RGB")
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(files, key=lambda path: (stable_int("picture", path.relative_to(folder).as_posix()), path))


def _texts(folder: Path) -> dict[str, str]:
    """What the folder's metadata says of each file."""
    rows: list[dict[str, Any]] = []
    try:
        if (path := folder / "metadata.csv").is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        elif (path := folder / "metadata.jsonl").is_file():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    column = next((name for name in _TEXT_COLUMNS if rows and name in rows[0]), None)
    return {row["file_name"]: row[column] for row in rows if column and row.get("file_name") and row.get(column)}


def _is_text(kind: Any) -> bool:
    return getattr(kind, "dtype", None) in ("string", "large_string")
