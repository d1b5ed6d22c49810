"""A published set that a stranger made, hostile in every key of its recipe: whoever reads it loses nothing.

Keys and values come from the recipe's own model, so that a key that is added later is tried here without being named.
"""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from tests.builds import ECHO, SHARED, rows, unicorn, write_seeds
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from tests.inotify import Watch
from unicorn_hf import InputError
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.core.foreign import KINDS as REGISTRIES
from unicorn_hf.core.foreign import LEFT, TAKEN, keys_of_choices, taken_over
from unicorn_hf.core.published import prompt_folders
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.registry import SectionOf
from unicorn_hf.hub.regenerate import Published, child_recipe
from unicorn_hf.pipeline.planning import plan

pytestmark = pytest.mark.slow

MARK = "planted-content-zyx"
KEY = "sk-marked-key-0123456789"
SCENARIOS: dict[str, dict[str, object]] = {
    "kept": {"representations.transfer": "none"},
    "written": {"random_seed": 5},
    "written by mine": {"engine": {"kind": "echo"}, "representations.encoder": "hashing:8"},
}
"""What a user changes of the stranger's recipe."""


@dataclass(frozen=True)
class Leaf:
    """A key of the recipe's model that holds a value, with the sections of several kinds on its way."""

    path: tuple[str, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kind of section by its dotted key."""

    @property
    def key(self) -> str:
        return ".".join(self.path)


def leaves(model: type[BaseModel] = Recipe, above: Leaf = Leaf(())) -> Iterator[Leaf]:
    model.model_rebuild()  # Keys that registries give are there when the model is.
    for name, info in model.model_fields.items():
        leaf = Leaf((*above.path, name), above.kinds)
        sections = list(sections_in(Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation))
        if leaf.key in prompt_folders():
            sections = []  # A prompt is one value, a name or the text.
        for section in sections:
            kind = section.model_fields.get("kind")
            kinds = {leaf.key: get_args(kind.annotation)[0]} if kind is not None and get_args(kind.annotation) else {}
            yield from leaves(section, Leaf(leaf.path, {**above.kinds, **kinds}))
        if not sections:
            yield leaf


def all_taken() -> set[str]:
    return {key for keys in TAKEN.values() for key in keys} | said_by_kinds("taken_keys") | keys_of_choices()


def said_by_kinds(*attributes: str) -> set[str]:
    """Keys that the classes of several kinds name in these attributes."""
    return {
        f"{section}.{key}"
        for section, registry in REGISTRIES.items()
        for kind in registry.loadable().values()
        for attribute in attributes
        for key in getattr(kind, attribute)
    }


def sections_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        of_kinds = [mark for mark in get_args(annotation)[1:] if isinstance(mark, SectionOf)]
        yield from of_kinds[0].registry.loadable().values() if of_kinds else sections_in(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from sections_in(argument)


KINDS: dict[str, dict[str, Any]] = {
    "vllm": {"kind": "vllm", "model": "org/model"},
    "endpoint": {"kind": "endpoint", "model": "m"},
    "batch": {"kind": "batch", "model": "m"},
    "echo": {"kind": "echo"},
    "imported": {"kind": "imported", "model": "m"},
    "file": {"kind": "file", "path": "package:pets.txt"},
    "labels": {"kind": "labels", "path": "package:pets.txt", "templates": ["a {label}"], "domain": "pets"},
    "dataset": {"kind": "dataset", "path": "org/captions", "column": "text"},
}
PARTS: dict[str, Any] = {
    "imported": {"files": [{"path": "x.jsonl"}]},
    "parent": {"dataset": "org/parent", "text": "written"},
    "captions.screen": {},
    "instructions.judge": {},
}
"""What a section needs beside the key that is tried."""


def with_value(recipe: dict[str, Any], leaf: Leaf, value: object) -> dict[str, Any]:
    """The recipe with the value at the key, and whatever the key needs around it."""
    made: dict[str, Any] = json.loads(json.dumps(recipe))
    section: Any = made
    for depth, name in enumerate(leaf.path[:-1], start=1):
        dotted = ".".join(leaf.path[:depth])
        kind = leaf.kinds.get(dotted)
        if kind and not (isinstance(section.get(name), dict) and section[name].get("kind") == kind):
            section[name] = [dict(KINDS[kind])] if name == "sources" else dict(KINDS[kind])
        elif section.get(name) is None:
            section[name] = json.loads(json.dumps(PARTS.get(dotted, {})))
        section = section[name][0] if isinstance(section[name], list) else section[name]
    section[leaf.path[-1]] = value
    return made


class Trap:
    """An address that nobody has a reason to call; it hears what callers say."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    self.heard.append(connection.recv(1 << 16))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        self._socket.close()


@dataclass
class Scene:
    """Everything around the victim: planted files, addresses that listen, and a set to poison."""

    folder: Path
    parent: Path
    trap: Trap
    planted: dict[str, Path]
    watch: Watch

    def values(self) -> list[object]:
        """What a stranger might write, of every form that a key may take."""
        paths = [str(path) for path in self.planted.values()]
        relative = os.path.relpath(self.planted["text"], self.folder)
        texts = [
            *paths,
            *(f"package:{'../' * 12}{path.lstrip('/')}" for path in paths[:1]),
            relative,
            *(f"{'../' * 12}{path.lstrip('/').removesuffix('.yaml')}" for path in paths if path.endswith(".yaml")),
            *(f"{kind}{self.planted['model']}" for kind in ("clip:", "open_clip:local-dir:", "llm2clip:")),
            f"open_clip:ViT-B-32/{self.planted['text']}",
            f"http://127.0.0.1:{self.trap.port}/v1",
            f"tcp://127.0.0.1:{self.trap.port}",
            str(self.planted["scheduler"]),
        ]
        return [*texts, *([text] for text in texts), {"x": texts[0]}, True]

    def poisoned(self, name: str, recipe: Mapping[str, Any]) -> Path:
        copy = self.folder / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.parent, copy)
        (copy / "recipe.yaml").write_text(yaml.safe_dump(dict(recipe), sort_keys=False))
        return copy

    def read(self, recipe: Mapping[str, Any]) -> Published:
        """As `read_published` has it; thousands are looked at, and reading YAML is slow."""
        taken = taken_over(Recipe.model_validate(recipe), self.parent)
        return Published(str(self.parent), None, taken, read_statistics(self.parent / "statistics.json"))

    def check(self, what: str) -> None:
        assert self.watch.opened() == set(), what
        assert self.trap.heard == [], what


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("foreign")
    write_seeds(folder / "seeds.txt", 40)
    options = [*ECHO, "--captions", 24, "--instructions", 9, "--seeds", "seeds.txt", "--out", "parent"]
    done = unicorn("build", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    trap, planted = Trap(), plant(folder / "victim")
    watch = Watch([path for path in (folder / "victim").rglob("*") if path.is_file()])
    yield Scene(folder, folder / "parent", trap, planted, watch)
    watch.close()
    trap.close()


def plant(home: Path) -> dict[str, Path]:
    """Files of every kind that a recipe may name, each with something in it that must not come out."""
    home.mkdir()
    planted = {name: home / file for name, file in {
        "text": "secret.txt", "prompt": "prompt.yaml", "table": "secret.parquet", "scheduler": "scheduler.json",
        "model": "model", "set": "set",
    }.items()}  # fmt: skip
    planted["text"].write_text(f"{MARK} one\n{MARK} two\n")
    planted["prompt"].write_text(yaml.safe_dump({"version": "x", "system": MARK, "user": f"{MARK} {{subject}}"}))
    pq.write_table(pa.table({"caption": [f"{MARK} one", f"{MARK} two"]}), planted["table"])
    planted["scheduler"].write_text(json.dumps({"type": "Scheduler", "id": MARK, "address": "tcp://127.0.0.1:9"}))
    planted["model"].mkdir()
    for name in ("config.json", "open_clip_config.json", "model.safetensors"):
        (planted["model"] / name).write_text(json.dumps({"model_type": MARK}))
    (planted["set"] / "pretrain").mkdir(parents=True)
    for name in ("recipe.yaml", "statistics.json", "README.md"):
        (planted["set"] / name).write_text(f"name: {MARK}\n")
    pq.write_table(pa.table({"caption": [MARK]}), planted["set"] / "pretrain" / "train-00000-of-00001.parquet")
    return planted


def recipe_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "recipe.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def hostile(here: Scene) -> list[tuple[Leaf, object, dict[str, Any]]]:
    """Each key with each value that it takes."""
    return list(_hostile(here))


def _hostile(here: Scene) -> Iterator[tuple[Leaf, object, dict[str, Any]]]:
    plain = recipe_of(here.parent)
    for leaf in leaves():
        for value in here.values():
            made = with_value(plain, leaf, value)
            try:
                Recipe.model_validate(made)
            except ValidationError:
                continue
            yield leaf, value, made


def test_each_key_is_either_taken_or_left() -> None:
    named = {key for keys in LEFT.values() for key in keys} | said_by_kinds("left_keys")
    files = {"engine.model", "representations.encoder", "representations.image_statistics",
             "imported.files.path", "parent.dataset", *prompt_folders(),
             *said_by_kinds("file_keys", "hub_keys")}  # fmt: skip
    keys = {leaf.key for leaf in leaves()}
    assert keys - all_taken() - named - files == set(), "decide of each new key whether a stranger may set it"
    assert (all_taken() | named | files) - keys == set(), "these keys are gone"
    assert all_taken() & named == set()


def test_no_key_makes_a_child_open_or_call_anything(
    here: Scene, hostile: list[tuple[Leaf, object, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here.folder)
    monkeypatch.setenv("UNICORN_HF_API_KEY", KEY)
    tried = refused = 0
    for leaf, value, recipe in hostile:
        published = here.read(recipe)
        for name, changes in SCENARIOS.items():
            tried += 1
            try:
                plan(child_recipe(published, changes), here.folder / "child")
            except InputError as error:
                assert MARK not in str(error)
                refused += 1
            here.check(f"{leaf.key}: {value!r}, {name}")
    assert tried > 500
    assert 20 < refused < tried


@pytest.fixture(scope="module")
def surviving(here: Scene, hostile: list[tuple[Leaf, object, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """For each kind of engine, the recipe with all hostile values that are not refused when text is kept."""
    merged: dict[str, dict[str, Any]] = {}
    cwd = Path.cwd()
    os.chdir(here.folder)
    try:
        for leaf, value, _ in hostile:
            kinds = [leaf.kinds["engine"]] if "engine" in leaf.kinds else ["vllm", "endpoint"]
            for kind in set(kinds) & {"vllm", "endpoint"}:
                before = merged.get(kind) or recipe_of(here.parent) | {"engine": dict(KINDS[kind])}
                made = with_value(before, leaf, value)
                try:
                    Recipe.model_validate(made)
                    child_recipe(here.read(made), SCENARIOS["kept"])
                except (ValidationError, InputError):
                    continue
                merged[kind] = made
    finally:
        os.chdir(cwd)
    return merged


def everything_said(*folders: Path) -> str:
    """All bytes in these folders."""
    files = (path for place in folders for path in (place, *place.rglob("*")) if path.is_file())
    return "\n".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize("kind", ["vllm", "endpoint"])
def test_commands_on_the_worst_set_that_is_not_refused(
    kind: str, here: Scene, surviving: dict[str, dict[str, Any]], hub: HubServer, hub_client: HubClient
) -> None:
    copy = here.poisoned(f"worst-{kind}", surviving[kind])
    assert str(here.planted["text"]) in (copy / "recipe.yaml").read_text()
    repo_id = f"{hub.user}/worst"
    hub.add_repository(repo_id, {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()})
    home = hub_client.home
    sent = Path(shutil.copytree(copy, home / "sent"))
    mine = ["--engine", "echo", "--encoder", "hashing:8"]
    commands = [
        ["build", "--from", repo_id, "--transfer", "none", "--out", "kept", *SHARED],
        ["build", "--from", repo_id, *mine, "--out", "written", *SHARED],
        ["build", "--from", "sent", "--random-seed", "5", "--out", "again"],
        ["build", "sent/recipe.yaml", "--out", "direct"],
        ["plan", "--from", repo_id, "--random-seed", "5"],
        ["doctor", "--from", repo_id, "--out", "x"],
        ["doctor", "sent/recipe.yaml", "--out", "x"],
        ["inspect", repo_id],
        ["validate", repo_id],
        ["compare", repo_id, "sent"],
        ["report", "sent", "--out", "page.html"],
        ["card", "sent"],
        ["export", "sent", "--format", "llava", "--out", "exported"],
        ["import", "sent", "--out", "imported", "--encoder", "hashing:8", *SHARED],
        ["push", "sent", f"{hub.user}/pushed"],
    ]
    # Those that start no worker and ask nobody read all keys in one way, whatever the engine.
    for command in commands if kind == "endpoint" else commands[:5]:
        done = hub_client.command(*command, env={"UNICORN_HF_API_KEY": KEY})
        said = done.stdout + done.stderr
        assert done.returncode in (0, 1, 2), said
        assert "Traceback" not in said, said
        for mark in (MARK, KEY, hub.token):
            assert mark not in said
        here.check(" ".join(command))
        if command[0] == "build" and command[2:5] == [repo_id, "--transfer", "none"]:
            assert done.returncode == 0, said
            assert "ignored keys of the published recipe:" in done.stderr
    said = everything_said(*(home / name for name in ("kept", "written", "again", "direct", "exported", "imported")))
    said += everything_said(*home.glob("*.work"), *home.glob("page.html"))
    for mark in (MARK, KEY, hub.token):
        assert mark not in said
    assert not sent.is_symlink()


def test_a_child_of_a_servers_set_asks_for_a_server_of_ones_own(here: Scene, hub_client: HubClient) -> None:
    engine = {"kind": "endpoint", "model": "m", "base_url": f"http://127.0.0.1:{here.trap.port}/v1"}
    copy = here.poisoned("served", recipe_of(here.parent) | {"engine": engine})
    asked = ["build", "--from", str(copy), "--random-seed", "5", "--out", "child"]
    done = hub_client.command(*asked, env={"UNICORN_HF_API_KEY": KEY})
    assert done.returncode == 2
    assert "--base-url" in done.stderr
    assert "engine.base_url" in done.stderr
    here.check("without an address of one's own")


def test_a_price_of_others_decides_no_budget(here: Scene, hub_client: HubClient) -> None:
    copy = here.poisoned("cheap", recipe_of(here.parent) | {"price": {"per_worker_hour": 1e-9}})
    asked = ["build", "--from", str(copy), "--random-seed", "5", "--out", "child", "--max-cost", "1"]
    done = hub_client.command(*asked)
    assert done.returncode == 2
    assert "--set price." in done.stderr


@pytest.mark.parametrize("name", ["recipe.yaml", "statistics.json", "pretrain/train-00000-of-00001.parquet"])
def test_a_link_out_of_a_set_is_not_followed(name: str, here: Scene, hub_client: HubClient) -> None:
    copy = here.poisoned("linked", recipe_of(here.parent))
    (copy / name).unlink()
    (copy / name).symlink_to(here.planted["table"])
    for command in (
        ["build", "--from", str(copy), "--transfer", "none", "--out", "child"],
        ["inspect", str(copy)],
        ["compare", str(copy)],
        ["report", str(copy)],
        ["validate", str(copy)],
        ["card", str(copy)],
        ["export", str(copy), "--format", "llava", "--out", "exported"],
        ["import", str(copy), "--out", "imported"],
    ):
        done = hub_client.command(*command)
        said = done.stdout + done.stderr
        assert done.returncode in (1, 2), (command, said)
        assert "Traceback" not in said, said
        here.check(f"{name}: {command}")


@pytest.mark.parametrize("place", ["file", "address"])
def test_a_card_that_names_other_data_is_not_obeyed(place: str, here: Scene, hub_client: HubClient) -> None:
    copy = here.poisoned("carded", recipe_of(here.parent))
    other = str(here.planted["table"]) if place == "file" else f"http://127.0.0.1:{here.trap.port}/x.parquet"
    configs = [{"config_name": name, "data_files": other} for name in ("pretrain", "instruction")]
    (copy / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
    child = ["build", "--from", str(copy), "--random-seed", "5", "--out", "child", *SHARED]
    for command in (child, ["inspect", str(copy)], ["compare", str(copy)], ["calibrate", "--images", str(copy),
                    "--encoder", "hashing:8"]):  # fmt: skip
        done = hub_client.command(*command)
        assert "Traceback" not in done.stderr, done.stderr
        assert MARK not in done.stdout + done.stderr + everything_said(hub_client.home / "child")
        here.check(str(command))
    code = "import sys\nfrom unicorn_hf.torch import UnicornDataset\nprint(len(UnicornDataset(sys.argv[1], None)))"
    done = hub_client.run(code, str(copy))
    assert done.stdout == f"{len(rows(here.parent, 'pretrain'))}\n", done.stderr
    here.check("UnicornDataset")


def test_a_prompt_of_ones_own_goes_with_the_set(here: Scene, tmp_path: Path) -> None:
    """So that others can write with it, without the file."""
    prompt = {"version": "mine-1", "system": "Be brief.", "user": "Describe {subject}"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(prompt))
    write_seeds(tmp_path / "seeds.txt", 30)
    mine = ["--set", f"captions.prompt={tmp_path / 'mine.yaml'}"]
    options = [*ECHO, "--captions", 12, "--instructions", 0, "--seeds", "seeds.txt", "--out", "mine", *mine]
    done = unicorn("build", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert recipe_of(tmp_path / "mine")["captions"]["prompt"]["user"] == "Describe {subject}"
    assert "mine-1" in (tmp_path / "mine" / "README.md").read_text()
    (tmp_path / "mine.yaml").unlink()
    child = unicorn("build", "--from", "mine", "--random-seed", 3, "--captions", 6, "--out", "child", cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    assert recipe_of(tmp_path / "child")["captions"]["prompt"]["version"] == "mine-1"


def test_models_of_others_are_shown_and_asked_for_before_they_are_downloaded(
    here: Scene, hub: HubServer, hub_client: HubClient
) -> None:
    changed = recipe_of(here.parent) | {"engine": {"kind": "vllm", "model": "stranger/model", "revision": "v1"}}
    changed["representations"]["encoder"] = "clip:stranger/clip"
    copy = here.poisoned("modelled", changed)
    before = len(hub.seen)
    for command in (["build", "--from", str(copy), "--random-seed", "5", "--out", "x"],
                    ["plan", "--from", str(copy), "--random-seed", "5"],
                    ["gap", str(copy), "--images", str(copy)]):  # fmt: skip
        done = hub_client.command(*command)
        assert done.returncode == 2, done.stderr
        assert "stranger/clip (size unknown)" in done.stderr
        assert ("stranger/model at v1 (size unknown)" in done.stderr) == (command[0] != "gap")
        assert "--yes" in done.stderr
    asked = [seen.path for seen in hub.seen[before:]]
    assert asked
    assert all(path.startswith("/api/models/") for path in asked), "nothing but what the models are"
    mine = ["--engine", "echo", "--encoder", "hashing:8", "--captions", "8", "--instructions", "0"]
    own = hub_client.command("build", "--from", str(copy), "--random-seed", "5", *mine, "--out", "x", *SHARED)
    assert own.returncode == 0, own.stderr
