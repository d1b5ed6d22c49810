"""A build by batches: complete, and nothing is paid twice, whatever fails and whenever it is killed."""

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.builds import rows, write_seeds
from tests.engines.batch_api import BatchApi, Reply, write_batch_recipe
from tests.engines.chat_server import Body, completion
from tests.stages import open_serial_pool
from unicorn_hf import Recipe, RunError, build, load_recipe
from unicorn_hf.cli import main
from unicorn_hf.core.errors import InputError, WaitingError
from unicorn_hf.engines.generators.batch_server import BatchServer
from unicorn_hf.pipeline.cleaning import clean
from unicorn_hf.pipeline.planning import plan
from unicorn_hf.pipeline.requests import collect_answers, export_requests
from unicorn_hf.runtime.answers import AnswerStore, store_at
from unicorn_hf.runtime.batches import BatchEntry, BatchFolder, batches_in
from unicorn_hf.views.status import status

CAPTIONS, INSTRUCTIONS = 60, 24


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unicorn_hf.pipeline.run.open_pool", open_serial_pool)
    monkeypatch.setattr("unicorn_hf.pipeline.publish.draw_charts", lambda statistics: {})


def write_recipe(folder: Path) -> Path:
    write_seeds(folder / "seeds.txt")
    return write_batch_recipe(folder, CAPTIONS, INSTRUCTIONS, partition_rows=20, engine="{kind: batch, model: m}")


def recipe(folder: Path, api: BatchApi, **more: object) -> Recipe:
    engine = {"kind": "batch", "base_url": api.url, "model": "m", "poll_s": 0.002, "max_requests": 20}
    return load_recipe(write_recipe(folder), {"engine": engine, **more})


def check(out: Path, api: BatchApi) -> None:
    """The set is complete, and each request was answered once."""
    assert len(rows(out, "pretrain")) == CAPTIONS
    assert len(rows(out, "instruction")) == INSTRUCTIONS
    assert set(api.paid.values()) == {1}
    entries = batches_in(out.with_name(f"{out.name}.work"))
    assert {entry.state for entry in entries} <= {"ended", "split"}
    assert sum(entry.num_answered for entry in entries) == api.paid.total()


def refuse_some(body: Body) -> tuple[int, bytes] | None:
    return (400, b'{"error": {"message": "no"}}') if body["seed"] % 9 == 0 else None


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"lost_creates": frozenset({1, 3})},
        {"failed_creates": frozenset({1, 2})},
        {"lost_creates": frozenset({1, 3}), "has_metadata": False},
        {"cut_downloads": frozenset({1, 2, 4})},
        {"share_expired": 0.2},
        {"quota": 60_000},
        {"gone": range(5, 65)},
    ],
    ids=lambda faults: "+".join(faults) or "none",
)
def test_each_fault_is_survived(tmp_path: Path, faults: dict[str, Any]) -> None:
    with BatchApi(**faults).running() as api:
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        check(tmp_path / "unicorn", api)


class KilledError(BaseException):
    """Ends the build where a kill would."""


