"""The format of LLaVA: JSON lists with a reference to each row's vector."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.core.errors import InputError
from unicorn_hf.interchange import exports
from unicorn_hf.interchange.exports import VECTOR, BuiltSet, ExportFormat, created, json_list

_COLUMNS = ("id", "conversations", "seed", "domain")


@EXPORTS.register("llava")
class Llava(ExportFormat):
    """JSON lists and safetensors, for LLaVA.

    A row is {"id", "image", "conversations", "seed", "domain"}, in `instruction.json` also "task". `image` is
    `FILE#ROW` of `embeddings/*.safetensors`: a row of its tensor `embeddings`, of shape (rows, dim).
    """

    def write(self, data: BuiltSet, out: Path) -> None:
        import numpy as np
        from safetensors.numpy import save_file

        from unicorn_hf.interchange.vectors import KEY

        with json_list(out / "pretrain.json") as add:
            for number, rows in enumerate(data.files("pretrain", [*_COLUMNS, VECTOR])):
                save_file({KEY: np.stack([row.pop(VECTOR) for row in rows])}, created(out / _file(number)))
                for at, row in enumerate(rows):
                    add(self._placed(row, number, at))
        # Rows of `instruction` are in the order of `pretrain`.
        captions = enumerate(_ids(data.folder))
        with json_list(out / "instruction.json") as add:
            for row in data.rows("instruction", [*_COLUMNS, "task"]):
                place = next((at for at, other in captions if other == row["id"]), None)
                if place is None:
                    raise InputError(
                        f"{data.folder}: the instruction row {row['id']} has no caption in pretrain, or not in the "
                        "order of pretrain",
                        f"Try: unicorn-hf validate {data.folder}",
                    )
                add(self._placed(row, *divmod(place, exports.ROWS_PER_FILE)))

    def image(self, place: str) -> Mapping[str, object]:
        """The field of a row that replaces the picture."""
        return {"image": place}

    def _placed(self, row: Mapping[str, Any], file: int, at: int) -> dict[str, object]:
        return {"id": row["id"], **self.image(f"{_file(file)}#{at}"), **row}


def _ids(folder: Path) -> Iterator[str]:
    from unicorn_hf.builders.rows import batches

    for batch in batches(folder, "pretrain", ["id"]):
        yield from batch.column(0).to_pylist()


def _file(number: int) -> str:
    return f"embeddings/{number:05d}.safetensors"
