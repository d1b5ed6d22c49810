"""`build --push`: seen before Stage 1 whether it can succeed, done at the end, never at the folder's cost."""

import shutil
from pathlib import Path

import pytest

from tests.builds import ECHO, published_bytes, rows, unicorn, write_seeds
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import InputError, RunError, build, load_recipe
from unicorn_hf.pipeline.publish import write_card

SMALL = ["build", *ECHO, "--captions", "9", "--instructions", "4"]
LOAD = """
import sys
from datasets import load_dataset
for config, number in (("pretrain", 9), ("instruction", 4)):
    assert load_dataset(sys.argv[1], config, split="train").num_rows == number
    assert len(list(load_dataset(sys.argv[1], config, split="train", streaming=True))) == number
"""


def is_on(hub: HubServer, repo_id: str, folder: Path) -> bool:
    """Whether the repository has the folder's files."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files.items() <= hub.files(repo_id).items()


def test_build_push_load(hub: HubServer, hub_client: HubClient) -> None:
    repo_id = f"{hub.user}/unicorn"
    done = hub_client.command(*SMALL, "--push", repo_id, "--private")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/datasets/{repo_id}" in done.stdout
    assert f'load_dataset("{repo_id}", "pretrain")' in done.stdout
    assert "warning" not in done.stderr
    loaded = hub_client.run(LOAD, repo_id)
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HF_TOKEN": None}, "no token"),
        ({"HF_TOKEN": "hf_wrong"}, "refuses the token"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "the Hub is disabled"),
    ],
    ids=["no-token", "refused-token", "no-hub", "offline"],
)
def test_a_push_that_cannot_succeed(
    environment: dict[str, str | None], told: str, hub: HubServer, hub_client: HubClient
) -> None:
    repo_id = f"{hub.user}/unicorn"
    done = hub_client.command(*SMALL, "--push", repo_id, env=environment)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    warning, _, after = done.stderr.partition("captions: 0 of 9")
    assert told in warning, "told before Stage 1"
    assert told in after, "told at the end"
    assert f"unicorn-hf push unicorn {repo_id}" in after
    assert "hf_wrong" not in done.stderr
    assert len(rows(hub_client.home / "unicorn", "pretrain")) == 9

    later = hub_client.command("push", "unicorn", repo_id)
    assert later.returncode == 0, later.stderr
    assert is_on(hub, repo_id, hub_client.home / "unicorn")


def test_too_little_room_is_seen_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    recipe = load_recipe("demo", {"engine": {"kind": "echo"}, "representations.encoder": "hashing:8"})
    with pytest.raises(RunError, match="GiB are free, the build needs about") as raised:
        build(recipe, tmp_path / "unicorn")
    assert "--work-dir" in raised.value.advice
    assert not list(tmp_path.iterdir())


def test_the_card_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    seeds = write_seeds(tmp_path / "seeds.txt", 40)
    small = [*ECHO, "--captions", 9, "--instructions", 4, "--seeds", seeds]
    assert unicorn("build", *small, cwd=tmp_path).returncode == 0
    before = published_bytes(tmp_path / "unicorn")
    moved = (tmp_path / "unicorn").rename(tmp_path / "elsewhere")
    (moved / "README.md").write_text("mine")
    done = unicorn("card", "elsewhere", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Written: elsewhere/README.md\n"
    assert published_bytes(moved) == before


@pytest.mark.parametrize("damage", ["recipe.yaml", "statistics.json", "pretrain/train-00000-of-00001.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"PAR1"])
def test_no_card_of_a_damaged_build(damage: str, content: bytes | None, tmp_path: Path, built: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "unicorn"))
    card = (folder / "README.md").read_bytes()
    (folder / damage).unlink()
    if content is not None:
        (folder / damage).write_bytes(content)
    with pytest.raises(InputError):
        write_card(folder)
    assert (folder / "README.md").read_bytes() == card


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "unicorn"
    recipe = {"engine": {"kind": "echo"}, "captions.num": 9, "instructions.num": 4, "cluster.kind": share_workers()}
    build(load_recipe("demo", {**recipe, "representations.encoder": "hashing:8"}), out)
    return out


def test_overwrite(hub: HubServer, hub_client: HubClient) -> None:
    repo_id = f"{hub.user}/unicorn"
    hub.add_repository(repo_id, {"README.md": b"mine", "notes.txt": b"mine"})
    refused = hub_client.command(*SMALL, "--push", repo_id)
    assert refused.returncode == 1, refused.stderr
    assert hub.files(repo_id)["README.md"] == b"mine"
    done = hub_client.command(*SMALL, "--push", repo_id, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert hub.files(repo_id)["notes.txt"] == b"mine"
    assert is_on(hub, repo_id, hub_client.home / "unicorn")
