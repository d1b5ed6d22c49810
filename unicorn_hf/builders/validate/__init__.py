"""Validate a published set against its card: read it shard by shard, and report every problem with its position.

>>> from unicorn_hf.builders.validate import validate_folder
>>> report = validate_folder("unicorn")  # doctest: +SKIP
>>> report.valid  # doctest: +SKIP
True
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unicorn_hf.builders.figures import ConfigFacts, WordFacts
from unicorn_hf.builders.places import CONFIGS, shards_of
from unicorn_hf.builders.repository import STATISTICS, TRANSFER
from unicorn_hf.builders.validate.identity import Ledger, check_identity
from unicorn_hf.builders.validate.papers import Card, check_recipe, checked_recipe, read_facts
from unicorn_hf.builders.validate.report import FIRST, Findings, Kind, Problem, Report, quoted
from unicorn_hf.builders.validate.rows import RowChecks
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256
from unicorn_hf.core.schemas import instruction, pretrain
from unicorn_hf.reading.errors import PARQUET_ERRORS, reading_parquet
from unicorn_hf.reading.parquet_rows import by_group
from unicorn_hf.runtime.progress import Progress

__all__ = ["Kind", "Problem", "Report", "validate_folder"]

_BATCH_ROWS = 1000
_MAX_DIM = 1 << 20
_SUMS = ("num_turns", "per_domain", "per_task", "turns", "question_words", "answer_letters")


def validate_folder(
    folder: str | Path,
    *,
    name: str | None = None,
    first: int = FIRST,
    progress: Progress | None = None,
    whole: bool = True,
) -> Report:
    """Check a built folder: files, schemas, counts, ids, conversations, vectors, card.

    Memory holds one batch of rows, and 48 bytes per row.

    Args:
        name: the set's name in the report; by default the folder.
        first: problems of each kind to list; the others are counted.
        progress: shows how many rows have been read.
        whole: whether to read all rows; otherwise the first ones of each config, and only number, schema and size of
            the others.

    Raises:
        InputError: there is no folder. All other problems are in the report.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "Name the folder that `unicorn-hf build` made.")
    check = _Check(folder, Findings(first), progress or Progress(), whole)
    num_rows = check.run()
    return check.findings.report(name or str(folder), num_rows)


