"""What is stored is found, by whichever process, whatever became of the one that stored it."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.schemas import ANSWERS
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.answers import AnswerStore, journal, store
from unicorn_hf.runtime.answers.earlier import take_over
from unicorn_hf.runtime.answers.segments import answers_in
from unicorn_hf.runtime.files import write_table


def key_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def answer_of(number: int) -> Answer:
    return Answer(f"caption {number}\n猫 \x00", "stop", number, number + 1, number % 3, number / 7, number % 2 == 0)


def keep(stored: AnswerStore, *numbers: int) -> None:
    for number in numbers:
        stored.keep(key_of(number), answer_of(number))


def found(folder: Path, *numbers: int) -> set[int]:
    """Which of the numbers a new process finds, all of whose answers are right."""
    answers = AnswerStore(folder).find([key_of(number) for number in numbers])
    for number in numbers:
        assert answers.get(key_of(number), answer_of(number)) == answer_of(number)
    return {number for number in numbers if key_of(number) in answers}


def journals(folder: Path) -> list[Path]:
    return sorted((folder / "journals").glob("*.journal"))


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "segments").glob("*.parquet"))


@given(
    kept=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=120),
    rows=st.integers(1, 20),
    every=st.integers(1, 10),
)
def test_all_processes_find_all_answers_at_any_time(
    tmp_path_factory: pytest.TempPathFactory, kept: list[tuple[int, int]], rows: int, every: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    processes = [AnswerStore(folder) for _ in range(3)]
    known: set[int] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SEGMENT_ROWS", rows)
        for step, (process, number) in enumerate(kept):
            keep(processes[process], number)
            known.add(number)
            if step % every == 0:
                asker = processes[(process + 1) % 3]
                answers = asker.find([key_of(number) for number in range(61)])
                assert answers == {key_of(number): answer_of(number) for number in known}
    assert found(folder, *range(61)) == known


def test_a_full_journal_becomes_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SEGMENT_ROWS", 10)
    stored = AnswerStore(tmp_path)
    keep(stored, *range(25))
    assert len(segments(tmp_path)) == 2
    (path,) = journals(tmp_path)
    assert path.read_bytes().count(b"\n") == 5
    assert stored.count() == AnswerStore(tmp_path).count() == 25
    assert found(tmp_path, *range(30)) == set(range(25))


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_half_written_end_loses_its_answer_alone(cut: int, tmp_path: Path) -> None:
    keep(AnswerStore(tmp_path), *range(5))
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert found(tmp_path, *range(5)) == set(range(4))


@given(data=st.data())
def test_a_damaged_line_loses_its_answer_alone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("store")
    keep(AnswerStore(folder), *range(5))
    (path,) = journals(folder)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    damaged = content[:at].count(b"\n")
    # Without its end a line takes the next one with it.
    lost = {damaged, damaged + 1} if bytes(content).count(b"\n") < 5 else {damaged}
    assert found(folder, *range(5)) >= set(range(5)) - lost


def test_damage_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(AnswerStore(tmp_path), *range(3))
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"caption 1", b"caption 7"))
    assert found(tmp_path, *range(3)) == {0, 2}
    assert f"{path}: 1 damaged answers will be requested again" in caplog.text


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_segment_is_set_aside(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "SEGMENT_ROWS", 10)
    keep(AnswerStore(tmp_path), *range(20))
    path = segments(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flipped": content, "cut": content[:-100], "emptied": b""}[damage])
    assert len(found(tmp_path, *range(20))) == 10
    assert "its answers will be requested again" in caplog.text
    assert [path.name for path in tmp_path.rglob("*.damaged")] == [f"{path.name}.damaged"]
    assert len(found(tmp_path, *range(20))) == 10


def test_a_killed_process_has_stored_what_came(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.runtime.answers.test_store import keep\n"
        "from unicorn_hf.runtime.answers import AnswerStore\n"
        "keep(AnswerStore(Path(sys.argv[1])), *range(40)); print('kept', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"kept\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert found(tmp_path, *range(40)) == set(range(40))


def test_what_is_synced_is_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), fsync(file)))
    stored = AnswerStore(tmp_path)
    for number in range(200):
        keep(stored, number)
    deadline = time.monotonic() + 60
    while not synced or synced[-1] < journals(tmp_path)[0].stat().st_size:
        assert time.monotonic() < deadline, "nobody syncs"
        time.sleep(0.02)
    assert len(synced) < 50, "not one sync an answer"


def test_a_disk_that_is_full_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = AnswerStore(tmp_path)
    keep(stored, 0)
    write = os.write

    def half(file: int, content: bytes) -> int:
        monkeypatch.setattr(os, "write", full)
        return write(file, content[: len(content) // 2])

    def full(file: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match=r"No space left on device.*\.journal"):
        keep(stored, 1)
    monkeypatch.setattr(os, "write", write)
    keep(stored, 2)
    assert found(tmp_path, 0, 1, 2) == {0, 2}


def test_journals_of_processes_that_are_gone_are_folded(tmp_path: Path) -> None:
    keep(AnswerStore(tmp_path), *range(5))
    keep(AnswerStore(tmp_path), *range(5, 9))
    AnswerStore(tmp_path).tidy()
    assert len(journals(tmp_path)) == 2, "they may still be written"
    for path in journals(tmp_path):
        os.utime(path, (0, 0))
    AnswerStore(tmp_path).tidy()
    assert (journals(tmp_path), len(segments(tmp_path))) == ([], 1)
    assert found(tmp_path, *range(9)) == set(range(9))


def test_a_process_whose_journal_was_folded_goes_on(tmp_path: Path) -> None:
    stored = AnswerStore(tmp_path)
    keep(stored, 1)
    (path,) = journals(tmp_path)
    path.unlink()
    keep(stored, 2)
    stored.flush()
    assert found(tmp_path, 1, 2) == {1, 2}


def test_who_adds_to_objects_does_not_wait_for_one_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    objects = journal.ObjectJournal(tmp_path, "a")

    def put(path: Path, content: bytes) -> None:
        if not written:
            adding = threading.Thread(target=objects.append, args=(b"2",))
            adding.start()
            adding.join(60)
            assert not adding.is_alive()
        written.append(content)

    monkeypatch.setattr(storage, "put", put)
    objects.append(b"1")
    objects.flush()
    objects.flush()
    objects.flush()
    assert written == [b"1", b"2"]


def test_answers_of_an_earlier_version_are_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "answers-captions-0123456789abcdef"
    earlier = pa.schema([pa.field("id", pa.string()), *list(ANSWERS)[:-1]])
    for partition in range(2):
        numbers = range(10 * partition, 10 * partition + 10)
        rows = [
            {
                "id": f"row {number}",
                "key": key_of(number),
                **{name: getattr(answer_of(number), name) for name in ANSWERS.names[1:-1]},
            }
            for number in numbers
        ]
        write_table(folder / f"000-0000{partition}.parquet", pa.Table.from_pylist(rows, schema=earlier), earlier)
    (folder / "000-00002.parquet").write_bytes(b"PAR1 and no more")
    stored = AnswerStore(tmp_path / "store")
    take_over(folder, stored)
    assert stored.count() == 20
    assert not folder.exists()
    answers = stored.find([key_of(number) for number in range(20)])
    assert answers == {key_of(number): replace(answer_of(number), tokens_told=True) for number in range(20)}
    take_over(folder, stored)
    assert stored.count() == 20


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.text()), max_size=20))
def test_a_line_holds_all_of_an_answer(rows: list[tuple[int, str]]) -> None:
    answers = [(f"{key:016x}", replace(answer_of(3), text=text)) for key, text in rows]
    lines = [journal.line_of(key, answer) for key, answer in answers]
    read = [line for _, line in journal.whole_lines(b"".join(lines))]
    assert read == lines
    assert [(journal.key_in(line), journal.answer_in(line)) for line in read] == answers
    assert answers_in(_table(answers)) == [answer for _, answer in answers]


def _table(answers: list[tuple[str, Answer]]) -> pa.Table:
    rows = [{"key": key, **{name: getattr(answer, name) for name in ANSWERS.names[1:]}} for key, answer in answers]
    return pa.Table.from_pylist(rows, schema=ANSWERS)