def _killing(monkeypatch: pytest.MonkeyPatch, rng: random.Random, share: float) -> None:
    """Let calls of the server and writes of entries end the build, before or after they have an effect."""

    def deadly(call: Any) -> Any:
        def called(*arguments: Any, **named: Any) -> Any:
            if rng.random() < share:
                raise KilledError
            result = call(*arguments, **named)
            if rng.random() < share:
                raise KilledError
            return result

        return called

    monkeypatch.setattr(BatchServer, "_send", deadly(BatchServer._send))
    monkeypatch.setattr(BatchFolder, "write", deadly(BatchFolder.write))
    monkeypatch.setattr(AnswerStore, "flush", deadly(AnswerStore.flush))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_build_with_all_faults_is_killed_again_and_again(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: dict[str, Any] = {
        "share_expired": 0.1, "lost_creates": frozenset({2, 5}), "cut_downloads": frozenset({1, 4}), "quota": 80_000,
        "gone": range(20, 80),
    }  # fmt: skip
    num_kills = 0
    with BatchApi(**faults).running() as api:
        _killing(monkeypatch, random.Random(seed), 0.02)
        while True:
            store_at.cache_clear()  # Another process.
            try:
                build(recipe(tmp_path, api), tmp_path / "unicorn")
                break
            except KilledError:
                num_kills += 1
        check(tmp_path / "unicorn", api)
    assert num_kills >= 3


def test_a_build_that_does_not_wait_is_collected_later(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    with BatchApi(takes_min=30).running() as api:
        num_runs = 0
        while True:
            num_runs += 1
            store_at.cache_clear()
            try:
                build(recipe(tmp_path, api), out, wait=False)
                break
            except WaitingError as waiting:
                if num_runs == 1:
                    assert str(waiting).startswith("3 batches with 60 requests in flight")
                    shown = CliRunner().invoke(main, ["status", str(out)]).output
                    assert "waits for batches" in shown
                    assert shown.count("batch-") == 3
                    assert status(out).build.state == "waiting"
                    clean(out, keep_answers=True)
                    assert len(batches_in(tmp_path / "unicorn.work")) == 3
        check(out, api)
    assert num_runs > 3


def test_batches_are_found_by_their_requests_where_the_work_folder_is_lost(tmp_path: Path) -> None:
    with BatchApi(takes_min=30).running() as api:
        with pytest.raises(WaitingError):
            build(recipe(tmp_path, api), tmp_path / "unicorn", wait=False)
        clean(tmp_path / "unicorn")
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        check(tmp_path / "unicorn", api)


def test_requests_are_asked_again_only_where_the_user_says_that_their_answers_are_lost(tmp_path: Path) -> None:
    with BatchApi(takes_min=30).running() as api:
        mine = recipe(tmp_path, api, **{"instructions.num": 0})
        with pytest.raises(WaitingError):
            build(mine, tmp_path / "unicorn", wait=False)
        api.clock_min += 60
        api.reply("GET", "/v1/batches", b"")
        api.files = {name: content for name, content in api.files.items() if b'"response"' not in content}
        with pytest.raises(RunError, match="does not give the files") as caught:
            build(mine, tmp_path / "unicorn")
        for entry in batches_in(tmp_path / "unicorn.work"):
            (path,) = (tmp_path / "unicorn.work" / "batches").rglob(f"{entry.name}.json")
            path.unlink()
        assert "pay for them again" in caught.value.advice
        build(mine, tmp_path / "unicorn")
        assert set(api.paid.values()) == {2}


def test_batches_and_a_live_server_share_their_answers(tmp_path: Path) -> None:
    with BatchApi().running() as api:
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        num_paid = api.paid.total()
        live = {"kind": "endpoint", "base_url": api.url, "model": "m"}
        build(recipe(tmp_path, api, engine=live), tmp_path / "other", work_dir=tmp_path / "unicorn.work")
        assert api.paid.total() == num_paid


def test_refused_rows_are_settled_and_others_given_up_within_bounds(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    with BatchApi(refuses=refuse_some).running() as api:
        build(recipe(tmp_path, api), out)
        check_rows = len(rows(out, "pretrain"))
        assert check_rows == CAPTIONS
        assert json.loads((out / "statistics.json").read_text())["captions"]["rejected"]["refused_by_server"]

    def overloaded(body: Body) -> tuple[int, bytes] | None:
        return (503, b'{"error": {"message": "busy"}}') if body["seed"] % 9 == 0 else None

    store_at.cache_clear()
    with BatchApi(refuses=overloaded).running() as api:
        again = recipe(tmp_path, api)
        engine = again.engine.model_copy(update={"retries": 1, "model": "other"})
        build(again.model_copy(update={"engine": engine}), tmp_path / "second")
        counts = json.loads((tmp_path / "second" / "statistics.json").read_text())["captions"]["rejected"]
        assert counts["not_answered"]
    attempts = {entry.attempt for entry in batches_in(tmp_path / "second.work")}
    assert attempts == {0, 1}


def test_a_server_that_refuses_everything_ends_the_build_with_its_words(tmp_path: Path) -> None:
    refused = 400, b'{"error": {"message": "temperature is not supported"}}'
    with BatchApi(refuses=lambda body: refused).running() as api, pytest.raises(RunError) as caught:
        build(recipe(tmp_path, api), tmp_path / "unicorn")
    assert "temperature is not supported" in caught.value.message
    assert "extra_body: {temperature: null}" in caught.value.advice


def test_a_lost_creation_without_a_list_is_left_to_the_user(tmp_path: Path) -> None:
    with BatchApi(lost_creates=frozenset({1}), has_list=False).running() as api:
        for _ in range(2):
            with pytest.raises(RunError, match="its creation got no answer") as caught:
                build(recipe(tmp_path, api), tmp_path / "unicorn")
            assert str(tmp_path / "unicorn.work" / "batches") in caught.value.advice
        assert api.num_creates == 3  # Each of the three files once.


@pytest.mark.parametrize(
    ("asked", "answer", "told"),
    [
        ("GET batches", {"data": 7, "has_more": True}, ""),
        ("GET batches", {"data": ["x", {"id": ""}], "has_more": True}, ""),
        ("GET batches", None, "its list of batches has more than 1,000 pages"),
        ("POST files", {"object": "file"}, "its reply to an upload has no id"),
    ],
)
def test_what_a_server_says_of_files_and_batches_may_have_another_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, answer: object, told: str
) -> None:
    numbers, reply = itertools.count(), BatchApi.reply

    def changed(api: BatchApi, method: str, path: str, body: bytes) -> Reply:
        if f"{method} {path.removeprefix('/v1/').partition('?')[0]}" != asked:
            return reply(api, method, path, body)
        endless = {"data": [{"id": f"b{next(numbers)}"}], "has_more": True}
        return 200, json.dumps(answer or endless).encode()

    monkeypatch.setattr(BatchApi, "reply", changed)
    with BatchApi().running() as api:
        mine = recipe(tmp_path, api, **{"instructions.num": 0})
        if told:
            with pytest.raises(RunError, match=told):
                build(mine, tmp_path / "unicorn")
        else:
            build(mine, tmp_path / "unicorn")
            assert len(rows(tmp_path / "unicorn", "pretrain")) == CAPTIONS


def test_the_quota_of_the_recipe_is_kept(tmp_path: Path) -> None:
    with BatchApi(takes_min=30).running() as api:
        mine = recipe(tmp_path, api, **{"instructions.num": 0})
        engine = mine.engine.model_copy(update={"max_queued_tokens": 12_000})
        with pytest.raises(WaitingError):
            build(mine.model_copy(update={"engine": engine}), tmp_path / "unicorn", wait=False)
        entries = batches_in(tmp_path / "unicorn.work")
        assert sum(entry.num_tokens for entry in entries if entry.is_queued) <= 12_000
        assert any(entry.state == "written" for entry in entries)


def test_what_was_not_submitted_and_is_not_needed_any_more_is_not_paid(tmp_path: Path) -> None:
    with BatchApi(takes_min=30).running() as api:
        mine = recipe(tmp_path, api, **{"instructions.num": 0})
        few = mine.engine.model_copy(update={"max_batches": 1})
        with pytest.raises(WaitingError, match="1 batch with 20 requests in flight; 2 more wait"):
            build(mine.model_copy(update={"engine": few}), tmp_path / "unicorn", wait=False)
        build(recipe(tmp_path, api, **{"instructions.num": 0, "captions.num": 20}), tmp_path / "unicorn")
        assert len(rows(tmp_path / "unicorn", "pretrain")) == 20
        assert api.paid.total() == 20


def test_a_damaged_entry_is_told(tmp_path: Path) -> None:
    with BatchApi(takes_min=30).running() as api:
        with pytest.raises(WaitingError):
            build(recipe(tmp_path, api), tmp_path / "unicorn", wait=False)
        next((tmp_path / "unicorn.work" / "batches").rglob("*.json")).write_text("{")
        with pytest.raises(RunError, match="is damaged") as caught:
            build(recipe(tmp_path, api), tmp_path / "unicorn")
    assert "delete it" in caught.value.advice


def test_the_key_goes_to_the_server_and_into_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNICORN_HF_API_KEY", "sk-marked-key-0123456789")
    with BatchApi().running() as api:
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        assert {headers["authorization"] for headers in api.headers} == {"Bearer sk-marked-key-0123456789"}
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"sk-marked-key" in content for content in files)


def test_a_file_may_lie_elsewhere_and_the_key_does_not_go_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNICORN_HF_API_KEY", "sk-marked-key-0123456789")

    def elsewhere(request: str, reply: Reply) -> Reply:
        found = re.search(r"/files/.*/content", request)
        return (302, f"{other.url}{found[0]}".encode()) if found else reply

    files: dict[str, bytes] = {}
    with BatchApi(files=files).running() as other, BatchApi(files=files, changes=elsewhere).running() as api:
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        check(tmp_path / "unicorn", api)
    assert other.num_downloads
    assert not any("authorization" in headers for headers in other.headers)


def test_words_for_the_state_of_a_batch(tmp_path: Path) -> None:
    def changed(request: str, reply: Reply) -> Reply:
        return reply[0], reply[1].replace(b'"completed"', b'"SUCCEEDED"', 1).replace(b'"failed": 0', b'"failed": "0"')

    with BatchApi(changes=changed).running() as api:
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        check(tmp_path / "unicorn", api)


@pytest.mark.parametrize(
    ("request_of", "reply", "told"),
    [
        ("POST /v1/files", (200, b'{"object": "file"}'), "has no id"),
        ("POST /v1/files", (200, b'{"error": {"code": 400, "message": "no batches for m"}}'), "no batches for m"),
        ("GET /v1/files", (401, b'{"error": {"message": "expired"}}'), "UNICORN_HF_API_KEY"),
    ],
)
def test_what_a_server_does_not_do_is_told(tmp_path: Path, request_of: str, reply: Reply, told: str) -> None:
    def changed(request: str, usual: Reply) -> Reply:
        return reply if request.startswith(request_of) else usual

    with BatchApi(changes=changed).running() as api:
        with pytest.raises(RunError) as caught:
            build(recipe(tmp_path, api), tmp_path / "unicorn")
        assert told in str(caught.value)
        assert "pay for them again" not in caught.value.advice
        api.changes = lambda request, usual: usual
        build(recipe(tmp_path, api), tmp_path / "unicorn")
        check(tmp_path / "unicorn", api)


def answers_of(path: Path) -> Path:
    """What a batch runner writes for a file of requests."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    out = path.with_suffix(".answers.jsonl")
    told = [
        {"id": "v", "custom_id": line["custom_id"], "error": None,
         "response": {"status_code": 200, "request_id": "r", "body": completion(line["body"])}}
        for line in lines
    ]  # fmt: skip
    out.write_text("".join(json.dumps(line) + "\n" for line in told))
    return out


def run(*arguments: object) -> str:
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_requests_go_out_as_a_file_and_answers_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = write_recipe(tmp_path)
    file = tmp_path / "requests.jsonl"
    num_requests = []
    while "Store their answers" in run("requests", "export", mine, "--file", file):
        num_requests.append(len(file.read_text().splitlines()))
        store_at.cache_clear()
        found = json.loads(run("requests", "collect", mine, "--file", answers_of(file), "--json"))
        assert found == {"stored": num_requests[-1], "known": 0, "unanswered": 0, "foreign": 0}
        store_at.cache_clear()
        file.unlink()
    assert num_requests[0] == CAPTIONS
    assert len(num_requests) >= 2
    assert not file.exists()
    run("build", mine)
    assert len(rows(tmp_path / "unicorn", "instruction")) == INSTRUCTIONS


def test_what_is_no_answer_to_requests_of_the_recipe_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine, file = write_recipe(tmp_path), tmp_path / "requests.jsonl"
    run("requests", "export", mine, "--file", file)
    answers = answers_of(file)
    lines = answers.read_text().splitlines()
    answers.write_text("\n".join([*lines[:30], lines[30][:40], '{"custom_id": "other", "response": null}']))
    shown = run("requests", "collect", mine, "--file", answers, "--file", answers)
    assert "30 new answers, 30 stored before" in shown
    assert "belong to no request of unicorn-hf: 2" in shown
    planned = plan(load_recipe(mine, {"engine.model": "other"}), tmp_path / "unicorn")
    with pytest.raises(InputError, match="the model m answered, but the recipe names other"):
        collect_answers(planned, [answers])
    (tmp_path / "empty.jsonl").write_text("no json\n")
    with pytest.raises(InputError, match="has no answers"):
        collect_answers(planned, [tmp_path / "empty.jsonl"])
    with pytest.raises(InputError, match="does not exist"):
        collect_answers(planned, [tmp_path / "none.jsonl"])
    echo = plan(load_recipe(mine, {"engine": {"kind": "echo"}}), tmp_path / "unicorn")
    with pytest.raises(InputError, match="Use --engine batch"):
        export_requests(echo, file)


def test_nothing_is_exported_while_batches_are_in_flight(tmp_path: Path) -> None:
    with BatchApi(takes_min=30).running() as api:
        with pytest.raises(WaitingError):
            build(recipe(tmp_path, api), tmp_path / "unicorn", wait=False)
        with pytest.raises(InputError, match="batches of this recipe are in flight"):
            export_requests(plan(recipe(tmp_path, api), tmp_path / "unicorn"), tmp_path / "requests.jsonl")
    assert not (tmp_path / "requests.jsonl").exists()


def test_entries_without_a_place_are_listed_last(tmp_path: Path) -> None:
    folder = BatchFolder(tmp_path, "engine")
    folder.add(BatchEntry(name="a", attempt=0, num_requests=1, num_tokens=1), b"")
    assert [entry.name for entry in batches_in(tmp_path)] == ["a"]
    assert batches_in(tmp_path / "none") == []
