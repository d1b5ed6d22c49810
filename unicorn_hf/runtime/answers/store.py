"""The stored answers of one engine, as one process reads and extends them."""

import logging
import os
import platform
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np
import pyarrow as pa

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.schemas import ANSWERS
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.answers import journal, segments
from unicorn_hf.runtime.answers.index import Index
from unicorn_hf.runtime.files import DamagedShardError, read_table

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = "answers"
_JOURNALS, _SEGMENTS = "journals", "segments"
SEGMENT_ROWS = 8192
_SEGMENT_BYTES = 16 * 2**20
"""Journal size at which it becomes a segment. A segment of this size is read in 20 ms, and millions of answers need
few."""
_CACHED = 8
"""Number of cached files, about 10 MB each: answers that are looked up together were mostly stored together."""
STALE_S = 600.0
"""A journal without new lines for this long belongs to no running process; depends on synchronised clocks."""


class AnswerStore:
    """The answers of one engine.

    Any number of processes may use a store at once: each writes only its own files.

    Args:
        folder: for this engine only. It need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._journals, self._segments = folder / _JOURNALS, folder / _SEGMENTS
        self._name = f"{platform.node()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._lock = threading.RLock()
        self._index = Index()
        self._files: dict[Path, int] = {}
        """The index's numbers of the files, ascending."""
        self._read: dict[str, int] = {}
        """How much of each file is indexed, by name: bytes of a journal, 1 for a segment."""
        self._cache: OrderedDict[Path, pa.Table | bytes] = OrderedDict()
        self._own: dict[str, Answer] = {}
        """The content of this process's journal."""
        self._num_bytes = 0
        self._num_folded = count()
        self._journal: journal.Journal
        if storage.is_remote(folder):
            self._journal = journal.ObjectJournal(self._journals, self._name)
        else:
            self._journal = journal.FileJournal(self._journals, self._name, self._own_lines)

    def find(self, keys: Sequence[str]) -> dict[str, Answer]:
        """Return the stored answers among `keys`, from any process."""
        with self._lock:
            self._refresh()
            found = {key: self._own[key] for key in keys if key in self._own}
            missing = [key for key in keys if key not in found]
            if missing and len(self._index):
                for key, answer in self._indexed(missing):
                    found.setdefault(key, answer)
        return found

    def keep(self, key: str, answer: Answer) -> None:
        """Store an answer. It is durable soon afterwards; see `journal`.

        Raises:
            OSError: this answer, or an earlier one, cannot be written.
        """
        line = journal.line_of(key, answer)
        with self._lock:
            self._journal.append(line)
            self._own[key] = answer
            self._num_bytes += len(line)
            if len(self._own) >= SEGMENT_ROWS or self._num_bytes >= _SEGMENT_BYTES:
                self._fold()

    def add(self, answers: Mapping[str, Answer]) -> int:
        """Store answers, except of requests that have one; return the number of the others. They are then durable."""
        stored = self.find(list(answers))
        for key, answer in answers.items():
            if key not in stored:
                self.keep(key, answer)
        self.flush()
        return len(answers) - len(stored)

    def flush(self) -> None:
        """Make all stored answers durable."""
        self._journal.flush()

    def tidy(self) -> None:
        """Compact the journals of ended processes into segments."""
        with self._lock:
            written = time.time() - STALE_S
            stale = [path for path, _ in _listed(self._journals, journal.ENDING) if storage.modified(path) < written]
            self.add_all(_in_journals(stale), self._name)
            storage.remove(stale)

    def add_all(self, answers: Iterable[tuple[str, Answer]], name: str) -> None:
        """Store answers as segments whose names begin with `name`."""
        for number, some in enumerate(_chunks(answers, SEGMENT_ROWS)):
            segments.write_segment(self._segments / f"{name}-{number:04d}{segments.ENDING}", some)

    def all(self) -> Iterator[tuple[str, Answer]]:
        """Yield every stored answer with its key, one file at a time."""
        for path, _ in _listed(self._segments, segments.ENDING):
            yield from segments.entries_in(read_table(path, ANSWERS))
        yield from _in_journals(path for path, _ in _listed(self._journals, journal.ENDING))

    def count(self) -> int:
        """Number of stored answers. An answer that two processes requested at once counts twice."""
        in_segments = sum(segments.num_rows(path) for path, _ in _listed(self._segments, segments.ENDING))
        in_journals = sum(storage.read(path).count(b"\n") for path, _ in _listed(self._journals, journal.ENDING))
        return in_segments + in_journals

    def _fold(self) -> None:
        path = self._segments / f"{self._name}-own{next(self._num_folded):04d}{segments.ENDING}"
        self._add_segment(path, segments.write_segment(path, self._own.items()))
        self._journal.remove()
        self._own.clear()
        self._num_bytes = 0

    def _own_lines(self) -> bytes:
        return b"".join(journal.line_of(key, answer) for key, answer in self._own.copy().items())

    def _refresh(self) -> None:
        """Index what other processes wrote since the last call."""
        for path, _ in _listed(self._segments, segments.ENDING):
            if path.name not in self._read:
                try:
                    self._add_segment(path, segments.read_keys(path))
                except DamagedShardError as error:
                    self._set_aside(path, error)
        for path, num_bytes in _listed(self._journals, journal.ENDING):
            if num_bytes > self._read.get(path.name, 0) and not path.name.startswith(self._name):
                self._index_journal(path)

    def _index_journal(self, path: Path) -> None:
        start = self._read.get(path.name, 0)
        try:
            content = storage.read(path, start)
        except FileNotFoundError:  # Its process has just compacted it.
            return
        keys, places, end, num_damaged = [], [], start, 0
        for offset, line in journal.whole_lines(content):
            end = start + offset + len(line)
            if key := journal.key_in(line):
                keys.append(key)
                places.append(start + offset)
            else:
                num_damaged += 1
        if num_damaged:
            log.warning("%s: %d damaged answers will be requested again", path, num_damaged)
        self._index.add(self._number_of(path), segments.as_numbers(keys), np.array(places, np.uint32))
        self._read[path.name] = end

    def _add_segment(self, path: Path, keys: segments.Keys) -> None:
        self._index.add(self._number_of(path), keys, np.arange(len(keys), dtype=np.uint32))
        self._read[path.name] = 1

    def _number_of(self, path: Path) -> int:
        return self._files.setdefault(path, len(self._files))

    def _indexed(self, keys: Sequence[str]) -> Iterator[tuple[str, Answer]]:
        paths = list(self._files)
        for file, positions, places in self._index.find(segments.as_numbers(keys)):
            path = paths[file]
            try:
                content = self._content(path, int(places.max()))
            except FileNotFoundError:  # The journal was compacted: the segment has its answers.
                continue
            except DamagedShardError as error:
                self._set_aside(path, error)
                continue
            wanted = [keys[position] for position in positions.tolist()]
            if isinstance(content, pa.Table):
                yield from zip(wanted, segments.answers_in(content, places), strict=True)
            else:
                for key, place in zip(wanted, places.tolist(), strict=True):
                    line = content[place : content.find(b"\n", place) + 1]
                    if journal.key_in(line) == key:
                        yield key, journal.answer_in(line)

    def _content(self, path: Path, last: int) -> "pa.Table | bytes":
        """A segment as a table, or the bytes of a journal, at least up to place `last`."""
        content = self._cache.pop(path, b"")
        if len(content) <= last:
            content = read_table(path, ANSWERS) if path.name.endswith(segments.ENDING) else storage.read(path)
        self._cache[path] = content
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return content

    def _set_aside(self, path: Path, error: DamagedShardError) -> None:
        self._read[path.name] = 1
        if path.exists():
            log.warning("%s: its answers will be requested again; renamed to %s.damaged", error.message, path.name)
            path.rename(path.with_name(f"{path.name}.damaged"))


@lru_cache(maxsize=8)
def store_at(folder: Path) -> AnswerStore:
    """This process's view of the store in `folder`."""
    return AnswerStore(folder)


def _in_journals(paths: Iterable[Path]) -> Iterator[tuple[str, Answer]]:
    for path in paths:
        for _, line in journal.whole_lines(storage.read(path)):
            if key := journal.key_in(line):
                yield key, journal.answer_in(line)


def _listed(folder: Path, ending: str) -> Iterator[tuple[Path, int]]:
    """Yield the files with this suffix and their sizes, without temporary ones."""
    for name, num_bytes in storage.listed(folder):
        if name.endswith(ending) and not name.startswith("."):
            yield folder / name, num_bytes


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
