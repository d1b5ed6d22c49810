"""Deduplicates the captions that passed all filters, over all partitions, on the workers.

A row is identified by its index among all candidates. The client holds a few numbers per row, and reads one key of all
rows at a time; texts stay on disk, and the jobs that compare them read them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.captions.greedy import Selection, kept_for, select
from unicorn_hf.captions.minhash import jaccard, key_shape, may_be_alike, meeting, num_marks, shingles, sketch
from unicorn_hf.captions.semantic import SemanticDuplicates
from unicorn_hf.captions.shards import CaptionShard, PairsJob, ShardJob, hash_of, pairs_of, rows_by_shard, values_of
from unicorn_hf.core.encoder import EncoderChoice
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import NearDuplicates
from unicorn_hf.core.schemas import CAPTIONS, REJECTIONS, required
from unicorn_hf.core.words import words
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import atomic, read_table, rows_table, take_rows, write_table
from unicorn_hf.runtime.steps import Record, Step
from unicorn_hf.runtime.work import Work

STAGE = "near-duplicates"
CODE = 3
"""Raise it if keys or comparison change."""
_KEYS, _ROWS = "keys", "rows"
_SELECTED = "selected"
_PAIRS_PER_JOB = 50_000
_CACHED_TEXTS = 4096
_VALUES_AT_ONCE = 2**25
"""Keys that the client holds at a time: 256 MiB."""

SELECTED = required(partition=pa.int32(), row=pa.int32())


@dataclass(frozen=True, kw_only=True)
class KeyJob(ShardJob):
    """The keys of one partition's captions."""

    config: NearDuplicates

    def run(self, work: Work) -> Record:
        captions = self.texts()
        keys, marks = sketch(captions, self.config)
        schema = _key_schema(self.config)
        richness = [len(set(words(caption))) for caption in captions]
        write_table(self.shard(_KEYS), pa.table([richness, *marks.T, *keys.T], schema=schema), schema)
        return self.finish(work, _KEYS)


@dataclass(frozen=True, kw_only=True)
class CompareJob(PairsJob):
    """Finds near-duplicates among pairs of rows by the exact Jaccard similarity of their texts."""

    config: NearDuplicates

    def found(self) -> NDArray[np.int64]:
        texts = values_of(np.unique(self.rows), self.shards, "caption")

        @lru_cache(maxsize=_CACHED_TEXTS)
        def runs(row: int) -> frozenset[str]:
            return shingles(texts[row], self.config.shingle_words)

        threshold = cast(float, self.config.threshold)
        found = [pair for pair in self.rows.tolist() if jaccard(*map(runs, pair)) >= threshold]
        return np.array(found, np.int64).reshape(-1, 2)


class SelectedRecord(Record):
    """The selected rows, so that a finished build does not search duplicates again."""

    waves: tuple[tuple[int, ...], ...]
    """For each wave, the boundaries of its partitions in the candidates."""
    shards: str
    """Fingerprint of the shards of the rows."""
    left_out: dict[str, int]
    num_surplus: int


