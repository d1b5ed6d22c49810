"""`build --from`: what is not changed is the parent's own, what is changed is made again, and the child says so."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.builds import ECHO, SHARED, published_bytes, rows, unicorn, write_seeds
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from unicorn_hf import InputError
from unicorn_hf.builders.validate import validate_folder
from unicorn_hf.hub.regenerate import child_recipe, read_published

TEXT = ("id", "caption", "conversations", "seed", "domain")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    write_seeds(folder / "seeds.txt", 60)
    options = [*ECHO, "--captions", 40, "--instructions", 16, "--seeds", "seeds.txt"]
    done = unicorn("build", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "unicorn"


def text(folder: Path, config: str) -> list[list[Any]]:
    names = [*TEXT, *(["task"] if config == "instruction" else [])]
    return [[row[name] for name in names] for row in rows(folder, config)]


def published(hub: HubServer, folder: Path, name: str = "parent", **options: Any) -> str:
    repo_id = f"{hub.user}/{name}"
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.add_repository(repo_id, files, **options)
    return repo_id


def recipe_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((folder / "recipe.yaml").read_text())
    return value


def test_a_plan_of_kept_text_needs_no_engine(hub: HubServer, hub_client: HubClient, parent: Path) -> None:
    done = hub_client.command("plan", "--from", published(hub, parent), "--transfer", "mean_shift_to_image")
    assert done.returncode == 0, done.stderr
    assert "engine  none: the text exists\n" in done.stdout
    assert "transfer  mean_shift: mean_shift_to_image needs image statistics\n" in done.stdout
    assert "requests  " not in done.stdout


def test_another_transfer_keeps_the_text(hub: HubServer, hub_client: HubClient, parent: Path) -> None:
    repo_id = published(hub, parent)
    child_id = f"{hub.user}/child"
    done = hub_client.command(
        "build", "--from", repo_id, "--transfer", "none", "--out", "child", "--push", child_id, *SHARED
    )
    assert done.returncode == 0, done.stderr
    child = hub_client.home / "child"
    for config in ("pretrain", "instruction"):
        assert text(child, config) == text(parent, config)
    before, after = (np.array([row["image_embedding"] for row in rows(f, "pretrain")]) for f in (parent, child))
    moved = after - after.mean(axis=0)
    np.testing.assert_allclose(moved / np.linalg.norm(moved, axis=1, keepdims=True), before, atol=2e-3)
    recipe = recipe_of(child)
    commit = recipe["parent"]["revision"]
    assert len(commit) == 40
    assert recipe["parent"] == {
        "dataset": repo_id, "revision": commit, "changed": ["representations.transfer"], "text": "kept",
    }  # fmt: skip
    statistics = json.loads((child / "statistics.json").read_text())
    assert statistics["seeds"] == json.loads((parent / "statistics.json").read_text())["seeds"]
    assert statistics["captions"]["num_requests"] == 0
    report = validate_folder(child)
    assert report.valid, report.lines()
    card = hub.files(child_id)["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["source_datasets"] == [repo_id]
    assert f"](https://huggingface.co/datasets/{repo_id}/tree/{commit}) at revision `{commit}`" in card
    assert "Changed in the recipe: representations.transfer." in card

    again = hub_client.command("build", "child/recipe.yaml", "--out", "again", *SHARED)
    assert again.returncode == 0, again.stderr
    assert published_bytes(hub_client.home / "again") == published_bytes(child)


def test_another_draw_is_written_from_the_seeds_of_the_rows(
    hub: HubServer, hub_client: HubClient, parent: Path
) -> None:
    repo_id = published(hub, parent)
    done = hub_client.command(
        "build", "--from", repo_id, "--random-seed", "5", "--captions", "20", "--out", "child", *SHARED
    )
    assert done.returncode == 0, done.stderr
    child = hub_client.home / "child"
    ours, theirs = rows(child, "pretrain"), rows(parent, "pretrain")
    assert len(ours) == 20
    assert len(rows(child, "instruction")) == 8, "in the parent's proportion"
    assert {row["seed"] for row in ours} <= {row["seed"] for row in theirs}
    assert not {row["caption"] for row in ours} & {row["caption"] for row in theirs}
    recipe = recipe_of(child)
    assert recipe["parent"]["text"] == "written"
    assert recipe["parent"]["changed"] == ["random_seed", "captions.num", "instructions.num"]
    (source,) = recipe["seeds"]["sources"]
    assert (source["kind"], source["path"], source["revision"]) == ("dataset", repo_id, recipe["parent"]["revision"])
    assert (source["where"], source["column"]) == ({"domain": "open-domain"}, "seed")
    assert (source["name"], source["license"]) == ("seeds.txt", "unknown")
    report = validate_folder(child)
    assert report.valid, report.lines()
    card = (child / "README.md").read_text()
    assert "were written again, from its seeds" in card


@pytest.mark.parametrize(
    ("environment", "options", "told"),
    [
        ({"HF_TOKEN": None}, (), "that this token may read"),
        ({}, ("--revision", "v9"), "has no branch, tag or commit v9"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, (), "cannot be reached"),
    ],
    ids=["private", "revision", "no-hub"],
)
def test_what_the_hub_does_not_give(
    environment: dict[str, str | None],
    options: tuple[str, ...],
    told: str,
    hub: HubServer,
    hub_client: HubClient,
    parent: Path,
) -> None:
    repo_id = published(hub, parent, private=True)
    done = hub_client.command("build", "--from", repo_id, "--out", "child", *options, *SHARED, env=environment)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (hub_client.home / "child").exists()


def test_a_repository_that_is_none_of_ours(hub: HubServer, hub_client: HubClient) -> None:
    repo_id = f"{hub.user}/other"
    hub.add_repository(repo_id, {"README.md": b"mine", "data.csv": b"a"})
    done = hub_client.command("build", "--from", repo_id, "--out", "child", *SHARED)
    assert done.returncode == 2
    assert f"{repo_id} is not a data set of unicorn-hf" in done.stderr


def papers(parent: Path, folder: Path, **changes: str) -> Path:
    copy = Path(shutil.copytree(parent, folder / "copy"))
    for name, content in changes.items():
        (copy / name.replace("_", ".")).write_text(content)
    return copy


def test_a_recipe_of_a_newer_version(parent: Path, tmp_path: Path) -> None:
    recipe = (parent / "recipe.yaml").read_text() + "telepathy: true\n"
    statistics = json.loads((parent / "statistics.json").read_text())
    statistics["versions"]["unicorn-hf"] = "99.1.0rc1"
    copy = papers(parent, tmp_path, recipe_yaml=recipe, statistics_json=json.dumps(statistics))
    with pytest.raises(InputError, match=r"was made by unicorn-hf 99\.1\.0rc1, whose recipes"):
        read_published(str(copy))
    statistics["versions"]["unicorn-hf"] = "0.0.1"
    (copy / "statistics.json").write_text(json.dumps(statistics))
    with pytest.raises(InputError, match=r"is damaged: .*recipe\.yaml:\d+: unknown key telepathy"):
        read_published(str(copy))


@pytest.mark.parametrize("content", ["", "{}", "[1", "!!python/object/apply:os.system ['touch /tmp/hacked']", "\0"])
def test_a_recipe_is_data(content: str, parent: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is damaged"):
        read_published(str(papers(parent, tmp_path, recipe_yaml=content)))
    assert not Path("/tmp/hacked").exists()


def test_what_a_child_can_be(parent: Path) -> None:
    published = read_published(str(parent))
    with pytest.raises(InputError, match="has 40 captions, but 41 are requested"):
        child_recipe(published, {"captions.num": 41})
    with pytest.raises(InputError, match="provides the seeds"):
        child_recipe(published, {"seeds.sources": []})
    fewer = child_recipe(published, {"captions.num": 10, "representations.encoder": "hashing:8"})
    assert (fewer.captions.num, fewer.instructions.num, fewer.takes_text) == (10, 10, True)
    more = child_recipe(published, {"captions.num": 80, "random_seed": 1})
    assert (more.captions.num, more.instructions.num, more.takes_text) == (80, 32, False)
    otherwise = child_recipe(published, {"captions.sampling.temperature": 0.55, "captions.num": 10})
    assert (otherwise.captions.num, otherwise.takes_text) == (10, False)
    assert otherwise.parent
    assert "captions.sampling.temperature" in otherwise.parent.changed
    served = child_recipe(published, {"engine": {"kind": "endpoint", "base_url": "http://127.0.0.1/v1", "model": "m"}})
    assert served.parent
    assert served.parent.changed == ("engine",)
    same = child_recipe(published, {})
    assert same.parent
    assert same.parent.changed == ()


def test_of_a_folder(parent: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(parent, tmp_path / "unicorn"))
    refused = unicorn("build", "--from", "unicorn", "--transfer", "none", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is the parent of this set" in refused.stderr
    clash = unicorn("build", "demo", "--from", "unicorn", "--out", "x", cwd=tmp_path)
    assert "Omit RECIPE" in clash.stderr
    done = unicorn(
        "build",
        "--from",
        "unicorn",
        "--encoder",
        "hashing:8",
        "--captions",
        10,
        "--out",
        "x",
        *SHARED,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert text(tmp_path / "x", "pretrain") == text(copy, "pretrain")[:10]
    assert recipe_of(tmp_path / "x")["parent"]["dataset"] == "unicorn"
    for name in ("README.md", "recipe.yaml", "statistics.json"):
        assert str(tmp_path) not in (tmp_path / "x" / name).read_text()
    grandchild = unicorn("build", "--from", "x", "--transfer", "none", "--out", "z", *SHARED, cwd=tmp_path)
    assert grandchild.returncode == 0, grandchild.stderr
    assert text(tmp_path / "z", "instruction") == text(tmp_path / "x", "instruction")
