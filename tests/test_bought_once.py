"""What a server answered is not asked again, whatever changes between builds; the rows are those of a new build."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.builds import published_bytes, rows, unicorn
from tests.engines.chat_server import Body, ChatServer, Reply, completion
from tests.stages import open_serial_pool
from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.needed import requests_needed
from unicorn_hf.pipeline.planning import plan
from unicorn_hf.pipeline.run import build
from unicorn_hf.runtime.answers import store_at

pytestmark = pytest.mark.slow

SEEDS = [f"a jar number {number} on a shelf" for number in range(90)]
CAPTIONS, INSTRUCTIONS = 60, 18
TASK = "instructions.tasks.multiple_choice"


def _patch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("unicorn_hf.pipeline.run.open_pool", open_serial_pool)
    # They take longest, and show no row.
    patch.setattr("unicorn_hf.pipeline.publish.draw_charts", lambda statistics: {})


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    _patch(monkeypatch)
    yield


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer().running() as server:
        yield server


def some_fail(body: Body, time: int) -> Reply | None:
    """A tenth of all captions is too short; the seed 7 is refused."""
    content = json.dumps(body["messages"])
    if "jar number 7 on" in content.rpartition('"user"')[2]:
        return Reply.json({"error": {"message": "no"}}, 400)
    if body["seed"] % 10 == 0 and "response_format" not in body:
        return Reply.json(completion(body, message={"role": "assistant", "content": "No."}))
    return None


def write_recipe(folder: Path, server: ChatServer) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(
        f"name: small\npartition_rows: 20\nengine: {{kind: endpoint, base_url: '{server.url}', model: m}}\n"
        f"seeds: {{sources: [{{path: seeds.txt, kind: file}}]}}\ncaptions: {{num: {CAPTIONS}}}\n"
        f"instructions:\n  num: {INSTRUCTIONS}\n  tasks:\n"
        "    multiple_choice: {weight: 2, pairs: {min: 3, max: 4}, prompt: multiple_choice-v2}\n"
        "    question_answering: {weight: 2, pairs: {min: 3, max: 4}, prompt: question_answering-v2}\n"
        "    complex_reasoning: {weight: 1, pairs: {min: 2, max: 4}, prompt: complex_reasoning-v2}\n"
        "representations: {encoder: 'hashing:16'}\n"
    )
    return path


def built(
    server: ChatServer, out: Path, recipe: Path, seeds: Sequence[str], changes: dict[str, object], work_dir: Path
) -> list[str]:
    """Build, and tell what was asked."""
    (recipe.parent / "seeds.txt").write_text("\n".join(seeds) + "\n")
    store_at.cache_clear()
    server.script = some_fail
    server.bodies.clear()
    build(load_recipe(recipe, changes), out, work_dir=work_dir)
    return [json.dumps(body, sort_keys=True) for body in server.bodies]


@pytest.fixture(scope="module")
def first(server: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A build's folder, and what it asked."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        _patch(patch)
        asked = built(server, folder / "unicorn", write_recipe(folder, server), SEEDS, {}, folder / "work")
    assert len(set(asked)) == len(asked) > CAPTIONS + INSTRUCTIONS
    return folder, asked


def few_new(number: int) -> list[str]:
    return [f"a cup number {n} under a tree" for n in range(number)]


def about(words: str) -> Callable[[str], bool]:
    return lambda body: words in body


CHANGES: dict[str, tuple[Sequence[str], dict[str, object]]] = {
    "1 % more seeds": ([*SEEDS, *few_new(1)], {}),
    "10 % more seeds": ([*SEEDS, *few_new(9)], {}),
    "more seeds at the front": ([*few_new(9), *SEEDS], {}),
    "more seeds in the middle": ([*SEEDS[:45], *few_new(9), *SEEDS[45:]], {}),
    "fewer seeds": (SEEDS[:80], {}),
    "another order": (SEEDS[::-1], {}),
    "smaller partitions": (SEEDS, {"partition_rows": 7}),
    "larger partitions": (SEEDS, {"partition_rows": 1000}),
    "more captions": (SEEDS, {"captions.num": 75}),
    "fewer captions": (SEEDS, {"captions.num": 40, "instructions.num": 12}),
    "more conversations": (SEEDS, {"instructions.num": 30}),
    "another bound of a task": (SEEDS, {f"{TASK}.pairs.min": 2}),
    "another prompt of a task": (SEEDS, {f"{TASK}.prompt": "multiple_choice-v2-short"}),
    "another filter of captions": (SEEDS, {"captions.filters.min_words": 50}),
    "another filter of conversations": (SEEDS, {f"{TASK}.filters.keep_rest": True}),
    "another name": (SEEDS, {"name": "other"}),
    "another encoder and transfer": (
        SEEDS,
        {"representations.encoder": "hashing:8", "representations.transfer": "none"},
    ),
}
NOTHING_NEW = (
    "smaller partitions", "larger partitions", "another order", "fewer captions", "another name",
    "another encoder", "another filter of conversations",
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_no_request_that_has_an_answer_is_made_again(
    change: str, server: ChatServer, first: tuple[Path, list[str]], tmp_path: Path
) -> None:
    seeds, changes = CHANGES[change]
    folder, before = first
    recipe = write_recipe(tmp_path / "recipe", server)
    shutil.copytree(folder / "work", tmp_path / "work")
    (recipe.parent / "seeds.txt").write_text("\n".join(seeds) + "\n")
    need = requests_needed(plan(load_recipe(recipe, changes), tmp_path / "again", tmp_path / "work"))
    asked = built(server, tmp_path / "again", recipe, seeds, changes, tmp_path / "work")
    assert not set(asked) & set(before)
    assert len(set(asked)) == len(asked)
    if change in NOTHING_NEW:
        assert len(asked) <= 3, "a margin of the last wave"
    if "of a task" in change:
        # Only this task's prompt is another.
        prompts = {json.loads(body)["messages"][0]["content"] for body in before}
        assert len([body for body in asked if json.loads(body)["messages"][0]["content"] in prompts]) <= 3
    # The plan counts as if no answer were rejected.
    assert need.captions.asked + need.instructions.asked <= len(asked) + 2
    from_nothing = built(server, tmp_path / "new", recipe, seeds, changes, tmp_path / "new.work")
    assert set(from_nothing) <= set(asked) | set(before)
    assert published_bytes(tmp_path / "again") == published_bytes(tmp_path / "new")


def test_builds_that_name_one_store_share_it(server: ChatServer, first: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = first
    recipe = write_recipe(tmp_path, server)
    (tmp_path / "seeds.txt").write_text("\n".join(SEEDS) + "\n")
    server.bodies.clear()
    store_at.cache_clear()
    shutil.copytree(folder / "work" / "answers", tmp_path / "shared")
    build(load_recipe(recipe), tmp_path / "unicorn", answers=tmp_path / "shared")
    assert server.bodies == []
    assert published_bytes(tmp_path / "unicorn") == published_bytes(folder / "unicorn")
    assert not (tmp_path / "unicorn.work" / "answers").exists()


def test_a_store_elsewhere_is_private(server: ChatServer, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, server)
    (tmp_path / "seeds.txt").write_text("\n".join(SEEDS) + "\n")
    few = load_recipe(recipe, {"captions.num": 4, "instructions.num": 1})
    build(few, tmp_path / "unicorn", answers=tmp_path / "store")
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


def test_another_number_of_workers_asks_for_nothing(
    server: ChatServer, first: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = first
    recipe = write_recipe(tmp_path, server)
    (tmp_path / "seeds.txt").write_text("\n".join(SEEDS) + "\n")
    shutil.copytree(folder / "work", tmp_path / "work")
    for path in tmp_path.glob("work/*-*/*.json"):
        path.unlink()  # All is derived from the answers again.
    server.bodies.clear()
    done = unicorn("build", recipe, "--work-dir", "work", "--out", "unicorn", "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.bodies == []
    for config in ("pretrain", "instruction"):
        assert rows(tmp_path / "unicorn", config) == rows(folder / "unicorn", config)
    shown = json.loads(unicorn("status", "work", "--json", cwd=tmp_path).stdout)
    stages = shown["build"]["stages"]
    assert shown["num_answers"] > CAPTIONS
    assert sum(stage["num_asked"] for stage in stages) == 0
    assert sum(stage["num_found"] for stage in stages) >= CAPTIONS + INSTRUCTIONS


def test_clean_keeps_the_answers_when_it_is_told_to(
    server: ChatServer, first: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = first
    shutil.copytree(folder / "work", tmp_path / "unicorn.work")
    assert unicorn("clean", "unicorn", "--keep-answers", cwd=tmp_path).returncode == 0
    assert [path.name for path in (tmp_path / "unicorn.work").iterdir()] == ["answers"]
    recipe = write_recipe(tmp_path, server)
    assert built(server, tmp_path / "unicorn", recipe, SEEDS, {}, tmp_path / "unicorn.work") == []
    assert unicorn("clean", "unicorn", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "unicorn.work").exists()