class Candidates:
    """All captions that passed the filters, in order; partitions are added wave by wave."""

    def __init__(self, config: NearDuplicates, work_dir: Path, encoder: EncoderChoice | None = None) -> None:
        from rensa import RMinHash

        self._config = config
        threshold = config.semantic_threshold
        self._semantic = SemanticDuplicates(threshold, encoder, work_dir) if threshold and encoder else None
        self._step = Step.of(work_dir, STAGE, config, RMinHash.ALGORITHM_VERSION, CODE)
        self._shards: list[CaptionShard] = []
        self._digests = np.zeros(0, np.int64)
        self._richness = np.zeros(0, np.int32)
        self._pairs: list[tuple[int, int]] = []

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """Shape (candidates,): whether no earlier candidate has the same words."""
        first = np.zeros(len(self._digests), bool)
        first[np.unique(self._digests, return_index=True)[1]] = True
        return first

    def add(self, paths: Sequence[Path], pool: WorkerPool) -> None:
        """Append shards of captions, and find near-duplicates within them and between them and earlier ones."""
        num_before = len(self._digests)
        digests = [read_table(path, CAPTIONS, ["digest"]).column("digest").to_numpy() for path in paths]
        starts = itertools.accumulate(map(len, digests), initial=num_before)
        of_paths = zip(paths, digests, starts, strict=False)
        shards = [CaptionShard(path, hash_of(column), start) for path, column, start in of_paths]
        self._digests = np.concatenate([self._digests, *digests])
        self._shards += shards
        if self._config.threshold is None:
            self._richness = np.zeros(len(self._digests), np.int32)
            return
        pool.run([KeyJob.of(self._step, shard, config=self._config) for shard in shards], lambda record: None)
        (richness,) = self._columns(shards, ["richness"])
        self._richness = np.concatenate([self._richness, richness])
        met = self._meeting(num_before)
        parts = [met[start : start + _PAIRS_PER_JOB] for start in range(0, len(met), _PAIRS_PER_JOB)]
        jobs = [CompareJob.of(self._step, "pairs", part, self._shards, config=self._config) for part in parts]
        self._pairs += pairs_of(jobs, pool)
        if self._semantic:
            self._pairs += self._semantic.find(self._shards, self._order, num_before, pool)

    def select(self, wanted: int) -> tuple[Selection, list[NDArray[np.int64]]]:
        """The selection, and its rows by partition; see `greedy.select`."""
        selection = select(self.is_first, self._richness, self._pairs, wanted)
        return selection, [rows for _, rows in rows_by_shard(np.flatnonzero(selection.kept), self._shards)]

    def find_selected(self, inputs: str) -> SelectedRecord | None:
        """The last selection, if it had these inputs."""
        return self._step.find(_SELECTED, inputs, SelectedRecord)

    def selected_rows(self, record: SelectedRecord) -> list[NDArray[np.int64]]:
        """The rows of a selection, by partition."""
        table = read_table(self._step.shard(_SELECTED, _ROWS), SELECTED)
        num_partitions = sum(len(ends) - 1 for ends in record.waves)
        cuts = np.searchsorted(table.column("partition").to_numpy(), np.arange(num_partitions + 1))
        rows = table.column("row").to_numpy().astype(np.int64)
        return [rows[begin:end] for begin, end in itertools.pairwise(cuts)]

    def finish(self, record: SelectedRecord, selection: Selection, rows: Sequence[NDArray[np.int64]]) -> None:
        """Write rejected duplicates, selected rows, and the record."""
        self._write_left_out(selection)
        partitions = np.repeat(np.arange(len(rows), dtype=np.int32), [len(here) for here in rows])
        all_rows = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int32)
        table = pa.table([partitions, all_rows], schema=SELECTED)
        write_table(self._step.shard(_SELECTED, _ROWS), table, SELECTED)
        self._step.finish(_SELECTED, record.model_copy(update={"num_bytes": self._step.sizes(_SELECTED, _ROWS)}))

    def _write_left_out(self, selection: Selection) -> None:
        """Write the duplicates as rejections, each with the id of the caption kept instead."""
        is_first, better = self.is_first, kept_for(selection, self._richness, self._pairs)
        ids = values_of(np.unique(np.array(list(better.values()), np.int64)), self._shards, "id")
        path = self._step.folder / "left-out.rejections.parquet"
        out = np.flatnonzero(~selection.kept[: selection.num_used])
        with atomic(path) as temporary, pq.ParquetWriter(temporary, REJECTIONS, compression="zstd") as writer:
            for shard, here in rows_by_shard(out, self._shards):
                table = take_rows(read_table(shard.path, CAPTIONS, ["id", "seed", "caption"]), here.tolist())
                rows = []
                for place, row in zip((here + shard.start).tolist(), table.to_pylist(), strict=True):
                    reason = "near_duplicate" if is_first[place] else "duplicate"
                    why = Rejected(reason, f"of {ids[better[place]]}" if place in better else "of the same words")
                    rows.append(why.row("captions", row["id"], row["seed"], row["caption"]))
                writer.write_table(rows_table(rows, REJECTIONS))

    @property
    def _order(self) -> NDArray[np.int64]:
        """The rows to compare, best first."""
        order = np.argsort(-self._richness, kind="stable")
        return order[self.is_first[order]]

    def _meeting(self, num_before: int) -> NDArray[np.int64]:
        """Pairs of rows that share a key, with at least one new row: an array of shape (pairs, 2)."""
        num_rows, order = len(self._digests), self._order
        found = np.zeros(0, np.int64)
        marks = self._columns(self._shards, [f"mark_{number}" for number in range(num_marks(self._config))])
        names = [name for name in _key_schema(self._config).names if name.startswith("key_")]
        at_once = max(1, _VALUES_AT_ONCE // max(num_rows, 1))
        for begin in range(0, len(names), at_once):
            met = [meeting(keys, order) for keys in self._columns(self._shards, names[begin : begin + at_once])]
            new = [pairs[pairs.max(axis=1, initial=0) >= num_before] for pairs in met]
            new = [pairs[may_be_alike(marks, pairs, self._config)] for pairs in new]
            found = np.unique(np.concatenate([found, *(pairs[:, 0] * num_rows + pairs[:, 1] for pairs in new)]))
        return np.stack(np.divmod(found, max(num_rows, 1)), axis=1)

    def _columns(self, shards: Sequence[CaptionShard], names: list[str]) -> list[NDArray[Any]]:
        """Columns of the key shards, each concatenated over `shards`."""
        schema = _key_schema(self._config)
        tables = pa.concat_tables(
            [read_table(self._step.shard(shard.identity, _KEYS), schema, names) for shard in shards]
        )
        return [tables.column(name).to_numpy() for name in names]


def _key_schema(config: NearDuplicates) -> pa.Schema:
    num_keys, _ = key_shape(cast(float, config.threshold), config.num_hashes)
    names = [f"mark_{number}" for number in range(num_marks(config))] + [f"key_{number}" for number in range(num_keys)]
    return required(richness=pa.int32(), **dict.fromkeys(names, pa.uint64()))
