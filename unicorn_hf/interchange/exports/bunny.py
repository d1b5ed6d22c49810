"""The format of the original trainer."""

import pickle
from pathlib import Path

from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.interchange.exports import VECTOR, BuiltSet, ExportFormat, created, json_list

_COLUMNS = ("id", "caption", "conversations")


@EXPORTS.register("bunny")
class Bunny(ExportFormat):
    """JSON lists and pickled vectors, for the paper's own trainer.

    `pretrain.json` and `instruction.json` are lists of {"id", "caption", "conversations"}, `embeddings/*.pkl` pickled
    lists of {"id", "caption", "embed"} with `embed` a float32 array of shape (dim,). They are joined by id.
    """

    def write(self, data: BuiltSet, out: Path) -> None:
        import numpy as np

        with json_list(out / "pretrain.json") as add:
            for number, rows in enumerate(data.files("pretrain", [*_COLUMNS, VECTOR])):
                records = [
                    {"id": row["id"], "caption": row["caption"], "embed": row.pop(VECTOR).astype(np.float32)}
                    for row in rows
                ]
                with created(out / "embeddings" / f"{number:05d}.pkl").open("wb") as file:
                    pickle.dump(records, file, protocol=pickle.HIGHEST_PROTOCOL)
                for row in rows:
                    add(row)
        with json_list(out / "instruction.json") as add:
            # The original trainer skips a record without a caption.
            for row in data.rows("instruction", _COLUMNS):
                add(row)