@dataclass
class _Check:
    folder: Path
    findings: Findings
    progress: Progress
    whole: bool

    def run(self) -> dict[str, int]:
        """Run all checks and return the number of rows by config."""
        self._count = self.progress.counter()
        self._facts = read_facts(self.folder, self.findings)
        self._recipe = checked_recipe(self.folder, self.findings)
        shards = {config: shards_of(self.folder, config) for config in CONFIGS}
        schemas = {
            config: schema
            for config in CONFIGS
            if self._has_rows(config) and (schema := self._schema(config, shards["pretrain"]))
        }
        self._check_transfer()
        facts = self._facts.by_config().values() if self._facts else ()
        self.progress.start("validate", sum(fact.num_rows for fact in facts))
        ledgers = {config: self._read(config, shards[config], schemas.get(config)) for config in CONFIGS}
        self.progress.finish()
        if self.whole:
            check_identity(ledgers["pretrain"], ledgers["instruction"], self.findings)
        num_rows = {config: ledger.num_rows for config, ledger in ledgers.items()}
        expected = {config: files for config, files in shards.items() if files or self._has_rows(config)}
        Card(self.folder, self.findings).check(expected, self._facts, schemas, num_rows)
        if self._recipe:
            check_recipe(self._recipe, self._facts, num_rows, self.findings)
        return num_rows

    def _has_rows(self, config: str) -> bool:
        return self._facts is None or self._facts.by_config()[config].num_rows > 0

    def _schema(self, config: str, pretrain_shards: list[str]) -> pa.Schema | None:
        """The required schema of `config`, with the vector size of the statistics, or else of the first shard."""
        if self._facts:
            dim, dtype = self._facts.representations.dim, self._facts.representations.dtype
        else:
            found = next(filter(None, (self._vector_type(name) for name in pretrain_shards)), None)
            if found is None:
                return None
            dim, dtype = found
        if not 1 <= dim <= _MAX_DIM or dtype not in ("float16", "float32"):
            self.findings.add("statistics", STATISTICS, f"vectors cannot have {dim} numbers of {quoted(dtype)}")
            return None
        make = pretrain if config == "pretrain" else instruction
        messages = self._recipe is not None and self._recipe.packaging.messages
        return make(dim, dtype, messages=messages)  # type: ignore[arg-type]  # checked above

    def _vector_type(self, name: str) -> tuple[int, str] | None:
        try:
            type_ = pq.read_schema(self.folder / name).field("image_embedding").type
        except PARQUET_ERRORS:
            return None
        if not pa.types.is_fixed_size_list(type_):
            return None
        return type_.list_size, "float16" if type_.value_type == pa.float16() else "float32"

    def _read(self, config: str, shards: list[str], schema: pa.Schema | None) -> Ledger:
        """Read a config's shards and check each row, and the statistics of the shards."""
        facts = self._facts.by_config()[config] if self._facts else None
        self._check_listing(config, shards, facts)
        # Imported vectors may have any norm.
        unit = self._recipe is None or parse_encoder(self._recipe.representations.encoder).encodes
        if self._facts and unit:
            transfer = self._facts.representations.transfer
            known = TRANSFERS.loadable().get(transfer)
            # One that is not installed may give any norm too.
            unit = known.unit_norm if known else ":" not in transfer
        checks, ledger = RowChecks(self.findings, config, self._recipe, unit), Ledger()
        said = {shard.file: shard for shard in facts.shards} if facts else {}
        for name in shards:
            ledger.begin(name)
            before = ledger.num_rows
            rows = None if self.whole else _BATCH_ROWS if name == shards[0] else 0
            readable = schema is not None and self._read_shard(name, schema, checks, ledger, rows)
            shard = said.get(name)
            if shard and readable and shard.num_rows != ledger.num_rows - before:
                message = f"{ledger.num_rows - before:,} rows, but {STATISTICS} says {shard.num_rows:,}"
                self.findings.add("counts", name, message)
            path = self.folder / name
            if shard and (path.stat().st_size != shard.num_bytes or (self.whole and file_sha256(path) != shard.sha256)):
                self.findings.add("hash", name, f"size or sha256 differs from {STATISTICS}")
        if facts and self.whole:
            self._check_sums(config, facts, checks, ledger)
        return ledger

    def _check_listing(self, config: str, shards: list[str], facts: ConfigFacts | None) -> None:
        if not shards and (facts is None or facts.num_rows):
            self.findings.add("missing_file", f"{config}/", "no Parquet file in it")
        said = [shard.file for shard in facts.shards] if facts else shards
        for name in sorted(set(said) - set(shards)):
            self.findings.add("missing_file", STATISTICS, f"it lists {quoted(name)}, which does not exist")
        for name in sorted(set(shards) - set(said)):
            self.findings.add("unlisted_file", name, f"{STATISTICS} does not list it, but `datasets` loads it")

    def _read_shard(self, name: str, schema: pa.Schema, checks: RowChecks, ledger: Ledger, first: int | None) -> bool:
        """Check all rows of a shard, or the `first` ones; return whether it is readable."""
        row = 0
        try:
            for batch in self._batches(name, schema, ledger, first):
                checks.check(batch, name, row)
                row += batch.num_rows
                if first is None:
                    ledger.add(batch)
                    self._count(batch.num_rows)
                elif row >= first:
                    break
        except InputError as error:
            self.findings.add("unreadable", name, quoted(error.message))
            return False
        return True

    def _batches(self, name: str, schema: pa.Schema, ledger: Ledger, first: int | None) -> Iterator[pa.RecordBatch]:
        """Read the columns of the right type, with valid UTF-8."""
        with reading_parquet("it"), pq.ParquetFile(self.folder / name) as file:
            good = self._fitting(name, file.schema_arrow, schema)
            if first is not None:
                ledger.num_rows += file.metadata.num_rows
            for batch in by_group(file, batch_size=_BATCH_ROWS, columns=good, use_threads=False):
                batch.validate(full=True)
                yield batch

    def _fitting(self, name: str, found: pa.Schema, wanted: pa.Schema) -> list[str]:
        """Return the columns of the right type, and report the others."""
        good = []
        for column in dict.fromkeys([*wanted.names, *found.names]):
            ours = found.field(column).type if found.get_field_index(column) >= 0 else None
            theirs = wanted.field(column).type if column in wanted.names else None
            if ours == theirs and ours is not None:
                good.append(column)
            else:
                message = f"{ours or 'no such column'}, expected {theirs or 'no such column'}"
                self.findings.add("schema", name, message, field=column)
        if set(found.names) == set(wanted.names) and found.names != wanted.names:
            self.findings.add("schema", name, f"its columns are in another order: {', '.join(found.names)}")
        return good

    def _check_sums(self, config: str, facts: ConfigFacts, checks: RowChecks, ledger: Ledger) -> None:
        figures = checks.figures
        said = {f"{config}.{name}": getattr(facts, name) for name in (*_SUMS, "num_rows", "num_file_bytes")}
        found = {f"{config}.{name}": getattr(figures, name) for name in _SUMS}
        if facts.personal is not None:
            said[f"{config}.personal"], found[f"{config}.personal"] = facts.personal, figures.personal
        found[f"{config}.num_rows"] = ledger.num_rows
        found[f"{config}.num_file_bytes"] = sum(shard.num_bytes for shard in facts.shards)
        if config == "pretrain" and self._facts:
            for into, words in ((said, self._facts.caption_words), (found, WordFacts.of(figures.caption_words))):
                into |= {f"caption_words.{name}": getattr(words, name) for name in ("mean", "min", "median", "max")}
            sketch = self._facts.sketch
            if sketch and sketch.is_known and sketch != checks.sketch:
                self.findings.add("counts", STATISTICS, "it is not that of the captions", field="sketch")
        for field, number in found.items():
            if number != said[field]:
                message = f"{quoted(said[field])}, but the shards have {quoted(number)}"
                self.findings.add("counts", STATISTICS, message, field=field)

    def _check_transfer(self) -> None:
        from safetensors import SafetensorError, safe_open

        path = self.folder / TRANSFER
        if not path.is_file():
            self.findings.add("missing_file", TRANSFER, "it does not exist")
            return
        try:
            with safe_open(path, "numpy") as file:
                for key in file.keys():  # noqa: SIM118 - it is not a mapping
                    if not np.isfinite(file.get_tensor(key)).all():
                        self.findings.add("not_finite", TRANSFER, "it contains infinity or NaN", field=key)
        except (SafetensorError, OSError, TypeError) as error:
            self.findings.add("unreadable", TRANSFER, f"not readable as safetensors: {quoted(str(error))}")
