"""`push_folder` with the real clients, through everything that a Hub and the way to it can do."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builds import ECHO, unicorn
from tests.hub.fixtures import Environment, HubClient
from tests.hub.server import Blob, Fault, HubServer
from tests.hub.xet import XetStore
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.http import wait_asked
from unicorn_hf.core.units import size
from unicorn_hf.hub import PushOptions, check_access, push_folder
from unicorn_hf.hub.access import rights_problem
from unicorn_hf.hub.push import BATCH_FILES

REPO = "unicorn-maker/unicorn"
NUM_FILES = 11
NUM_LARGE_FILES = 8
NUM_SHARDS = 3
ROWS_PER_SHARD = 40
CARD = """\
---
license: apache-2.0
tags: [unicorn]
configs:
- config_name: pretrain
  default: true
  data_files: pretrain/train-*.parquet
- config_name: instruction
  data_files: instruction/train-*.parquet
---
# Unicorn
"""
RECIPE = "seeds: {}\ncaptions:\n  num: 3\nrepresentations:\n  encoder: hashing:4\n"

PUSH = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from tests.hub.xet import XetStore
from unicorn_hf.core.errors import UnicornError
from unicorn_hf.hub import PushOptions, push_folder
from unicorn_hf.runtime.progress import Progress
folder, repo_id, options, attempts = sys.argv[1:]
notes = []
class Told(Progress):
    note = staticmethod(notes.append)
try:
    options, attempts = PushOptions(**json.loads(options)), int(attempts)
    result = push_folder(Path(folder), repo_id, options, progress=Told(), max_attempts=attempts, first_wait_s=0.05)
    print(json.dumps({**asdict(result), "notes": notes}))
except UnicornError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error), "notes": notes}))
"""


@dataclass(frozen=True)
class Pushed:
    """What a push in a process of its own gave back."""

    error: str = ""
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def push(
    client: HubClient,
    folder: Path,
    repo_id: str = REPO,
    env: Environment | None = None,
    max_attempts: int = 8,
    **options: Any,
) -> Pushed:
    process = client.run(PUSH, str(folder), repo_id, json.dumps(options), str(max_attempts), env=env)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert client.hub.token not in process.stdout
    found = json.loads(process.stdout)
    if "error" in found:
        return Pushed(found["error"], found["message"], notes=found["notes"])
    return Pushed(result=found, notes=found.pop("notes"))


