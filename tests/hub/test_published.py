"""Published sets that share captions with a set: before a push, and in `compare --against published`."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builds import ECHO, unicorn
from tests.hub.fixtures import HubClient
from tests.hub.server import Fault, HubServer
from unicorn_hf.builders.sketch import Sketch

REPO = "unicorn-maker/unicorn"
NEAR = "warning: you are about to publish a near copy of other/set: "


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for out, options in {
        "unicorn": ("--captions", 40),
        "small": ("--captions", 10),
        "else": ("--random-seed", 9),
    }.items():
        done = unicorn("build", *ECHO, "--instructions", 3, *options, "--out", out, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def built(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "unicorn", tmp_path / "unicorn"))


def publish(hub: HubServer, folder: Path, name: str = "other/set", **statistics: Any) -> None:
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    if statistics:
        files["statistics.json"] = json.dumps(json.loads(files["statistics.json"]) | statistics).encode()
    hub.add_repository(name, files)


def rows_asked(hub: HubServer, name: str = "other/set") -> int:
    return hub.count("GET", f"{name}/resolve/.*parquet")


def test_a_push_warns_of_a_near_copy_and_goes_on(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    publish(hub, built)
    done = hub_client.command("push", str(built), REPO, "--json")
    assert done.returncode == 0, done.stderr
    assert f"{NEAR}100.0 % of the captions and 100.0 % (99.8 to 100.0) of the runs of 8 words are in it" in done.stderr
    assert REPO in hub.repositories
    assert rows_asked(hub) == 0
    told = json.loads(done.stdout)
    assert told["near_copies"][0]["common"]["captions"] == {"share": 1.0, "lower": 1.0, "upper": 1.0}


def test_what_is_not_sent_is_not_searched_for(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    publish(hub, built, REPO)
    publish(hub, built, "other/set")
    for arguments in ([REPO], [REPO, "--dry-run"], ["others/not-mine"]):
        hub_client.command("push", str(built), *arguments)
    assert hub.count("GET", "/api/datasets$") == 0


def test_a_dry_run_tells_of_it(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    publish(hub, built)
    done = hub_client.command("push", str(built), REPO, "--dry-run")
    assert "warning: this is a near copy of other/set: 100.0 % of the captions" in done.stdout
    assert REPO not in hub.repositories


def test_changed_captions_count_by_their_runs_of_words(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    theirs = json.loads((built / "statistics.json").read_text())["sketch"]
    others = Sketch.of(["other captions", "of others"]).model_dump(mode="json")
    publish(hub, built, sketch=theirs | {"captions": others["captions"]})
    done = hub_client.command("push", str(built), REPO)
    assert f"{NEAR}0.0 % of the captions and 100.0 % (99.8 to 100.0) of the runs of 8 words are in it" in done.stderr


def test_what_is_no_near_copy(hub: HubServer, hub_client: HubClient, made: Path, built: Path) -> None:
    # An earlier version of the set itself, a quarter of it, and sets that cannot be compared.
    publish(hub, built, REPO)
    (built / "README.md").write_text((built / "README.md").read_text() + "\nChanged.\n")
    publish(hub, made / "small")
    publish(hub, built, "other/earlier", sketch=None)
    publish(hub, built, "other/newer", sketch={"form": 2, "captions": "", "runs": ""})
    publish(hub, built, "other/broken", sketch={"form": 1, "captions": "AAAA", "runs": ""})
    done = hub_client.command("push", str(built), REPO)
    assert done.returncode == 0, done.stderr
    assert NEAR not in done.stderr
    assert "published sets without a sketch that this version knows, not searched for near copies: 2" in done.stderr
    # Its parent, whose text it keeps; a set that writes other text has no reason to be one.
    recipe = yaml.safe_load((built / "recipe.yaml").read_text())
    for text, is_told in (("kept", False), ("written", True)):
        hub.repositories.clear()
        publish(hub, built)
        parent = {"dataset": "Other/Set", "revision": None, "changed": [], "text": text}
        (built / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"parent": parent}))
        done = hub_client.command("push", str(built), REPO)
        assert (NEAR in done.stderr) == is_told, done.stderr


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", "/api/datasets$", status=403, times=float("inf")),
        Fault("GET", "/api/datasets$", times=float("inf")),
    ],
    ids=["refused", "cut"],
)
def test_a_hub_that_lists_no_sets_does_not_stop_a_push(
    fault: Fault, hub: HubServer, hub_client: HubClient, built: Path
) -> None:
    hub.faults.append(fault)
    done = hub_client.command("push", str(built), REPO)
    assert done.returncode == 0, done.stderr
    assert "the published sets were not searched for near copies: " in done.stderr
    assert REPO in hub.repositories


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_list_of_sets_without_an_end_or_on_another_server_ends(
    elsewhere: bool, hub: HubServer, hub_client: HubClient, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer().running() as other:
        monkeypatch.setattr(hub, "next_sets", f"{(other if elsewhere else hub).url}/api/datasets?cursor=1")
        done = hub_client.command("compare", str(built), "--against", "published")
        assert done.returncode == 0, done.stderr
        assert not other.seen
    assert hub.count("GET", "/api/datasets$") == 1


def test_a_push_says_what_makes_the_set_findable(hub: HubServer, hub_client: HubClient, built: Path) -> None:
    told = hub_client.command("push", str(built), REPO, "--branch", "draft").stdout
    page = f"{hub.url}/datasets/{REPO}"
    assert f"hf collections add-item unicorn-maker/COLLECTION {REPO} dataset\n" in told
    assert f'"Generate DOI" in {page}/settings\n' in told
    assert f"datasets: [{REPO}]\n" in told
    assert f"{page}#citation\n" in told
    assert "## Citation" in (built / "README.md").read_text()
    assert "add-item" not in hub_client.command("push", str(built), REPO, "--pr", "--overwrite").stdout


def test_compare_against_published(hub: HubServer, hub_client: HubClient, made: Path, built: Path) -> None:
    publish(hub, built, "other/copy")
    publish(hub, made / "small", "other/small")
    publish(hub, made / "else", "other/else", sketch=Sketch.of(["nothing like the others"]).model_dump(mode="json"))
    publish(hub, built, "other/broken", sketch=3)
    done = hub_client.command("compare", str(built), "--against", "published", env={"COLUMNS": "160"})
    assert done.returncode == 0, done.stderr
    assert re.findall(r"other/\w+", done.stdout) == ["other/copy", "other/small"]
    assert re.search(r"other/copy .* 100\.0 % +100\.0 %", done.stdout)
    assert re.search(r"other/small .* 25\.0 %", done.stdout)
    assert "3 published sets read, 1 not readable; 2 with captions in common" in done.stderr
    assert not any(rows_asked(hub, name) for name in hub.repositories)
    again = json.loads(hub_client.command("compare", "other/small", "--against", "published", "--json").stdout)
    assert [one["name"] for one in again["sets"]] == ["other/small", "other/copy"]
    both = hub_client.command("compare", str(built), str(built), "--against", "published")
    assert (both.returncode, "takes one set" in both.stderr) == (2, True)
