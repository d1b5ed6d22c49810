"""A good build is found good; each way of corrupting it is found, at its place, and nothing else is."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builds import published_bytes, unicorn, write_seeds
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import InputError, build, load_recipe
from unicorn_hf.builders.sketch import Sketch
from unicorn_hf.builders.validate import Report, validate_folder

NUM_CAPTIONS, NUM_INSTRUCTIONS, DIM = 60, 24, 16
Row = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of several shards."""
    folder = tmp_path_factory.mktemp("made")
    recipe = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt", 100))}],
        "captions.num": NUM_CAPTIONS,
        "instructions.num": NUM_INSTRUCTIONS,
        "representations.encoder": f"hashing:{DIM}",
        "partition_rows": 16,
        "packaging.rows_per_shard": 20,
        "cluster.kind": share_workers(),
    }
    build(load_recipe("demo", recipe), folder / "unicorn")
    return folder / "unicorn"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "unicorn"))


def shard(folder: Path, config: str, number: int = 0) -> Path:
    return sorted((folder / config).glob("*.parquet"))[number]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def rewrite(path: Path, change: Callable[[list[Row]], object]) -> None:
    """Change the rows of a shard, so that its own size and hash are still what the statistics and the card say."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    state(path, pa.Table.from_pylist(rows, schema=table.schema))


def state(path: Path, table: pa.Table) -> None:
    path.unlink()  # not through the link: the copy's files may be another's
    pq.write_table(table, path)
    folder = path.parent.parent
    facts = json.loads((folder / "statistics.json").read_text())
    config = facts[path.parent.name]
    before = config["num_file_bytes"]
    for said in config["shards"]:
        if said["file"] == name(path):
            said |= {"num_bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    config["num_file_bytes"] = sum(said["num_bytes"] for said in config["shards"])
    (folder / "statistics.json").write_text(json.dumps(facts))
    swap(folder / "README.md", f"download_size: {before}\n", f"download_size: {config['num_file_bytes']}\n")


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def found(report: Report) -> list[tuple[str, str, int | None, str | None]]:
    assert report.valid == (not report.problems)
    assert report.num_problems == sum(kind.num for kind in report.problems)
    return [(kind.kind, p.file, p.row, p.field) for kind in report.problems for p in kind.first]


def test_a_good_build_is_valid(made: Path) -> None:
    before = published_bytes(made)
    report = validate_folder(made)
    assert (report.valid, report.problems) == (True, ())
    assert report.num_rows == {"pretrain": NUM_CAPTIONS, "instruction": NUM_INSTRUCTIONS}
    assert published_bytes(made) == before


@pytest.mark.parametrize("settings", [{"dtype": "float32"}, {"transfer": "none"}])
def test_other_forms_are_valid(settings: dict[str, str], tmp_path: Path) -> None:
    recipe = {"engine": {"kind": "echo"}, "captions.num": 9, "instructions.num": 3, "cluster.kind": share_workers()}
    more = {f"representations.{key}": value for key, value in settings.items()}
    build(load_recipe("demo", {**recipe, "representations.encoder": "hashing:64", **more}), tmp_path / "unicorn")
    assert found(validate_folder(tmp_path / "unicorn")) == []


def turns(row: Row) -> list[dict[str, str]]:
    return row["conversations"]  # type: ignore[no-any-return]


def rename(row: Row, place: int, sender: str) -> None:
    turns(row)[place]["from"] = sender


def say(row: Row, place: int, value: str | None) -> None:
    turns(row)[place]["value"] = value  # type: ignore[typeddict-item, assignment]


def stretch(row: Row, factor: float) -> None:
    row["image_embedding"] = [np.float16(value * factor) for value in row["image_embedding"]]


Change = Callable[[Row], object]
LATER_IMAGE: Change = lambda row: say(row, 2, f"<image>\n{turns(row)[2]['value']}")  # noqa: E731
NO_IMAGE: Change = lambda row: say(row, 0, turns(row)[0]["value"].replace("<image>\n", ""))  # noqa: E731
BAD_ROWS: dict[str, tuple[str, Change, str, str]] = {
    "two humans": ("instruction", lambda row: rename(row, 1, "human"), "roles", "conversations"),
    "gpt first": ("instruction", lambda row: turns(row).reverse(), "roles", "conversations"),
    "unknown sender": ("pretrain", lambda row: rename(row, 0, "user"), "roles", "conversations"),
    "null turn": ("instruction", lambda row: say(row, 2, None), "empty", "conversations"),
    "blank turn": ("instruction", lambda row: say(row, 2, " \n"), "empty", "conversations"),
    "no image": ("instruction", NO_IMAGE, "image", "conversations"),
    "image twice": ("instruction", LATER_IMAGE, "image", "conversations"),
    "image at the end": (
        "pretrain", lambda row: say(row, 0, f"{turns(row)[0]['value'][8:]}\n<image>"), "image", "conversations",
    ),
    "another answer than the caption": ("pretrain", lambda row: say(row, 1, "A dog."), "description", "conversations"),
    "a vector of norm 2": ("pretrain", lambda row: stretch(row, 2), "norm", "image_embedding"),
    "a vector of zeros": ("pretrain", lambda row: stretch(row, 0), "zero", "image_embedding"),
    "a control character": ("instruction", lambda row: say(row, 2, "What?\0"), "control", "conversations"),
    "no vector": ("pretrain", lambda row: row.update(image_embedding=None), "empty", "image_embedding"),
    "an infinite number": ("pretrain", lambda row: stretch(row, float("inf")), "not_finite", "image_embedding"),
    "null in a vector": (
        "pretrain", lambda row: row.update(image_embedding=[None, *row["image_embedding"][1:]]), "not_finite",
        "image_embedding",
    ),
    "blank seed": ("pretrain", lambda row: row.update(seed="  "), "empty", "seed"),
    "null domain": ("pretrain", lambda row: row.update(domain=None), "empty", "domain"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_told_with_its_place(case: str, folder: Path) -> None:
    config, change, kind, field = BAD_ROWS[case]
    path = shard(folder, config)
    # A caption that has no conversation, so that nothing but this row is wrong.
    others = {
        row["id"] for other in (folder / "instruction").glob("*.parquet") for row in pq.read_table(other).to_pylist()
    }
    rows_now = pq.read_table(path).to_pylist()
    if config == "pretrain":
        row = next(n for n, r in enumerate(rows_now) if r["id"] not in others)
    else:
        row = next(n for n, r in enumerate(rows_now) if r["task"] != "multiple_choice")
    rewrite(path, lambda rows: change(rows[row]))
    problems = [problem for problem in found(validate_folder(folder)) if problem[1] != "statistics.json"]
    assert problems == [(kind, name(path), row, field)]


BAD_CHOICES: dict[str, Change] = {
    "an answer in words": lambda row: say(row, 3, "The red one"),
    "an answer that is no option": lambda row: say(row, 3, "E"),
    "no options": lambda row: say(row, 2, "What is it?"),
    "three options": lambda row: say(row, 2, turns(row)[2]["value"].rsplit("\n", 1)[0]),
    "two that are the same": lambda row: say(row, 2, "What is it?\nA. red\nB. blue\nC. Red!\nD. green"),
    "an empty option": lambda row: say(row, 2, "What is it?\nA. red\nB. ?\nC. grey\nD. green"),
    "letters out of order": lambda row: say(row, 2, "What is it?\nA. red\nC. blue\nB. grey\nD. green"),
}


@pytest.mark.parametrize("case", BAD_CHOICES)
def test_a_bad_choice_is_told(case: str, folder: Path) -> None:
    path = shard(folder, "instruction")
    row = next(n for n, r in enumerate(pq.read_table(path).to_pylist()) if r["task"] == "multiple_choice")
    rewrite(path, lambda rows: BAD_CHOICES[case](rows[row]))
    report = validate_folder(folder)
    # Other words are other figures too.
    problems = [problem for problem in found(report) if problem[1] != "statistics.json"]
    assert problems == [("choices", name(path), row, "conversations")]
    assert report.problems[0].first[0].message.startswith("turn 2: ")


def test_pairs_are_as_many_as_the_recipe_says(folder: Path) -> None:
    path = shard(folder, "instruction")
    rewrite(path, lambda rows: rows[3].update(conversations=turns(rows[3]) * 9))
    kinds = {problem[:4] for problem in found(validate_folder(folder))}
    assert ("pairs", name(path), 3, "conversations") in kinds
    assert ("counts", "statistics.json", None, "instruction.num_turns") in kinds


def test_an_unknown_task(folder: Path) -> None:
    path = shard(folder, "instruction")
    rewrite(path, lambda rows: rows[0].update(task="poetry"))
    assert found(validate_folder(folder)) == [
        ("task", name(path), 0, "task"),
        ("counts", "statistics.json", None, "instruction.per_task"),
    ]


def test_ids_come_once_over_all_shards(folder: Path) -> None:
    first, last = shard(folder, "pretrain"), shard(folder, "pretrain", -1)
    wanted = pq.read_table(first).column("id")[3].as_py()
    rewrite(last, lambda rows: rows[1].update(id=wanted))
    report = validate_folder(folder)
    problems = {kind.kind: kind.first for kind in report.problems}
    assert [(p.file, p.row, p.field) for p in problems["duplicate_id"]] == [(name(last), 1, "id")]
    assert problems["duplicate_id"][0].message == f"{name(first)} row 3 already has this id"


def test_null_and_blank_ids(folder: Path) -> None:
    path = shard(folder, "instruction")
    rewrite(path, lambda rows: [rows[place].update(id=value) for place, value in ((1, None), (2, None), (4, ""))])
    report = validate_folder(folder)
    assert {(kind.kind, kind.num) for kind in report.problems} == {("empty", 3), ("join", 3)}


def test_conversations_join_captions(folder: Path) -> None:
    path = shard(folder, "instruction")
    wanted = {"id": "0" * 24, "caption": "Another.", "seed": "another", "domain": "another"}

    def change(rows: list[Row]) -> None:
        for place, (field, value) in enumerate(wanted.items()):
            rows[place][field] = value
        rows[9]["image_embedding"] = rows[8]["image_embedding"]

    rewrite(path, change)
    problems = {problem for problem in found(validate_folder(folder)) if problem[0] == "join"}
    assert problems == {("join", name(path), place, field) for place, field in enumerate(wanted)} | {
        ("join", name(path), 9, "image_embedding")
    }


def test_problems_of_a_kind_are_counted_and_the_first_told(folder: Path) -> None:
    for path in (folder / "pretrain").glob("*.parquet"):
        rewrite(path, lambda rows: [stretch(row, 3) for row in rows])
    report = validate_folder(folder, first=4)
    kinds = {kind.kind: kind for kind in report.problems}
    assert kinds["norm"].num == NUM_CAPTIONS
    assert [p.row for p in kinds["norm"].first] == [0, 1, 2, 3]
    assert any(line.endswith(f"and {NUM_CAPTIONS - 4} more") for line in report.lines())


# Shards and schemas.


def recast(table: pa.Table, column: str, to: pa.DataType) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, table[column].cast(to))


def test_a_changed_byte(folder: Path) -> None:
    path = shard(folder, "pretrain", 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.unlink()
    path.write_bytes(content)
    kinds = {(problem[0], problem[1]) for problem in found(validate_folder(folder))}
    assert ("hash", name(path)) in kinds


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not Parquet" * 100])
def test_a_file_that_is_no_parquet(content: bytes, folder: Path) -> None:
    path = shard(folder, "instruction")
    path.unlink()
    path.write_bytes(content)
    kinds = {(problem[0], problem[1]) for problem in found(validate_folder(folder))}
    assert {("unreadable", name(path)), ("hash", name(path)), ("counts", "README.md")} <= kinds


def test_a_shard_that_is_cut_off(folder: Path) -> None:
    path = shard(folder, "instruction")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    assert ("unreadable", name(path), None, None) in found(validate_folder(folder))


def test_a_missing_and_an_unlisted_shard(folder: Path) -> None:
    path = shard(folder, "pretrain", 1)
    path.rename(path.with_name("train-mine.parquet"))
    assert found(validate_folder(folder))[:2] == [
        ("missing_file", "statistics.json", None, None),
        ("unlisted_file", "pretrain/train-mine.parquet", None, None),
    ]


def test_a_row_that_is_missing(folder: Path) -> None:
    path = shard(folder, "pretrain", -1)
    rewrite(path, lambda rows: rows.pop())
    problems = found(validate_folder(folder))
    assert {("counts", name(path), None, None), ("counts", "recipe.yaml", None, "captions.num")} <= set(problems)
    assert ("counts", "README.md", None, "dataset_info.pretrain.splits.train.num_examples") in problems
    assert ("counts", "statistics.json", None, "pretrain.num_rows") in problems


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda t: t.drop_columns(["seed"]), "seed"),
        (lambda t: t.append_column("path", t["id"]), "path"),
        (lambda t: recast(t, "id", pa.large_string()), "id"),
        (lambda t: recast(t, "image_embedding", pa.list_(pa.float32(), DIM)), "image_embedding"),
        (lambda t: recast(t, "image_embedding", pa.list_(pa.float16())), "image_embedding"),
        (lambda t: t.select([1, 0, 2, 3, 4, 5]), None),
    ],
    ids=["a column less", "a column more", "large strings", "float32", "lists of any size", "another order"],
)  # fmt: skip
def test_another_schema(change: Callable[[pa.Table], pa.Table], field: str | None, folder: Path) -> None:
    path = shard(folder, "pretrain", 1)
    state(path, change(pq.read_table(path)))
    assert ("schema", name(path), None, field) in found(validate_folder(folder))


# What the set says of itself.


@pytest.mark.parametrize("file", ["README.md", "recipe.yaml", "statistics.json", "transfer.safetensors"])
def test_a_missing_file(file: str, folder: Path) -> None:
    (folder / file).unlink()
    report = validate_folder(folder)
    assert found(report) == [("missing_file", file, None, None)]
    assert "hf download" in list(report.lines())[-1]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[" * 100_000, b"{}", b"null", b'{"pretrain": 3}', b"a: [b"])
@pytest.mark.parametrize("file", ["README.md", "recipe.yaml", "statistics.json", "transfer.safetensors"])
def test_a_file_that_is_something_else(file: str, content: bytes, folder: Path) -> None:
    (folder / file).write_bytes(content)
    assert {problem[1] for problem in found(validate_folder(folder))} == {file}


CARDS: dict[str, tuple[str, str, str]] = {
    "a wrong number of rows": (
        f"num_examples: {NUM_CAPTIONS}", "num_examples: 61", "dataset_info.pretrain.splits.train.num_examples",
    ),
    "a wrong length": (f"length: {DIM}", "length: 17", "dataset_info.pretrain.features.image_embedding"),
    "another type": ("sequence: float16", "sequence: float32", "dataset_info.pretrain.features.image_embedding"),
    "another column": ("- name: seed\n", "- name: seeds\n", "dataset_info.pretrain.features.seed"),
    "a wrong size": ("download_size: ", "download_size: 1", "dataset_info.pretrain.download_size"),
    "a type of its own": ("sequence: float16", "sequence: complex", "dataset_info"),
    "a turn's part without a name": ("- name: value\n", "- name: null\n", "dataset_info.pretrain.features"),
    "no dataset_info": ("dataset_info:", "data_info:", "dataset_info"),
    "no configs": ("configs:", "config:", "configs"),
    "another folder": ("path: instruction/", "path: instructions/", "configs.instruction"),
    "the other default": ("  default: true\n", "", "configs"),
    "another config": ("- config_name: instruction\n", "- config_name: chat\n", "configs.instruction"),
}  # fmt: skip


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_says_something_else_than_the_data(case: str, folder: Path) -> None:
    old, new, field = CARDS[case]
    swap(folder / "README.md", old, new)
    problems = found(validate_folder(folder))
    assert {problem[1] for problem in problems} == {"README.md"}
    assert field in [problem[3] for problem in problems]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (f'"num_turns": {NUM_CAPTIONS}', '"num_turns": 61', "pretrain.num_turns"),
        ('"open-domain": 60', '"open-domain": 59', "pretrain.per_domain"),
    ],
)
def test_statistics_that_the_rows_do_not_bear_out(old: str, new: str, field: str, folder: Path) -> None:
    swap(folder / "statistics.json", old, new)
    assert found(validate_folder(folder)) == [("counts", "statistics.json", None, field)]


def test_a_sketch_that_is_not_that_of_the_captions(folder: Path) -> None:
    facts = json.loads((folder / "statistics.json").read_text())
    sketch = Sketch.of(["captions of another set"])
    (folder / "statistics.json").write_text(json.dumps(facts | {"sketch": sketch.model_dump(mode="json")}))
    assert found(validate_folder(folder)) == [("counts", "statistics.json", None, "sketch")]
    newer = sketch.model_copy(update={"form": 2}).model_dump(mode="json")
    (folder / "statistics.json").write_text(json.dumps(facts | {"sketch": newer}))
    assert found(validate_folder(folder)) == []


def test_a_recipe_of_another_set(folder: Path) -> None:
    swap(folder / "recipe.yaml", f"num: {NUM_INSTRUCTIONS}", "num: 23")
    swap(folder / "recipe.yaml", "dtype: float16", "dtype: float32")
    assert found(validate_folder(folder)) == [
        ("counts", "recipe.yaml", None, "instructions.num"),
        ("recipe", "recipe.yaml", None, "representations.dtype"),
    ]


def test_a_transfer_that_is_not_finite(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "transfer.safetensors")
    tensors["text_mean"][0] = np.nan
    save_file(tensors, folder / "transfer.safetensors")
    assert found(validate_folder(folder)) == [("not_finite", "transfer.safetensors", None, "text_mean")]


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    report = validate_folder(tmp_path)
    assert {problem[0] for problem in found(report)} == {"missing_file"}
    assert report.num_rows == {"pretrain": 0, "instruction": 0}
    with pytest.raises(InputError, match="is not a folder"):
        validate_folder(tmp_path / "none")


# The command.


def test_the_command_on_a_folder(folder: Path) -> None:
    done = unicorn("validate", "unicorn", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("unicorn is valid: read 60 rows of pretrain and 24 rows of instruction")

    path = shard(folder, "pretrain")
    rewrite(path, lambda rows: say(rows[7], 0, "\x1b[31m no image\n{{ x }}"))
    done = unicorn("validate", "unicorn", cwd=folder.parent)
    assert done.returncode == 1, done.stderr
    assert f"{name(path)}, row 7, conversations: it contains <image> 0 times" in done.stdout
    assert "unicorn is not valid" in done.stdout
    assert "\x1b" not in done.stdout

    done = unicorn("validate", "unicorn", "--json", cwd=folder.parent)
    assert done.returncode == 1, done.stderr
    report = Report.model_validate_json(done.stdout)
    kinds = ("control", "image")
    assert found(report) == [(kind, name(path), 7, "conversations") for kind in kinds]


@pytest.mark.parametrize("arguments", [["nowhere"], ["no/such/place"], ["unicorn", "--revision", "main"]])
def test_the_command_on_nothing(arguments: list[str], folder: Path) -> None:
    done = unicorn("validate", *arguments, cwd=folder.parent)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_on_the_hub(folder: Path, hub: HubServer, hub_client: HubClient) -> None:
    repo_id = f"{hub.user}/unicorn"
    assert hub_client.command("push", str(folder), repo_id).returncode == 0
    good = hub.repositories[repo_id].head.oid
    done = hub_client.command("validate", repo_id, "--json")
    assert done.returncode == 0, done.stderr
    assert Report.model_validate_json(done.stdout).data_set == repo_id

    swap(folder / "README.md", "num_examples: 60", "num_examples: 6")
    refused = hub_client.command("push", str(folder), repo_id)
    assert refused.returncode == 2, refused.stdout
    assert "num_examples: 6, but the shards have 60 rows" in refused.stderr
    push = "import sys, pathlib, unicorn_hf.hub; unicorn_hf.hub.push_folder(pathlib.Path(sys.argv[1]), sys.argv[2])"
    assert hub_client.run(push, str(folder), repo_id).returncode == 0
    done = hub_client.command("validate", repo_id)
    assert done.returncode == 1, done.stderr
    assert re.search(r"README\.md, dataset_info\.pretrain\S+: 6, but the shards have 60 rows", done.stdout)
    assert hub_client.command("validate", repo_id, "--revision", good).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "exit_code", "told"),
    [
        (["unicorn-maker/nothing"], {}, 2, "there is no data set unicorn-maker/nothing"),
        (["unicorn-maker/unicorn", "--revision", "v9"], {}, 2, "has no branch, tag or commit v9"),
        (["unicorn-maker/unicorn"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, 1, "cannot be reached"),
        (["unicorn-maker/unicorn"], {"HF_HUB_OFFLINE": "1"}, 1, "the Hub is disabled"),
        (["unicorn-maker/unicorn"], {"HF_TOKEN": "hf_wrong"}, 1, "refuses the token"),
    ],
)
def test_the_hub_has_not_got_it(
    arguments: list[str],
    environment: dict[str, str | None],
    exit_code: int,
    told: str,
    hub: HubServer,
    hub_client: HubClient,
) -> None:
    hub.add_repository("unicorn-maker/unicorn")
    done = hub_client.command("validate", *arguments, env=environment)
    assert done.returncode == exit_code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


PEAK = """
import sys, re
from pathlib import Path
from unicorn_hf.builders.validate import validate_folder
def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
validate_folder(sys.argv[1])
before = peak_mb()
validate_folder(sys.argv[2])
print(peak_mb() - before)
"""


def test_memory_does_not_grow_with_the_set(made: Path, tmp_path: Path) -> None:
    """After a set of 60 rows, one of 30,000 with vectors of 1,024: as float32 they alone are 123 MB."""
    folder = Path(shutil.copytree(made, tmp_path / "large"))
    table = pq.read_table(shard(folder, "pretrain")).slice(0, 1)
    number, dim = 30_000, 1024
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(number * dim, np.float16) / 32), dim)
    columns = {name: pa.concat_arrays(table.column(name).chunks * number) for name in table.column_names[:3]}
    columns |= {name: pa.concat_arrays(table.column(name).chunks * number) for name in ("seed", "domain")}
    columns |= {"id": pa.array([f"{n:024x}" for n in range(number)]), "image_embedding": vectors}
    pq.write_table(pa.table({name: columns[name] for name in table.column_names}), shard(folder, "pretrain"),
                   row_group_size=1000)  # fmt: skip
    facts = json.loads((folder / "statistics.json").read_text())
    facts["representations"]["dim"] = dim
    (folder / "statistics.json").write_text(json.dumps(facts))
    done = subprocess.run([sys.executable, "-c", PEAK, made, folder], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 110
