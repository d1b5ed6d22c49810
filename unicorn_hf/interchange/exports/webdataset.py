"""The format of WebDataset."""

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.interchange import exports
from unicorn_hf.interchange.exports import VECTOR, BuiltSet, ExportFormat, created

_COLUMNS = ("id", "caption", "conversations", "seed", "domain")


@EXPORTS.register("webdataset")
class WebDataset(ExportFormat):
    """Tar shards, for WebDataset.

    `pretrain/*.tar` and `instruction/*.tar`, with a .json and a .npy for each row.
    """

    def write(self, data: BuiltSet, out: Path) -> None:
        for config, more in (("pretrain", ()), ("instruction", ("task",))):
            for number, rows in enumerate(data.files(config, [*_COLUMNS, *more, VECTOR])):
                with tarfile.open(created(out / config / f"{number:05d}.tar"), "w") as tar:
                    for at, row in enumerate(rows, start=number * exports.ROWS_PER_FILE):
                        vector = _npy(row.pop(VECTOR))
                        _add(tar, f"{at:09d}.json", json.dumps(row, ensure_ascii=False).encode())
                        _add(tar, f"{at:09d}.npy", vector)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    # The default header has no time and no owner, so equal rows give equal tars.
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, BytesIO(content))


def _npy(vector: Any) -> bytes:
    import numpy as np

    file = BytesIO()
    np.save(file, vector)
    return file.getvalue()
