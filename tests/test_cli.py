"""The command as its users meet it: help, messages, exit codes; nothing half-written."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from tests.builds import ECHO, rows, unicorn, write_seeds
from unicorn_hf.cli import main
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.engines import EchoEngine, EndpointEngine, VllmEngine

HEAVY = ("torch", "vllm", "dask", "distributed", "transformers", "datasets", "pyarrow", "numpy")


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, unicorn_hf.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_command_and_option_has_help() -> None:
    from unicorn_hf.cli import main

    for name, sub in main.commands.items():
        assert sub.help and "Example:" in sub.help, name
        for parameter in sub.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name}"  # type: ignore[attr-defined]


def test_version(tmp_path: Path) -> None:
    assert "unicorn-hf, version" in unicorn("--version", cwd=tmp_path).stdout


def test_dry_run_touches_nothing(tmp_path: Path) -> None:
    done = unicorn("build", *ECHO, "--captions", 12, "--dry-run", "--instructions", 3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12" in done.stdout
    assert "hashing:64" in done.stdout
    assert not list(tmp_path.iterdir())


def test_dry_run_of_the_papers_recipe(tmp_path: Path) -> None:
    done = unicorn("build", "unicorn-1.2m", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1,243,195" in done.stdout
    assert "471,000" in done.stdout
    assert "Qwen/Qwen2.5-72B-Instruct" in done.stdout
    assert "llm2clip:microsoft/LLM2CLIP-Openai-L-14-336" in done.stdout
    other = unicorn("build", "unicorn-1.2m", "--encoder", "hashing:64", "--dry-run", cwd=tmp_path)
    assert "hashing:64" in other.stdout
    assert "llm2clip" not in other.stdout


def test_a_build_shows_rows_and_how_to_load_them(tmp_path: Path) -> None:
    done = unicorn("build", *ECHO, "--captions", 8, "--instructions", 3, "--out", "made/my set", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'load_dataset("made/my set", "pretrain", split="train")' in done.stdout
    assert "8 captions and 3 conversations" in done.stdout
    assert "report 'made/my set'\n" in done.stdout
    assert rows(tmp_path / "made/my set", "pretrain")[0]["caption"][:60] in done.stdout
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["my set", "my set.work"]

    cleaned = unicorn("clean", "made/my set", cwd=tmp_path)
    assert cleaned.returncode == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["my set"]
    assert len(rows(tmp_path / "made/my set", "pretrain")) == 8


BAD_INPUT: list[tuple[list[str], list[str]]] = [
    (["--seeds", "none.txt"], ["no seed file", "none.txt"]),
    (["--seeds", "empty.txt"], ["no seeds in", "empty"]),
    (["--seeds", "blank.txt"], ["no seeds in", "blank"]),
    (["--seeds", "table.csv", "--seed-column", "text"], ["no column 'text'", "'id', 'prompt'"]),
    (["--seeds", "table.csv"], ["no column caption or text", "--seed-column"]),
    (["--seeds", "latin.txt"], ["latin.txt, line 2", "not UTF-8"]),
    (["--seeds", "german.txt"], ["the seeds are in German", "--language de", "seeds.languages=de"]),
    (["--language", "fr"], ["echo has no sentences in French", "German"]),
    (["--language", "Chinese"], ["language", "zh, not Chinese"]),
    (["--seeds", "seeds.docx"], ["seeds.docx", ".parquet"]),
    (["--seed-column", "prompt"], ["--seed-column requires --seeds", "column: NAME"]),
    (["--captions", "0"], ["--captions"]),
    (["--captions", "-5"], ["--captions"]),
    (["--captions", "5", "--instructions", "6"], ["more instructions (6) than captions (5)"]),
    (["--out", "full"], ["full", "not a build of unicorn-hf"]),
    (["--out", "full/notes.txt"], ["full/notes.txt"]),
    (["--work-dir", "unicorn/work"], ["work folder"]),
    (["--encoder", "hashing:0"], ["hashing takes a dimension"]),
    (["--encoder", "hashin:64"], ["Did you mean hashing"]),
    (["--encoder", "open_clip:ViT-B-32"], ["the pretrained weights are missing"]),
    (["--transfer", "means"], ["--transfer"]),
    (["--llm", "some/model"], ["--llm", "--engine echo"]),
    (["--base-url", "http://127.0.0.1"], ["--base-url", "--engine echo"]),
    (["--engine", "vllm", "--base-url", "http://127.0.0.1"], ["--base-url", "--engine endpoint"]),
    (["--engine", "endpoint", "--llm", "m"], ["no base_url for endpoint", "--base-url"]),
    (["--engine", "endpoint", "--base-url", "http://127.0.0.1"], ["no model for endpoint", "--llm"]),
    (["--engine", "endpoint", "--llm", "m", "--base-url", "http://u:p@h"], ["engine", "a user, password"]),
    (["--push", "no-slash"], ["no-slash", "ORG/NAME"]),
    (["--workers", "0"], ["--workers"]),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text("\n  \n\t\n")
    (tmp_path / "table.csv").write_text("id,prompt\n1,a red jar\n")
    (tmp_path / "latin.txt").write_bytes("a jar\na café\n".encode("latin-1"))
    (tmp_path / "german.txt").write_text("eine Katze auf dem Sofa\nder Hund im Garten\ndas Haus am Fluss\n")
    (tmp_path / "seeds.docx").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(("options", "told"), BAD_INPUT, ids=lambda value: " ".join(value))
def test_bad_input_is_told_and_leaves_nothing(options: list[str], told: list[str], place: Path) -> None:
    before = sorted(place.rglob("*"))
    done = unicorn("build", *ECHO, *options, cwd=place)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for words in told:
        assert words in done.stderr
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("demoo", None, ["unknown recipe 'demoo'", "Did you mean demo?"]),
        ("mine.yaml", None, ["no recipe file mine.yaml"]),
        ("mine.yaml", "captions: {num: 3\n", ["mine.yaml", "not valid YAML"]),
        ("mine.yaml", "captions:\n  nums: 3\n", ["mine.yaml:2", "unknown key captions.nums", "did you mean num?"]),
        ("mine.yaml", "captions:\n  num: many\n", ["mine.yaml:2", "captions.num", "'many'"]),
    ],
)
def test_bad_recipes_are_told(name: str, text: str | None, told: list[str], tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    done = unicorn("build", name, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for words in told:
        assert words in done.stderr


def test_a_model_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for llm, told in (("./model", "not a model folder"), ("./nowhere", "no model folder")):
        done = unicorn("build", "--llm", llm, "--encoder", "hashing:8", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_who_names_a_model_and_no_recipe_learns_whose_prompts_are_used(tmp_path: Path) -> None:
    told = "so the recipe is demo: its prompts and filters are for tiny models"
    model = ["--engine", "endpoint", "--base-url", "http://127.0.0.1:1/v1", "--llm", "m", "--encoder", "hashing:8"]
    for arguments, is_told in ((model, True), (["demo", *model], False), (ECHO, False)):
        done = unicorn("build", *arguments, "--dry-run", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (told in done.stderr) == is_told


def test_too_few_seeds_stop_with_the_counts(tmp_path: Path) -> None:
    recipe = tmp_path / "one.yaml"
    write_seeds(tmp_path / "seeds.txt", 5)
    recipe.write_text(
        "seeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        "captions: {num: 6, captions_per_seed: 1}\ninstructions: {num: 2}\nrepresentations: {encoder: 'hashing:8'}\n"
    )
    done = unicorn("build", recipe, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "only 5 of 6 captions" in done.stderr
    assert not (tmp_path / "unicorn").exists()
    assert (tmp_path / "unicorn.work").exists()


def test_a_build_of_ours_is_replaced_and_another_folder_is_not(tmp_path: Path) -> None:
    arguments = ["build", *ECHO, "--instructions", 2]
    assert unicorn(*arguments, "--captions", 4, cwd=tmp_path).returncode == 0
    assert unicorn(*arguments, "--captions", 6, cwd=tmp_path).returncode == 0
    assert len(rows(tmp_path / "unicorn", "pretrain")) == 6


@pytest.fixture
def recipe_of_build(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """The recipe that a command line comes to."""
    planned: list[Recipe] = []

    def plan(recipe: Recipe, *_: object) -> NoReturn:
        planned.append(recipe)
        raise InputError("enough")

    monkeypatch.setattr("unicorn_hf.pipeline.planning.plan", plan)

    def recipe_of(*arguments: object) -> Recipe:
        planned.clear()
        told = CliRunner().invoke(main, ["build", *map(str, arguments)]).output
        assert planned, told
        return planned[0]

    return recipe_of


def test_llm_replaces_the_model_and_its_revision_and_nothing_else(
    recipe_of_build: Callable[..., Recipe], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "seeds: {sources: [{path: seeds.txt, kind: file}]}\ncaptions: {num: 6}\ninstructions: {num: 2}\n"
        "representations: {encoder: 'hashing:8'}\n"
        "engine: {kind: vllm, model: org/one, revision: v7, max_model_len: 4096, tensor_parallel_size: 4}\n"
    )
    engine = recipe_of_build(path, "--llm", "org/two").engine
    assert engine == VllmEngine(model="org/two", max_model_len=4096, tensor_parallel_size=4)
    assert recipe_of_build(path, "--llm", "org/two", "--engine", "vllm").engine == engine
    assert recipe_of_build(path).engine == engine.model_copy(update={"model": "org/one", "revision": "v7"})
    assert recipe_of_build(path, "--engine", "echo").engine == EchoEngine()
    urls = ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    several = EndpointEngine(kind="endpoint", base_url=urls, model="org/two")
    assert recipe_of_build(path, "--base-url", urls[0], "--base-url", urls[1], "--llm", "org/two").engine == several
    endpoint = EndpointEngine(kind="endpoint", base_url="http://127.0.0.1/v1", model="org/two")
    assert recipe_of_build(path, "--base-url", "http://127.0.0.1/v1", "--llm", "org/two").engine == endpoint


def test_any_key_of_a_recipe_can_be_set(recipe_of_build: Callable[..., Recipe]) -> None:
    rehearsal = ("demo", "--engine", "echo", "--encoder", "hashing:8")
    recipe = recipe_of_build(
        *rehearsal, "--captions", 9, "--instructions", 3,
        "--set", "captions.sampling.temperature=0.3", "--set", "captions.filters.unsafe_words=[zebra, 'a=b']",
    )  # fmt: skip
    assert recipe.captions.num == 9
    assert recipe.captions.sampling.temperature == 0.3
    assert recipe.captions.filters.unsafe_words == ("zebra", "a=b")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("captions.num", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("captions.num=[", "expected KEY=VALUE"),
        ("captions.sampling.temprature=1", "temperature"),
        ("captions.num=many", "captions.num"),
    ],
)
def test_a_setting_that_is_none_is_told(setting: str, told: str) -> None:
    result = CliRunner().invoke(main, ["build", "demo", "--engine", "echo", "--dry-run", "--set", setting])
    assert result.exit_code == 2
    assert told in result.output


def test_a_recipes_server_keeps_its_settings(recipe_of_build: Callable[..., Recipe], tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text(
        "seeds: {sources: [{path: seeds.txt, kind: file}]}\ncaptions: {num: 6}\ninstructions: {num: 2}\n"
        "representations: {encoder: 'hashing:8'}\n"
        "engine: {kind: endpoint, base_url: 'http://127.0.0.1:1/v1', model: one, concurrency: 7}\n"
    )
    engine = EndpointEngine(kind="endpoint", base_url="http://127.0.0.1:1/v1", model="two", concurrency=7)
    assert recipe_of_build(path, "--llm", "two").engine == engine
    elsewhere = engine.model_copy(update={"base_url": "http://127.0.0.1:2/v1", "model": "one"})
    assert recipe_of_build(path, "--base-url", "http://127.0.0.1:2/v1").engine == elsewhere


def test_a_recipe_without_a_model_takes_one(recipe_of_build: Callable[..., Recipe], tmp_path: Path) -> None:
    path = tmp_path / "echo.yaml"
    path.write_text(
        "seeds: {sources: [{path: seeds.txt, kind: file}]}\ncaptions: {num: 6}\ninstructions: {num: 2}\n"
        "representations: {encoder: 'hashing:8'}\nengine: {kind: echo}\n"
    )
    assert recipe_of_build(path, "--llm", "org/two").engine == VllmEngine(model="org/two")
    told = CliRunner().invoke(main, ["build", str(path), "--engine", "vllm"])
    assert told.exit_code == 2
    assert "has no model for vllm" in told.stderr
