"""Stream images for measurements of the image side from a folder, or from a data set of `datasets`."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.streams import end_quietly
from unicorn_hf.runtime.dataset_card import check_data_files

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Those of the suffixes. Pillow finds a format by the content: for PostScript, it would start another program."""
_TEXT_COLUMNS = ("text", "caption", "label")
_SHUFFLED = 1000


@dataclass(frozen=True)
class Picture:
    name: str
    image: "Image"
    """RGB."""
    text: str | None
    """Its text in the source, if there is one."""
    rows: tuple[Mapping[str, Any], ...] = ()
    """All that the source says of it: the rows of a folder's metadata that name it, or the data set's row without its
    image. A class is its name."""


@dataclass(frozen=True)
class PictureSource:
    """A source of images.

    The images of a folder come in the order of a hash of their names, those of a data set shuffled in a buffer, so that
    the first ones are representative. Texts come from a folder's `metadata.csv` or `metadata.jsonl` (columns
    `file_name` and `text`, as `datasets` reads them).
    """

    path: str
    """A folder with images, or an argument of `datasets.load_dataset`."""
    limit: int
    config: str | None = None
    split: str = "train"

    @property
    def name(self) -> str:
        return public_name(self.path)

    def __iter__(self) -> Iterator[Picture]:
        """
        Raises:
            InputError: there is no such source, it contains no images, or one cannot be read.
        """
        folder = Path(self.path).expanduser()
        files = _files(folder)
        if not files and folder.is_dir() and not any(folder.rglob("*.parquet")):
            raise InputError(f"{self.path} contains no images ({', '.join(SUFFIXES)})")
        pictures = islice(self._of_files(folder, files) if files else self._of_dataset(), self.limit)
        if (first := next(pictures, None)) is None:
            raise InputError(f"{self.path} contains no images")
        yield from chain([first], pictures)

    def _of_files(self, folder: Path, files: list[Path]) -> Iterator[Picture]:
        said = _rows(folder)
        column = next((name for name in _TEXT_COLUMNS for rows in said.values() if name in rows[0]), None)
        for path in files:
            name = path.relative_to(folder).as_posix()
            rows = tuple(said.get(name, ()))
            text = next((str(row[column]) for row in rows if column and row.get(column)), None)
            yield Picture(name, _read(path, path), text, rows)

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
                raise InputError(f"{self.path} has no column of images; its columns: {', '.join(features) or 'none'}")
            text = next((name for name in _TEXT_COLUMNS if _is_text(features.get(name))), None)
            for number, row in enumerate(data):
                if row[column] is None:
                    continue
                name, content = f"row {number}", self._content(row.pop(column), number)
                said = {name: _named(value, features[name]) for name, value in row.items()}
                yield Picture(name, _read(BytesIO(content), name, turned=True), row[text] if text else None, (said,))
        except (FileNotFoundError, ValueError) as error:
            raise InputError(f"{self.path} is neither a folder with images nor a data set: {error}") from None
        except (OSError, RuntimeError) as error:
            raise RunError(f"the images of {self.path} cannot be read: {error}") from None

    def _content(self, value: dict[str, Any], number: int) -> bytes:
        """
        Raises:
            InputError: the image is outside the data set: opening it could be an attack.
        """
        if (content := value.get("bytes")) is not None:
            return bytes(content)
        path, folder = str(value.get("path") or ""), Path(self.path).expanduser()
        is_local = path and folder.is_dir() and Path(path).resolve().is_relative_to(folder.resolve())
        if is_local:
            return Path(path).read_bytes()
        if path.startswith(f"hf://datasets/{self.path}@"):
            import fsspec

            with fsspec.open(path, "rb") as file:
                return bytes(file.read())
        raise InputError(f"{self.path}, row {number}: the image is not in the data set, but at {path!r}")


def public_name(path: str | Path) -> str:
    """The name of a folder without its path, for published files; other names as they are."""
    folder = Path(path).expanduser()
    return folder.resolve().name if folder.exists() else str(path)


def on_white(image: "Image") -> "Image":
    """Convert the image to RGB, on a white background."""
    from PIL import Image

    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA"):
        return image.convert("RGB")
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def _read(file: Path | BytesIO, name: str | Path, *, turned: bool = False) -> "Image":
    """The image in RGB, `turned` by its EXIF orientation, as `datasets` turns it.

    Raises:
        InputError: it cannot be read, or is too large.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=_FORMATS) as image:
            return on_white(ImageOps.exif_transpose(image) if turned else image)
    except Exception as error:  # noqa: BLE001 - Pillow raises errors of any type
        raise InputError(f"{name} cannot be read as an image: {error}") from None


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(files, key=lambda path: (stable_int("picture", path.relative_to(folder).as_posix()), path))


def _rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    rows: list[Any] = []
    try:
        if (path := folder / "metadata.csv").is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        elif (path := folder / "metadata.jsonl").is_file():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{path}: {error}") from None
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if isinstance(row, dict) and isinstance(name := row.pop("file_name", None), str):
            found[name].append(row)
    return found


def _named(value: Any, kind: Any) -> Any:
    """The name of a class; other values as they are."""
    return kind.int2str(value) if hasattr(kind, "int2str") and value is not None and value >= 0 else value


def _is_text(kind: Any) -> bool:
    return getattr(kind, "dtype", None) in ("string", "large_string")
