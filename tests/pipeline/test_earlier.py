import json
from pathlib import Path

from tests.builds import SHARED, published_bytes, unicorn, write_seeds
from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.pipeline.earlier import remember, told

RECIPE = (
    "partition_rows: 50\nseeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
    "captions: {num: 60}\ninstructions: {num: 20}\nrepresentations: {encoder: 'hashing:64'}\n"
)


def lines(work_dir: Path, before: dict[str, object], after: dict[str, object], *, has_seeds: bool = True) -> list[str]:
    remember(work_dir, load_recipe("demo", before))
    stages = {"captions": work_dir / "captions-1"}
    return told(work_dir, load_recipe("demo", after), stages, has_seeds=lambda: has_seeds)


def test_a_first_run_says_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, load_recipe("demo"), {}, has_seeds=lambda: False) == []


def test_changed_keys_are_told_with_both_values(tmp_path: Path) -> None:
    assert lines(tmp_path, {"captions.num": 50}, {"captions.num": 60, "language": ["de"]}) == [
        "the recipe has changed since the last run here:",
        "  language: [de], was [en]",
        "  captions.num: 60, was 50",
        "  captions: from the start",
    ]


def test_what_no_row_depends_on_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "captions-1").mkdir()
    (tmp_path / "captions-1" / "000-00000.json").touch()
    told = lines(tmp_path, {"cluster.workers": 1}, {"cluster.workers": 2, "price.per_worker_hour": 1})
    assert told == ["resumes an earlier run: captions: 1 partition done"]


def test_a_key_that_the_version_before_did_not_have_is_no_change(tmp_path: Path) -> None:
    remember(tmp_path, load_recipe("demo"))
    path = tmp_path / "recipe.json"
    data = json.loads(path.read_text())
    del data["imported"], data["captions"]["near_duplicates"]
    path.write_text(json.dumps(data))
    assert told(tmp_path, load_recipe("demo"), {}, has_seeds=lambda: True)[0].startswith("resumes an earlier run")


def test_stored_answers_are_told(tmp_path: Path) -> None:
    stored = "1,200 stored answers, which are not requested again"
    stages = {"captions": tmp_path / "captions-1"}
    # Of another build with the same store.
    assert told(tmp_path, load_recipe("demo"), stages, num_answers=1200, has_seeds=lambda: True) == [stored]
    remember(tmp_path, load_recipe("demo"))
    assert told(tmp_path, load_recipe("demo"), stages, num_answers=1200, has_seeds=lambda: True) == [
        f"resumes an earlier run: captions: from stored answers; {stored}"
    ]


def test_a_run_that_left_nothing_is_not_resumed(tmp_path: Path) -> None:
    remember(tmp_path, load_recipe("demo"))
    assert told(tmp_path, load_recipe("demo"), {"captions": tmp_path / "captions-1"}, has_seeds=lambda: True) == []


def test_a_damaged_memory_is_none(tmp_path: Path) -> None:
    remember(tmp_path, load_recipe("demo"))
    (tmp_path / "recipe.json").write_text("{")
    assert told(tmp_path, load_recipe("demo"), {}, has_seeds=lambda: True) == []


def test_it_is_told_before_anything_is_made_and_the_set_is_as_a_new_one(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.txt", 200)
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def told_by_a_build(*options: str) -> str:
        done = unicorn("build", "recipe.yaml", *SHARED, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr.partition("captions: 0 of")[0]

    assert told_by_a_build() == ""
    assert told_by_a_build("--set", "captions.filters.min_words=12") == (
        "the recipe has changed since the last run here:\n"
        "  captions.filters.min_words: 12, was 40\n"
        "  captions: from stored answers\n"
        "  instructions: 2 partitions done, reused if the captions are the same\n"
        "  representations: 2 partitions done, reused if the captions are the same\n"
        "  86 stored answers, which are not requested again\n"
    )
    told_by_a_build("--set", "captions.filters.min_words=12", "--out", "new")
    assert published_bytes(tmp_path / "unicorn") == published_bytes(tmp_path / "new")
    write_seeds(tmp_path / "seeds.txt", 100)
    assert "seeds: prepared again; captions: 2 partitions done, reused if the seeds are the same" in told_by_a_build(
        "--set", "captions.filters.min_words=12"
    )
