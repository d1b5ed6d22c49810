"""The `datasets` builder: the rows of a build's published shards, or of the original authors' release.

>>> from unicorn_hf.builders.unicorn import Unicorn
>>> builder = Unicorn(config_name="pretrain", data_dir="unicorn")  # doctest: +SKIP
>>> builder.download_and_prepare()  # doctest: +SKIP
>>> builder.as_dataset("train")  # doctest: +SKIP

With `unicorn_hf.datasets_plugin`, `load_dataset("unicorn", ...)` uses it too, for the original release.
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
from unicorn_hf.builders.rows import fitting
from unicorn_hf.core.errors import InputError
from unicorn_hf.reading.errors import reading_parquet
from unicorn_hf.reading.parquet_rows import by_group

try:
    from datasets.builder import Key
except ImportError:  # datasets 3

    def Key(shard: int, batch: int) -> str:  # noqa: N802
        return f"{shard}_{batch}"


_GET_AGAIN = "Get the file again."


class UnreadableError(InputError, DatasetGenerationError):  # type: ignore[misc]
    """A data file is invalid. A `DatasetGenerationError`, so that `datasets` raises it unchanged."""


@dataclass
class UnicornConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """`columns`: read only these."""

    version: str = "1.0.0"  # of the rows' format: raise it when the format changes, so that older caches are not used
    columns: list[str] | None = None


@dataclass(frozen=True)
class DataFile:
    """A file of a published build or of the original release."""

    name: str
    file: str
    """Path or URL of the downloaded file."""
    config: str
    columns: list[str] | None

    @property
    def schema(self) -> pa.Schema:
        if not self._is_parquet:
            schema = original.schema(self.config)
        else:
            with _open(self.file) as stream, reading_parquet(self.name, _GET_AGAIN):
                schema = pq.read_schema(stream).remove_metadata()
        if missing := set(self.columns or ()) - set(schema.names):
            name = Path(self.name).name
            raise InputError(f"no column {', '.join(sorted(missing))} in {name}", f"It has {schema.names}.")
        return pa.schema([schema.field(column) for column in self.columns or schema.names])

    def tables(self) -> Iterator[pa.Table]:
        try:
            with _open(self.file) as stream:
                if not self._is_parquet:
                    for table in original.tables(stream, Path(self.name).name, self.config):
                        yield table.select(self.columns or table.column_names)
                    return
                with reading_parquet(self.name, _GET_AGAIN):
                    for batch in by_group(pq.ParquetFile(stream), columns=self.columns):
                        found = batch if self.columns is None else fitting(batch, self.columns, self.name, nulls=True)
                        yield pa.Table.from_batches([found])
        except InputError as error:
            raise UnreadableError(error.message, error.advice) from error

    @property
    def _is_parquet(self) -> bool:
        return self.name.endswith(".parquet")


class Unicorn(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """One split, `train`.

    Args:
        data_dir: a built folder, or one with the files of the original release.
    """

    BUILDER_CONFIG_CLASS = UnicornConfig
    BUILDER_CONFIGS = [UnicornConfig(name=name) for name in places.CONFIGS]
    DEFAULT_CONFIG_NAME = "pretrain"

    def __init__(
        self,
        *args: Any,
        config_name: str | None = None,
        data_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        if data_dir is not None and kwargs.get("data_files") is None:
            # As data files, not as a folder: so the cache identifies them by size and time.
            kwargs["data_files"] = _found(Path(data_dir).expanduser(), config_name or self.DEFAULT_CONFIG_NAME)
        super().__init__(*args, config_name=config_name, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if not self.config.data_files:
            raise InputError("the builder has no files to read", 'Pass a folder: data_dir="unicorn".')
        names = [str(name) for name in self.config.data_files["train"]]
        files = zip(names, dl_manager.download(names), strict=True)
        shards = [DataFile(name, file, self.config.name, self.config.columns) for name, file in files]
        self.info.features = datasets.Features.from_arrow_schema(shards[0].schema)
        return [datasets.SplitGenerator(name="train", gen_kwargs={"shards": shards})]

    def _generate_tables(self, shards: list[DataFile]) -> Iterator[tuple[Any, pa.Table]]:
        for number, shard in enumerate(shards):
            for batch, table in enumerate(shard.tables()):
                yield Key(number, batch), table


def _open(file: str) -> IO[bytes]:
    # `datasets` replaces `open` in this module with its own, which also opens URLs.
    return open(file, "rb")  # noqa: PTH123


def _found(folder: Path, config: str) -> dict[str, list[str]]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if names := places.data_files(folder, config):
        return {"train": [str((folder / name).resolve()) for name in names]}
    raise InputError(
        f"{folder} contains nothing of the config {config}",
        f"Expected: {config}/*.parquet of a build, or {original.FILES.get(config, 'a config that exists')}.",
    )