def write_shard(folder: Path, config: str, index: int, num_shards: int = NUM_SHARDS, word: str = "caption") -> None:
    ids = [f"{index:05d}-{n}" for n in range(ROWS_PER_SHARD)]
    captions = [f"{config} {word} {id}" for id in ids]
    path = folder / config / f"train-{index:05d}-of-{num_shards:05d}.parquet"
    pq.write_table(pa.table({"id": ids, "caption": captions}), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small built data set: 8 large files, 3 of text."""
    folder = tmp_path / "unicorn"
    for config in ("pretrain", "instruction"):
        (folder / config).mkdir(parents=True)
        for index in range(NUM_SHARDS):
            write_shard(folder, config, index)
    (folder / "assets").mkdir()
    for path, text in {
        "README.md": CARD,
        "recipe.yaml": RECIPE,
        "statistics.json": "{}",
        "transfer.safetensors": "8bytes!!",
        "assets/gap.png": "not really a picture",
    }.items():
        (folder / path).write_text(text)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    done = unicorn("build", *ECHO, "--captions", 9, "--instructions", 3, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "unicorn"


@pytest.fixture
def built(made: Path, tmp_path: Path) -> Path:
    """A set that is valid."""
    return Path(shutil.copytree(made, tmp_path / "built"))


def published(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_holds(hub: HubServer, folder: Path, repo_id: str = REPO) -> None:
    held = hub.files(repo_id)
    assert {path: held[path] for path in held if path != ".gitattributes"} == published(folder)


def num_commits(hub: HubServer, repo_id: str = REPO) -> int:
    """Commits after the one that creates a repository."""
    return len(hub.repositories[repo_id].commits) - 1


CHECK = """
import sys
from unicorn_hf.hub import check_access
problem = check_access(sys.argv[1], folder="unicorn")
print("none" if problem is None else problem)
"""


def check(client: HubClient, repo_id: str = REPO, env: Environment | None = None) -> str:
    process = client.run(CHECK, repo_id, env=env)
    assert process.returncode == 0, process.stderr
    assert client.hub.token not in process.stdout + process.stderr
    return process.stdout.strip()


LOAD = """
import json, sys
import datasets
datasets.config.USE_PARQUET_EXPORT = False
repo_id = sys.argv[1]
loaded = datasets.load_dataset(repo_id, "pretrain", split="train")
streamed = datasets.load_dataset(repo_id, "instruction", split="train", streaming=True)
default = datasets.load_dataset(repo_id, split="train", streaming=True)
print(json.dumps([loaded["caption"][:], [row["caption"] for row in streamed], next(iter(default))["caption"]]))
"""


class TestWholeWay:
    def test_what_is_pushed_loads(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.tree_page = 4
        pushed = push(hub_client, folder)

        assert_holds(hub, folder)
        assert num_commits(hub) == 1
        assert pushed.result["commit"] == hub.repositories[REPO].head.oid
        assert pushed.result["url"] == f"{hub.url}/datasets/{REPO}"
        assert pushed.result["load_line"] == f'load_dataset("{REPO}", "pretrain")'
        assert (pushed.result["num_files_sent"], pushed.result["num_files_reused"]) == (NUM_FILES, 0)
        assert pushed.result["num_bytes_sent"] == sum(map(len, published(folder).values()))
        loading = hub_client.run(LOAD, REPO, env={"HF_TOKEN": None})
        assert loading.returncode == 0, loading.stderr
        in_memory, streamed, first = json.loads(loading.stdout)
        assert len(in_memory) == len(streamed) == NUM_SHARDS * ROWS_PER_SHARD
        assert in_memory[-1] == "pretrain caption 00002-39"
        assert streamed[-1] == "instruction caption 00002-39"
        assert first == "pretrain caption 00000-0"
        assert any(seen.status == 206 for seen in hub.seen)

    def test_an_unchanged_folder_makes_no_commit_and_sends_nothing(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        first = push(hub_client, folder)
        hub.seen.clear()

        second = push(hub_client, folder)

        assert num_commits(hub) == 1
        assert second.result["commit"] == first.result["commit"]
        assert (second.result["num_files_sent"], second.result["num_files_reused"]) == (0, NUM_FILES)
        assert {seen.method for seen in hub.seen} == {"GET"}

    def test_a_changed_folder_sends_what_changed_and_removes_stale_shards(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        push(hub_client, folder)
        repository = hub.repositories[REPO]
        repository.commit("by hand", {**repository.head.files, "NOTES.md": Blob(b"kept")})
        hub.seen.clear()
        (folder / "pretrain" / "train-00002-of-00003.parquet").unlink()
        write_shard(folder, "pretrain", 0, word="other")

        pushed = push(hub_client, folder)

        (folder / "NOTES.md").write_bytes(b"kept")
        assert_holds(hub, folder)
        assert num_commits(hub) == 3
        assert hub.num_uploads() == 1
        assert (pushed.result["num_files_sent"], pushed.result["num_files_deleted"]) == (1, 1)

    def test_work_files_and_secrets_stay_here(
        self, hub: HubServer, hub_client: HubClient, folder: Path, tmp_path: Path
    ) -> None:
        before = published(folder)
        secret = tmp_path / "secret"
        secret.write_text("hf_secret")
        others = [".env", "token", "work/x.log", ".work/steps.json", "assets/.env", "assets/run.log", "data.parquet"]
        others += ["pretrain/.train-00000.parquet", "pretrain/train.parquet.tmp", "pretrain/deep/train.parquet"]
        for path in others:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text("hf_secret")
        (folder / "assets" / "link.png").symlink_to(secret)

        pushed = push(hub_client, folder)

        held = hub.files(REPO)
        assert {path: held[path] for path in held if path != ".gitattributes"} == before
        assert sorted(pushed.result["left_out"]) == sorted([*others, "assets/link.png"])
        assert not any(b"hf_secret" in content for content in hub.repositories[REPO].large_files.values())

    def test_large_files_in_parts(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.multipart_from, hub.part_bytes = 1000, 300

        push(hub_client, folder)

        assert_holds(hub, folder)
        assert hub.count("POST", "/complete/") == 2 * NUM_SHARDS

    def test_the_hubs_xet_store(self, hub: HubServer, hub_client: HubClient, folder: Path, tmp_path: Path) -> None:
        hub.xet = XetStore(tmp_path / "xet")
        env = {"HF_HUB_DISABLE_XET": None}

        pushed = push(hub_client, folder, env=env)

        assert_holds(hub, folder)
        assert num_commits(hub) == 1
        assert pushed.result["num_files_sent"] == NUM_FILES
        assert hub.num_uploads() == 0
        assert push(hub_client, folder, env=env).result["num_files_sent"] == 0
        loading = hub_client.run(LOAD, REPO, env={**env, "HF_TOKEN": None})
        assert loading.returncode == 0, loading.stderr
        assert json.loads(loading.stdout)[0][-1] == "pretrain caption 00002-39"
        assert hub.count("GET", "xet-read-token")

    def test_progress_is_told(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        tell = "start = known = finish = staticmethod(lambda *told, **_: notes.append(told))"
        process = hub_client.run(PUSH.replace("note = staticmethod(notes.append)", tell), str(folder), REPO, "{}", "8")

        told = json.loads(process.stdout)["notes"]
        assert told == [["push", NUM_FILES], [0, 0], [NUM_FILES, 0], []]


class TestWhoMayPush:
    @pytest.mark.parametrize(
        ("env", "reason"),
        [
            ({"HF_TOKEN": None}, "there is no token"),
            ({"HF_TOKEN": "hf_" + "x" * 30}, "refuses the token"),
            ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
            ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ],
        ids=["no token", "refused token", "no Hub", "offline"],
    )
    def test_without_access(
        self, hub: HubServer, hub_client: HubClient, folder: Path, env: Environment, reason: str
    ) -> None:
        problem = check(hub_client, env=env)
        pushed = push(hub_client, folder, env=env)

        assert reason in problem
        assert problem.splitlines()[-1] == f"Then: unicorn-hf push unicorn {REPO}"
        assert pushed.error == "RunError"
        assert reason in pushed.message
        assert pushed.message.splitlines()[-1] == f"Then: unicorn-hf push {folder} {REPO}"
        assert len(pushed.message.splitlines()) == 3
        assert not hub.repositories

    def test_a_token_that_may_only_read(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        env = {"HF_TOKEN": hub.reading_token}

        assert "has no write access" in check(hub_client, env=env)
        pushed = push(hub_client, folder, env=env)
        assert pushed.error == "RunError"
        assert "don't have the rights" in pushed.message

    @pytest.mark.parametrize("namespace", ["someone-else", "readers"])
    def test_a_namespace_of_others(self, hub: HubServer, hub_client: HubClient, folder: Path, namespace: str) -> None:
        problem = check(hub_client, f"{namespace}/unicorn")

        assert f"who has no write access to {namespace}" in problem
        assert "unicorn-maker, unicorn-lab" in problem
        assert push(hub_client, folder, f"{namespace}/unicorn").error == "RunError"

    def test_ones_own_namespaces(self, hub_client: HubClient) -> None:
        assert check(hub_client) == "none"
        assert check(hub_client, "unicorn-lab/unicorn") == "none"

    def test_a_hub_that_keeps_silent_is_not_waited_for(self, hub: HubServer, hub_client: HubClient) -> None:
        hub.faults.append(Fault("GET", "whoami", delay_s=20))
        start = time.monotonic()
        process = hub_client.run(f"import unicorn_hf.hub.access as a; a.CHECK_TIMEOUT_S = 0.3\n{CHECK}", REPO)
        assert "cannot be reached" in process.stdout
        assert time.monotonic() - start < 10

    @pytest.mark.parametrize(
        "repo_id",
        ["unicorn", "a/b/c", "/unicorn", "org/", "org/na me", "org/-x", "org/a..b", "../etc", "o/" + "x" * 97, ""],
    )
    def test_names_that_are_none(self, folder: Path, repo_id: str) -> None:
        for refuse in (check_access, lambda name: push_folder(folder, name)):
            with pytest.raises(InputError, match="ORG/NAME"):
                refuse(repo_id)

    def test_fine_grained_tokens(self) -> None:
        scope = {"entity": {"type": "org", "name": "unicorn-lab"}, "permissions": ["repo.write"]}
        token = {"role": "fineGrained", "fineGrained": {"scoped": [scope]}}
        who = {"name": "me", "orgs": [{"name": "unicorn-lab"}], "auth": {"accessToken": token}}
        assert rights_problem(who, "unicorn-lab/unicorn") is None
        assert rights_problem(who, "me/unicorn") is not None


class TestWhereToPush:
    def test_a_repository_of_another_origin(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.add_repository(REPO, {"data.csv": b"a,b", "README.md": b"mine"})

        problem = check(hub_client)
        refused = push(hub_client, folder)

        assert refused.error == "InputError"
        assert "did not make" in problem
        assert "did not make" in refused.message
        assert num_commits(hub) == 1
        assert push(hub_client, folder, overwrite=True).result["num_files_sent"] == NUM_FILES
        (folder / "data.csv").write_bytes(b"a,b")
        assert_holds(hub, folder)

    def test_a_recipe_of_something_else(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.add_repository(REPO, {"recipe.yaml": b"cake: flour"})
        assert push(hub_client, folder).error == "InputError"

    def test_an_empty_repository(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.add_repository(REPO)
        push(hub_client, folder)
        assert_holds(hub, folder)

    def test_private(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        push(hub_client, folder, private=True)
        assert hub.repositories[REPO].private
        assert push(hub_client, folder, private=True).error == ""
        assert push(hub_client, folder).error == ""
        assert hub.repositories[REPO].private

    def test_private_is_not_pushed_to_a_public_repository(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        hub.add_repository(REPO)
        refused = push(hub_client, folder, private=True)
        assert refused.error == "InputError"
        assert "is public" in refused.message
        assert num_commits(hub) == 0
        assert hub.num_uploads() == 0

    @pytest.mark.parametrize("missing", ["README.md", "recipe.yaml", "pretrain"])
    def test_a_folder_that_is_no_build(self, folder: Path, missing: str) -> None:
        path = folder / missing
        path.unlink() if path.is_file() else shutil.rmtree(path)
        with pytest.raises(InputError, match=missing):
            push_folder(folder, REPO)

    def test_a_card_that_the_hub_refuses(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        (folder / "README.md").write_text("---\ntags: unicorn\n---\n")
        refused = push(hub_client, folder)
        assert refused.error == "InputError"
        assert '"tags" must be an array' in refused.message
        assert hub.num_uploads() == 0


LFS_BATCH, VERIFY, COMMIT, INFO = r"objects/batch$", r"lfs/verify$", r"/commit/main$", rf"^/api/datasets/{REPO}"
PASSING = {
    "429 with Retry-After": Fault("POST", COMMIT, status=429, headers={"Retry-After": "1"}),
    "429 with RateLimit": Fault("POST", COMMIT, status=429, headers={"RateLimit": '"api";r=0;t=1'}),
    "503 for a while": Fault("GET", INFO, status=503, times=2),
    "500 on create": Fault("POST", "repos/create", status=500),
    "500 on card check": Fault("POST", "validate-yaml", status=500),
    "503 on preupload": Fault("POST", "preupload", status=503),
    "503 on batch": Fault("POST", LFS_BATCH, status=503),
    "500 of the store": Fault("PUT", "/upload/", status=500, after=2),
    "403 of the store": Fault("PUT", "/upload/", status=403, after=2),
    "500 on verify": Fault("POST", VERIFY, status=500, after=1),
    "504 on commit": Fault("POST", COMMIT, status=504, times=3),
    "cut in an upload": Fault("PUT", "/upload/", after=3),
    "cut in a commit": Fault("POST", COMMIT),
    "upload's answer lost": Fault("PUT", "/upload/", after=3, lose_answer=True),
    "create's answer lost": Fault("POST", "repos/create", lose_answer=True),
    "commit's answer lost": Fault("POST", COMMIT, lose_answer=True),
    "commit not seen at once": Fault("GET", r"/revision/", status=404, headers={"X-Error-Code": "RevisionNotFound"}),
    "check after the commit fails": Fault("GET", r"/revision/", status=502),
    "slow": Fault("POST", COMMIT, delay_s=1),
    "flipped byte": Fault("PUT", "/upload/", after=1, corrupt=True),
}


class TestFaults:
    @pytest.mark.parametrize("name", PASSING)
    def test_what_passes_is_survived(self, hub: HubServer, hub_client: HubClient, folder: Path, name: str) -> None:
        fault = replace(PASSING[name])
        hub.faults.append(fault)

        pushed = push(hub_client, folder)

        assert fault.struck > fault.after
        assert pushed.error == ""
        assert pushed.result["num_files_sent"] == NUM_FILES
        assert_holds(hub, folder)
        assert num_commits(hub) == 1
        assert hub.num_uploads() <= NUM_LARGE_FILES

    def test_xet_fails_and_recovers(self, hub: HubServer, hub_client: HubClient, folder: Path, tmp_path: Path) -> None:
        hub.xet = XetStore(tmp_path / "xet")
        hub.faults += [Fault("GET", "xet-write-token", status=409), Fault("POST", COMMIT, lose_answer=True)]

        pushed = push(hub_client, folder, env={"HF_HUB_DISABLE_XET": None})

        assert len(pushed.notes) == 2
        assert_holds(hub, folder)
        assert num_commits(hub) == 1

    def test_a_file_that_the_hub_refuses(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.max_file_bytes = 100
        stopped = push(hub_client, folder)
        assert stopped.error == "RunError"
        assert "The file is too large" in stopped.message
        assert num_commits(hub) == 0

    def test_another_commit_in_between(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        def interfere(hub: HubServer) -> None:
            repository = hub.repositories[REPO]
            repository.commit("by hand", {**repository.head.files, "NOTES.md": Blob(b"kept")})

        hub.faults.append(Fault("POST", COMMIT, action=interfere))

        pushed = push(hub_client, folder)

        assert "412" in pushed.notes[0]
        (folder / "NOTES.md").write_bytes(b"kept")
        assert_holds(hub, folder)
        assert num_commits(hub) == 2
        assert hub.num_uploads() == NUM_LARGE_FILES

    def test_two_pushes_at_once(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.faults.append(Fault("POST", "repos/create", delay_s=1, times=2))
        pushes = [hub_client.start(PUSH, str(folder), REPO, "{}", "8") for _ in range(2)]
        outputs = [push.communicate()[0] for push in pushes]

        assert not any("error" in json.loads(output) for output in outputs)
        assert_holds(hub, folder)
        assert num_commits(hub) == 1

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("POST", COMMIT, status=503, times=99),
            Fault("POST", COMMIT, times=99),
            Fault("POST", COMMIT, status=400),
            Fault("POST", COMMIT, status=429, headers={"Retry-After": "3600"}),
            Fault("POST", COMMIT, action=lambda hub: hub.tokens.clear()),
            Fault("POST", VERIFY, status=422, after=NUM_LARGE_FILES - 1),
        ],
        ids=["503 for good", "cut for good", "400", "429 for an hour", "token expires", "upload not accepted"],
    )
    def test_what_stays_ends_with_one_message_and_a_second_push_completes(
        self, hub: HubServer, hub_client: HubClient, folder: Path, fault: Fault
    ) -> None:
        tokens = dict(hub.tokens)
        hub.faults.append(fault)

        stopped = push(hub_client, folder, max_attempts=3)

        assert stopped.error == "RunError"
        assert len(stopped.message.splitlines()) == 3
        assert stopped.message.splitlines()[-1] == f"Then: unicorn-hf push {folder} {REPO}"
        assert num_commits(hub) == 0
        hub.tokens = tokens
        hub.faults.clear()
        assert push(hub_client, folder).error == ""
        assert_holds(hub, folder)
        assert num_commits(hub) == 1
        assert hub.num_uploads() == NUM_LARGE_FILES

    def test_other_bytes_on_the_hub_are_found_and_mended(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        shard = "pretrain/train-00001-of-00003.parquet"

        def spoil(hub: HubServer) -> None:
            repository = hub.repositories[REPO]
            spoilt = {**repository.head.files, shard: Blob(b"other bytes", "0" * 64)}
            repository.commits[-1] = replace(repository.head, files=spoilt)

        hub.faults.append(Fault("GET", "/revision/", action=spoil))

        found = push(hub_client, folder)

        assert found.error == "RunError"
        assert f"other content than was sent: {shard}" in found.message
        assert push(hub_client, folder).result["num_files_sent"] == 1
        assert_holds(hub, folder)
        assert hub.num_uploads() == NUM_LARGE_FILES

    def test_a_silent_hub_is_given_up_and_asked_again(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        hub.faults.append(Fault("POST", COMMIT, delay_s=3))
        impatient = f"import unicorn_hf.hub.push as p; p.SILENCE_TIMEOUT_S = 1\n{PUSH}"

        process = hub_client.run(impatient, str(folder), REPO, "{}", "8")

        assert "cannot be reached" in json.loads(process.stdout)["notes"][0]
        assert_holds(hub, folder)

    def test_tokens_and_signed_addresses_are_not_shown(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        said = f"no {hub.token} at {hub.store_url}/upload?X-Amz-Signature=1"
        hub.faults.append(Fault("POST", COMMIT, status=503, headers={"X-Error-Message": said}, times=99))

        stopped = push(hub_client, folder, max_attempts=2)

        for shown in (stopped.message, *stopped.notes):
            assert f"503: no *** at {hub.store_url}/upload)" in shown

    def test_a_password_in_the_address_is_not_shown(self, hub_client: HubClient, folder: Path) -> None:
        stopped = push(hub_client, folder, env={"HF_ENDPOINT": "http://me:hunter2@127.0.0.1:9"})

        assert "the Hub at http://127.0.0.1:9 cannot" in stopped.message
        assert "hunter2" not in stopped.message + "".join(stopped.notes)


class TestManyShards:
    NUM = 300

    def test_killed_in_the_middle_the_next_push_sends_the_rest(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        shutil.rmtree(folder / "instruction")
        for path in (folder / "pretrain").iterdir():
            path.unlink()
        for index in range(self.NUM):
            write_shard(folder, "pretrain", index, self.NUM)
        hub.faults.append(Fault("PUT", "/upload/", delay_s=0.02, times=self.NUM // 2))
        killed = hub_client.start(PUSH, str(folder), REPO, "{}", "8")
        while hub.num_uploads() < self.NUM // 3:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        time.sleep(0.2)
        num_before = hub.num_uploads()
        assert num_commits(hub) == 0

        pushed = push(hub_client, folder)

        assert num_before < self.NUM
        assert pushed.result["num_files_sent"] == self.NUM + 5
        assert hub.num_uploads() == self.NUM + 2
        assert num_commits(hub) == 1
        assert_holds(hub, folder)

    def test_killed_in_the_middle_of_xet_uploads_the_next_push_sends_the_rest(
        self, hub: HubServer, hub_client: HubClient, folder: Path, tmp_path: Path
    ) -> None:
        hub.xet = XetStore(tmp_path / "xet")
        env = {"HF_HUB_DISABLE_XET": None}
        shutil.rmtree(folder / "instruction")
        for path in (folder / "pretrain").iterdir():
            path.unlink()
        random = np.random.default_rng(0)
        for index in range(self.NUM):
            table = pa.table({"id": ["0"], "caption": [random.bytes(30_000).hex()]})
            pq.write_table(table, folder / "pretrain" / f"train-{index:05d}-of-{self.NUM:05d}.parquet")
        num_bytes = sum(path.stat().st_size for path in (folder / "pretrain").iterdir())
        killed = hub_client.start(PUSH, str(folder), REPO, "{}", "8", env=env)
        while hub.xet.num_bytes() < num_bytes / 4:
            assert killed.poll() is None
            time.sleep(0.002)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        num_before = hub.xet.num_bytes()
        assert num_commits(hub) == 0

        pushed = push(hub_client, folder, env=env)

        assert pushed.error == ""
        assert num_before < num_bytes
        # The batch that was under way goes again, since nothing has said yet what the store has of it.
        assert hub.xet.num_bytes() < (1.02 + BATCH_FILES / self.NUM) * num_bytes
        assert num_commits(hub) == 1
        assert_holds(hub, folder)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"ratelimit": '"api"; r=0; t=55'}, 55),
        ({"ratelimit": '"api";r=12;t=55'}, None),
    ],
)
def test_the_wait_that_the_hub_asks_for(headers: dict[str, str], expected: float | None) -> None:
    assert wait_asked(headers) == expected


def test_the_hub_is_imported_when_it_is_needed() -> None:
    code = "import sys, unicorn_hf.hub; print([m for m in ('huggingface_hub', 'datasets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    folder = built
    pushed = hub_client.command("push", str(folder), REPO)
    assert pushed.returncode == 0, pushed.stderr
    assert f"{hub.url}/datasets/{REPO}" in pushed.stdout
    assert f'load_dataset("{REPO}", "pretrain")' in pushed.stdout

    again = json.loads(hub_client.command("push", str(folder), REPO, "--json").stdout)
    assert (again["repo_id"], again["num_files_sent"]) == (REPO, 0)
    assert again["commit"] == hub.repositories[REPO].head.oid

    refused = hub_client.command("push", str(folder), REPO, env={"HF_TOKEN": None})
    assert refused.returncode == 1
    assert "there is no token" in refused.stderr
    assert "Traceback" not in refused.stderr


def held(hub: HubServer, revision: str, repo_id: str = REPO) -> dict[str, bytes]:
    files = hub.repositories[repo_id].at(revision).files
    return {path: blob.content for path, blob in files.items() if path != ".gitattributes"}


class TestBranches:
    def test_one_of_a_new_repository(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        pushed = push(hub_client, folder, branch="next/v2")
        assert held(hub, "main") == {}
        assert held(hub, "next/v2") == published(folder)
        assert pushed.result["url"] == f"{hub.url}/datasets/{REPO}/tree/next/v2"
        assert pushed.result["load_line"] == f'load_dataset("{REPO}", "pretrain", revision="next/v2")'
        assert push(hub_client, folder, branch="next/v2").result["num_files_sent"] == 0
        assert hub.count("POST", "/commit/") == 1

    def test_one_that_starts_from_main_sends_only_what_differs(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        push(hub_client, folder)
        main = held(hub, "main")
        write_shard(folder, "pretrain", 1, word="other")
        pushed = push(hub_client, folder, branch="next")
        assert pushed.result["num_files_sent"] == 1
        assert held(hub, "main") == main
        assert held(hub, "next") == published(folder) != main

    def test_another_s_repository_gets_none(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.add_repository(REPO, {"README.md": b"mine"})
        refused = push(hub_client, folder, branch="next")
        assert (refused.error, hub.repositories[REPO].branches) == ("InputError", {})
        assert "--overwrite" in refused.message
        assert f"push {folder} {REPO} --branch next" in refused.message

    def test_faults_on_the_way(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.faults += [Fault("POST", "/branch/", 503), Fault("POST", "/branch/", lose_answer=True, after=1)]
        hub.faults.append(Fault("POST", "/commit/", lose_answer=True))
        assert push(hub_client, folder, branch="next").error == ""
        assert held(hub, "next") == published(folder)
        assert hub.count("POST", "/commit/") == 1


class TestTags:
    def test_is_put_on_the_commit_once(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.faults += [Fault("POST", "/tag/", 503), Fault("POST", "/tag/", lose_answer=True, after=1)]
        pushed = push(hub_client, folder, tag="v1.0")
        assert hub.repositories[REPO].tags == {"v1.0": pushed.result["commit"]}
        assert held(hub, "v1.0") == published(folder)
        assert pushed.result["load_line"].endswith('revision="v1.0")')
        assert push(hub_client, folder, tag="v1.0").error == ""
        assert push(hub_client, folder, tag="also").result["num_files_sent"] == 0
        assert len(set(hub.repositories[REPO].tags.values())) == 1
        assert hub.count("POST", "/commit/") == 1

    def test_one_that_stands_elsewhere_is_left(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        first = push(hub_client, folder, tag="v1.0").result["commit"]
        write_shard(folder, "pretrain", 1, word="other")
        uploads = hub.num_uploads()
        refused = push(hub_client, folder, tag="v1.0")
        assert refused.error == "InputError"
        assert f"the tag v1.0 of {REPO} is on another commit ({first[:8]})" in refused.message
        assert (hub.num_uploads(), hub.count("POST", "/commit/")) == (uploads, 1)
        assert push(hub_client, folder, tag="v1.1").error == ""
        assert hub.repositories[REPO].tags["v1.0"] == first

    def test_of_a_branch(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        pushed = push(hub_client, folder, branch="next", tag="v2")
        assert held(hub, "v2") == published(folder)
        assert hub.repositories[REPO].at("next").oid == pushed.result["commit"]


class TestPullRequests:
    def test_one_commit_that_main_does_not_hold(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        stale = {"README.md": b"theirs", "notes.txt": b"theirs", "pretrain/old.parquet": b"old"}
        hub.add_repository("someone/unicorn", stale)
        pushed = push(hub_client, folder, "someone/unicorn", pr=True)
        assert held(hub, "main", "someone/unicorn") == stale
        assert held(hub, "refs/pr/1", "someone/unicorn") == {**published(folder), "notes.txt": b"theirs"}
        assert pushed.result["pull_request"] == f"{hub.url}/datasets/someone/unicorn/discussions/1"
        assert 'revision="refs/pr/1"' in pushed.result["load_line"]

    def test_the_same_one_again_is_found(self, hub: HubServer, hub_client: HubClient, folder: Path) -> None:
        hub.add_repository(REPO)
        hub.faults.append(Fault("POST", "/commit/", lose_answer=True))
        first = push(hub_client, folder, pr=True)
        again = push(hub_client, folder, pr=True)
        assert again.result["pull_request"] == first.result["pull_request"]
        assert len(hub.repositories[REPO].pull_requests) == 1
        write_shard(folder, "pretrain", 1, word="other")
        assert push(hub_client, folder, pr=True).result["pull_request"].endswith("/2")
        hub.repositories[REPO].pull_requests[1].status = "closed"
        assert push(hub_client, folder, pr=True).result["pull_request"].endswith("/3")

    def test_none_where_nothing_differs_or_nothing_is(
        self, hub: HubServer, hub_client: HubClient, folder: Path
    ) -> None:
        refused = push(hub_client, folder, pr=True)
        assert (refused.error, hub.repositories) == ("InputError", {})
        push(hub_client, folder)
        assert push(hub_client, folder, pr=True).result["pull_request"] is None
        assert hub.repositories[REPO].pull_requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"branch": "refs/pr/1"}, {"branch": ""}, {"branch": "a..b"}, {"branch": "-x"}, {"branch": "a b"},
        {"branch": "0" * 40}, {"tag": "v1/"}, {"tag": "v1.lock"}, {"tag": "é"}, {"pr": True, "branch": "next"},
        {"pr": True, "tag": "v1"},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any], folder: Path) -> None:
    with pytest.raises(InputError):
        push_folder(folder, REPO, PushOptions(**options))


def test_a_dry_run_tells_and_writes_nothing(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    folder = built
    (folder / "work.log").write_text("x")
    dry = ["push", str(folder), REPO, "--dry-run"]
    done = hub_client.command(*dry, "--branch", "next")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"create  the data set {REPO}", "create  the branch from main"]
    assert f"{len(published(folder)) - 1} files to send" in lines[-1]
    assert "skip    work.log" in lines
    assert hub.repositories == {}

    push(hub_client, folder)
    (folder / "README.md").write_text((folder / "README.md").read_text() + "More.\n")
    picture = next((folder / "assets").iterdir())
    picture.unlink()
    before = held(hub, "main")
    done = hub_client.command(*dry)
    num_bytes = (folder / "README.md").stat().st_size
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(("send", "delete"))] == [
        f"send    README.md ({size(num_bytes)})",
        f"delete  assets/{picture.name}",
    ]
    assert "keep    recipe.yaml" in lines
    told = json.loads(hub_client.command(*dry, "--json").stdout)
    assert [(file["path"], file["size"]) for file in told["to_send"]] == [("README.md", num_bytes)]
    assert told["to_delete"] == [f"assets/{picture.name}"]
    assert held(hub, "main") == before


def _without(path: Path) -> None:
    path.unlink()


def _first_image(folder: Path) -> None:
    path = next((folder / "pretrain").iterdir())
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["conversations"][0]["value"] += " <image>"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def _other_number(folder: Path) -> None:
    path = folder / "recipe.yaml"
    path.write_text(path.read_text().replace("num: 9", "num: 8"))


def _other_schema(folder: Path) -> None:
    path = next((folder / "pretrain").iterdir())
    pq.write_table(pq.read_table(path).drop_columns(["seed"]), path)


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no statistics": (lambda folder: _without(folder / "statistics.json"), "statistics.json: it does not exist"),
    "no transfer": (
        lambda folder: _without(folder / "transfer.safetensors"),
        "transfer.safetensors: it does not exist",
    ),
    "another number in the recipe": (_other_number, "captions.num: 8, but pretrain has 9 rows"),
    "a column is gone": (_other_schema, "seed: no such column, expected string"),
    "a first row with two images": (_first_image, "it contains <image> 2 times"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_not_valid_is_not_pushed(what: str, hub: HubServer, hub_client: HubClient, built: Path) -> None:
    spoil, told = SPOILED[what]
    spoil(built)
    for more in ([], ["--dry-run"]):
        done = hub_client.command("push", str(built), REPO, *more)
        assert done.returncode == 2, done.stdout
        assert f"{built} is not a valid set: " in done.stderr
        assert told in done.stderr
        assert f"unicorn-hf validate {built}" in done.stderr
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("repo_id", "env", "card", "exit_code", "told"),
    [
        (REPO, {"HF_TOKEN": None}, CARD, 1, "there is no token"),
        (REPO, {"HF_ENDPOINT": "http://127.0.0.1:9"}, CARD, 1, "cannot be reached"),
        (REPO, {"HF_TOKEN": HubServer.reading_token}, CARD, 1, "has no write access"),
        ("readers/unicorn", {}, CARD, 1, "has no write access to readers"),
        ("unicorn-maker/other", {}, CARD, 2, "--overwrite"),
        (REPO, {}, "---\ntags: {}\n---\n", 2, "refuses the card"),
    ],
)
def test_a_dry_run_tells_what_would_stop_the_push(
    repo_id: str,
    env: Environment,
    card: str,
    exit_code: int,
    told: str,
    hub: HubServer,
    hub_client: HubClient,
    folder: Path,
) -> None:
    hub.add_repository("unicorn-maker/other", {"README.md": b"mine"})
    (folder / "README.md").write_text(card)
    done = hub_client.command("push", str(folder), repo_id, "--dry-run", env=env)
    assert done.returncode == exit_code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_with_a_pull_request(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    hub.add_repository(REPO)
    done = hub_client.command("push", str(built), REPO, "--pr")
    assert done.returncode == 0, done.stderr
    assert f"Proposed: {hub.url}/datasets/{REPO}/discussions/1" in done.stdout
