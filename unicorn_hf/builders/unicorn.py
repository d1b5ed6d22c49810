"""The `datasets` builder: a build's Parquet shards, or the original authors' release, as the configs' rows.

>>> from unicorn_hf.builders.unicorn import Unicorn
>>> builder = Unicorn(config_name="pretrain", data_dir="unicorn")  # doctest: +SKIP
>>> builder.download_and_prepare()  # doctest: +SKIP
>>> builder.as_dataset("train")  # doctest: +SKIP

`load_dataset("unicorn", ...)` comes here too, for the original release, once `unicorn_hf.datasets_plugin` is imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetGenerationError

from unicorn_hf.builders import original, places
from unicorn_hf.core.errors import InputError

try:
    from datasets.builder import Key
except ImportError:  # datasets 3

    def Key(shard: int, batch: int) -> str:  # noqa: N802
        return f"{shard}_{batch}"


class UnreadableError(InputError, DatasetGenerationError):  # type: ignore[misc]
    """A data file is not what it should be. A `DatasetGenerationError`, so that `datasets` lets it through as it is."""


@dataclass
class UnicornConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """`columns`: read only these; embeddings that are not asked for are not read."""

    version: str = "1.0.0"  # of the rows' form: raised when it changes, so that no older cache is taken for it
    columns: list[str] | None = None


class Unicorn(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """One split, `train`. `data_dir` is a built folder, or one with the files of the original release."""

    BUILDER_CONFIG_CLASS = UnicornConfig
    BUILDER_CONFIGS = [UnicornConfig(name=name) for name in places.CONFIGS]  # noqa: RUF012
    DEFAULT_CONFIG_NAME = "pretrain"

    def __init__(
        self, *args: Any, config_name: str | None = None, data_dir: str | Path | None = None, **kwargs: Any
    ) -> None:
        if data_dir is not None and kwargs.get("data_files") is None:
            # As data files and not as a folder: the cache then knows them by their size and time.
            kwargs["data_files"] = _found(Path(data_dir).expanduser(), config_name or self.DEFAULT_CONFIG_NAME)
        super().__init__(*args, config_name=config_name, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if not self.config.data_files:
            raise InputError("the builder was given nothing to read", 'Give a folder: data_dir="unicorn".')
        names = [str(name) for name in self.config.data_files["train"]]
        files = dl_manager.download(names)
        schema = self._schema(names[0], files[0])
        self.info.features = datasets.Features.from_arrow_schema(schema)
        return [datasets.SplitGenerator(name="train", gen_kwargs={"names": names, "files": files})]

    def _schema(self, name: str, file: str) -> pa.Schema:
        if not name.endswith(".parquet"):
            schema = original.schema(self.config.name)
        else:
            with _open(file) as stream:
                schema = pq.read_schema(stream).remove_metadata()
        if missing := set(self.config.columns or ()) - set(schema.names):
            raise InputError(f"no column {', '.join(sorted(missing))} in {Path(name).name}", f"It has {schema.names}.")
        return pa.schema([schema.field(column) for column in self.config.columns or schema.names])

    def _generate_tables(self, names: list[str], files: list[str]) -> Iterator[tuple[Any, pa.Table]]:
        for shard, (name, file) in enumerate(zip(names, files, strict=True)):
            with _open(file) as stream:
                for batch, table in enumerate(self._tables(stream, name)):
                    yield Key(shard, batch), table

    def _tables(self, stream: IO[bytes], name: str) -> Iterator[pa.Table]:
        columns = self.config.columns
        try:
            if name.endswith(".parquet"):
                for batch in pq.ParquetFile(stream).iter_batches(columns=columns):
                    yield pa.Table.from_batches([batch])
            else:
                for table in original.tables(stream, Path(name).name, self.config.name):
                    yield table.select(columns or table.column_names)
        except InputError as error:
            raise UnreadableError(error.message, error.advice) from error
        except pa.ArrowInvalid as error:
            raise UnreadableError(f"{name}: not readable as Parquet ({error})", "Get the file again.") from error


def _open(file: str) -> IO[bytes]:
    # `datasets` puts an `open` of its own in this module, which opens addresses too.
    return open(file, "rb")  # noqa: PTH123


def _found(folder: Path, config: str) -> dict[str, list[str]]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if names := places.data_files(places.file_names(folder), config):
        return {"train": [str((folder / name).resolve()) for name in names]}
    raise InputError(
        f"{folder} holds nothing of the config {config}",
        f"Expected: {config}/*.parquet of a build, or {original.FILES.get(config, 'a config that exists')}.",
    )
