"""Append-only log of answers: lines of text, each with a checksum, in a file that one process writes.

On a file system a line is written immediately and synced within `SYNC_S`: the death of the process loses nothing, that
of the machine half a second. An object cannot be appended to: in object storage the lines of `PUT_S` seconds become one
object, or those of longer where the storage limits requests.
"""

import json
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

from unicorn_hf.core.generation import Answer
from unicorn_hf.runtime import storage

SYNC_S = 0.5
PUT_S = 3.0
ENDING = ".journal"
_PRIVATE = 0o600
_CHECKSUM = 9
"""Eight hex digits and a space."""
_KEY = 16


def line_of(key: str, answer: Answer) -> bytes:
    """The line that holds an answer."""
    fields = (
        answer.text, answer.finish_reason, answer.num_prompt_tokens, answer.num_output_tokens, answer.num_retries,
        answer.seconds, answer.tokens_told,
    )  # fmt: skip
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    content = f"{key} {text}".encode(errors="replace")
    return b"%08x %s\n" % (crc32(content), content)


def key_in(line: bytes) -> str | None:
    """The key of the answer in a line; None if the line is damaged."""
    content = line[_CHECKSUM:].removesuffix(b"\n")
    if line[: _CHECKSUM - 1] != b"%08x" % crc32(content) or len(content) <= _KEY:
        return None
    return content[:_KEY].decode()


def answer_in(line: bytes) -> Answer:
    """The answer in an undamaged line."""
    return Answer(*json.loads(line[_CHECKSUM + _KEY + 1 :]))


def whole_lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each complete line and its offset. A last line without a newline may be in the middle of being written."""
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        yield start, content[start : end + 1]
        start = end + 1


class Journal(ABC):
    """The answers of one process, in files whose names begin with the journal's. A thread flushes them soon."""

    flush_every_s: float

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._added = threading.Event()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def append(self, lines: bytes) -> None:
        """Add lines. They are durable soon afterwards.

        Raises:
            Exception: these lines cannot be written, or earlier ones could not.
        """
        with self._changing:
            if error := self._error:
                self._error = None
                raise error
            self._write(lines)
            self._schedule_flush()

    @abstractmethod
    def flush(self) -> None:
        """Make all added lines durable."""

    @abstractmethod
    def remove(self) -> None:
        """Delete the journal; its answers are stored elsewhere by now."""

    @abstractmethod
    def _write(self, lines: bytes) -> None:
        """Add lines; the caller holds the lock."""

    def _schedule_flush(self) -> None:
        """The caller holds the lock."""
        self._added.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._added.wait()
            time.sleep(self.flush_every_s)
            self._added.clear()
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - storage packages have their own types; `append` raises it
                self._error = error
                self._added.set()


class FileJournal(Journal):
    """A journal in a file; `rewritten` returns all its lines, to restore a lost file."""

    flush_every_s = SYNC_S

    def __init__(self, folder: Path, name: str, rewritten: Callable[[], bytes]) -> None:
        super().__init__()
        self._path = folder / f"{name}{ENDING}"
        self._rewritten = rewritten
        self._file: int | None = None
        self._num_bytes = 0
        self._is_synced = True

    def flush(self) -> None:
        with self._changing:
            file = self._file
            if file is None or self._is_synced:
                return
            try:
                os.fsync(file)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._path)) from error
            self._is_synced = True
            if os.fstat(file).st_nlink == 0:
                # Another process deleted the file as stale.
                self._close()
                self._write(self._rewritten())
                self._schedule_flush()

    def remove(self) -> None:
        with self._changing:
            self._close()
            self._path.unlink(missing_ok=True)

    def _write(self, lines: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
            self._num_bytes = os.fstat(self._file).st_size
        self._is_synced = False
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._file, lines[done:])
        except OSError as error:
            # An incomplete line would corrupt the next one.
            os.ftruncate(self._file, self._num_bytes)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._num_bytes += len(lines)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class ObjectJournal(Journal):
    """A journal in objects, each of which holds the lines of a few seconds."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self.flush_every_s = max(PUT_S, storage.put_every_s(folder))
        self._folder = folder
        self._name = name
        self._putting = threading.Lock()
        """Held while an object is written; `append` does not wait for it."""
        self._lines: list[bytes] = []
        self._written: list[Path] = []
        self._num_written = 0

    def flush(self) -> None:
        with self._putting:
            with self._changing:
                lines, self._lines = self._lines, []
            if not lines:
                return
            self._num_written += 1
            path = self._folder / f"{self._name}-{self._num_written:06d}{ENDING}"
            try:
                storage.put(path, b"".join(lines))
            except BaseException:
                with self._changing:
                    self._lines = lines + self._lines
                raise
            self._written.append(path)

    def remove(self) -> None:
        with self._putting:
            with self._changing:
                self._lines = []
            storage.remove(self._written)
            self._written = []

    def _write(self, lines: bytes) -> None:
        self._lines.append(lines)
