"""What files of others become: rows with their ids, or an error that names file and row, or a counted rejection."""

import csv
import errno
import json
import os
import pickle
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests.builders.originals import release
from tests.builds import ECHO, SHARED, published_bytes, rows, unicorn
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from tests.stages import read_source
from unicorn_hf import InputError, RunError
from unicorn_hf.builders.validate import validate_folder
from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.core.recipe import MOST_ROWS
from unicorn_hf.core.schemas import CAPTIONS, INSTRUCTIONS, REJECTIONS
from unicorn_hf.interchange import importing
from unicorn_hf.interchange.export import export
from unicorn_hf.interchange.importing import Taken, conversation, take
from unicorn_hf.interchange.reading import imported_files
from unicorn_hf.interchange.recipe import import_recipe
from unicorn_hf.representations.vectors import read_vectors
from unicorn_hf.runtime.files import read_table, take_rows
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.seeds.normalise import normalise
from unicorn_hf.seeds.sources.file import FileSource

Row = dict[str, Any]
CAPTION = "A red mug stands on a wooden table."


def imported(
    folder: Path,
    *files: Path,
    with_vectors: bool = False,
    column: str | None = None,
    stored: Literal["float16", "float32"] = "float32",
    **limits: int,
) -> Taken:
    changes = {
        "captions.num": limits.get("captions", MOST_ROWS),
        "instructions.num": limits.get("instructions", MOST_ROWS),
        "partition_rows": limits.get("partition_rows", 7),
        "representations.dtype": stored,
    }
    recipe = import_recipe(files, column=column, domain="somewhere", overrides=changes)
    assert recipe.imported
    sources = imported_files(recipe.imported, with_vectors=with_vectors)
    return take(recipe, sources, with_vectors=with_vectors, work_dir=folder / "work", progress=Progress())


def captions(taken: Taken) -> list[Row]:
    return [row for p in taken.captions.picked for row in take_rows(read_table(p.path, CAPTIONS), p.rows).to_pylist()]


def conversations(taken: Taken) -> list[Row]:
    parts = [picked for some in taken.instructions.picked.values() for picked in some]
    return [row for p in parts for row in take_rows(read_table(p.path, INSTRUCTIONS), p.rows).to_pylist()]


def rejections(taken: Taken) -> list[Row]:
    return [row for p in taken.step.folder.glob("*rejections*") for row in read_table(p, REJECTIONS).to_pylist()]


def turns(*values: str, image: bool = True) -> list[dict[str, str]]:
    first, *rest = values
    said = [f"<image>\n{first}" if image else first, *rest]
    return [{"from": ("human", "gpt")[at % 2], "value": value} for at, value in enumerate(said)]


def listed(path: Path, *items: object) -> Path:
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    done = unicorn("build", *ECHO, "--captions", 60, "--instructions", 25, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "unicorn"


@pytest.mark.parametrize("format", EXPORTS.own_names)
def test_import_of_an_export(format: str, made: Path, tmp_path: Path) -> None:
    export(made, format, tmp_path / "export")
    given_vectors = format != "bunny"
    options = [] if given_vectors else ["--encoder", "hashing:64"]
    done = unicorn("import", "export", "--workers", 1, "--out", "back", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    columns = ["id", "caption", "conversations", *(["seed", "domain"] if given_vectors else [])]
    for config in ("pretrain", "instruction"):
        names = [*columns, *(["task"] if config == "instruction" and given_vectors else [])]
        found, wanted = rows(tmp_path / "back", config), rows(made, config)
        assert [[row[name] for name in names] for row in found] == [[row[name] for name in names] for row in wanted]
        vectors = [[row["image_embedding"] for row in some] for some in (found, wanted)]
        # Bunny's pickles are not read: the same encoder and transfer give the same vectors.
        np.testing.assert_array_equal(np.float16(vectors[0]), np.float16(vectors[1]))
    report = validate_folder(tmp_path / "back")
    assert report.valid, report.lines()
    card = (tmp_path / "back" / "README.md").read_text()
    assert "were imported from files" in card
    assert "The author of the text is unknown." in card


def test_import_of_an_export_whose_instructions_bring_no_captions(made: Path, tmp_path: Path) -> None:
    """Earlier versions exported such."""
    export(made, "bunny", tmp_path / "export")
    path = tmp_path / "export" / "instruction.json"
    path.write_text(
        json.dumps([{key: row[key] for key in ("id", "conversations")} for row in json.loads(path.read_text())])
    )
    done = unicorn("import", "export", "--workers", 1, "--out", "back", "--encoder", "hashing:64", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, wanted = rows(tmp_path / "back", "instruction"), rows(made, "instruction")
    assert [row["conversations"] for row in found] == [row["conversations"] for row in wanted]


def test_the_published_recipe_imports_the_same_again(made: Path, tmp_path: Path) -> None:
    export(made, "llava", tmp_path / "export")
    assert unicorn("import", "export", "--workers", 1, "--out", "back", cwd=tmp_path).returncode == 0
    recipe = (tmp_path / "back" / "recipe.yaml").read_text()
    assert str(tmp_path) not in recipe
    (tmp_path / "export" / "recipe.yaml").write_text(recipe)
    done = unicorn("build", "export/recipe.yaml", *SHARED, "--out", "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert published_bytes(tmp_path / "again") == published_bytes(tmp_path / "back")
    with (tmp_path / "export" / "pretrain.json").open("a") as file:
        file.write("\n")
    refused = unicorn("build", "export/recipe.yaml", "--out", "third", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is not the recipe's file" in refused.stderr


def test_captions_alone_make_a_set(hub: HubServer, hub_client: HubClient) -> None:
    tmp_path, repo_id = hub_client.home, f"{hub.user}/captions"
    texts = [f"A {colour} jar of {thing} on a shelf." for colour in ("red", "blue") for thing in ("oil", "tea", "ink")]
    (tmp_path / "captions.txt").write_text("\n".join([*texts, "", texts[0]]))
    options = ["--encoder", "hashing:16", "--license", "cc0-1.0", "--language", "de", "--push", repo_id]
    done = hub_client.command("import", "captions.txt", "--out", "set", *options)
    assert done.returncode == 0, done.stderr
    assert "skipped captions: 1, duplicate (first: captions.txt, line 8: 'A red jar of oil on a shelf.')" in done.stderr
    assert "skipped captions: 1, blank (first: captions.txt, line 7)" in done.stderr
    told = json.loads((tmp_path / "set" / "statistics.json").read_text())["left_out"]
    assert [(each["what"], each["reason"], each["num"]) for each in told] == [
        ("captions", "blank", 1),
        ("captions", "duplicate", 1),
    ]
    assert [row["caption"] for row in rows(tmp_path / "set", "pretrain")] == texts
    assert rows(tmp_path / "set", "instruction") == []
    report = validate_folder(tmp_path / "set")
    assert report.valid, report.lines()
    load = "import sys, datasets; print(datasets.load_dataset(sys.argv[1], split='train').num_rows)"
    assert hub_client.run(load, repo_id).stdout == "6\n"
    assert not (tmp_path / "set" / "instruction").exists()
    export(tmp_path / "set", "webdataset", tmp_path / "tars")
    card = (tmp_path / "set" / "README.md").read_text()
    assert "license: cc0-1.0\n" in card
    assert "language:\n- de\n" in card
    assert "machine-generated" not in card
    assert "instruction" not in "".join(line for line in card.split("\n") if "load_dataset(" in line)
    again = unicorn("card", "set", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "set" / "README.md").read_text() == card


def test_the_original_release(tmp_path: Path) -> None:
    for name, content in release(20, 9).items():
        (tmp_path / name).write_bytes(content)
    taken = imported(tmp_path, tmp_path / "Unicorn-Instruction-471K.json.zip", tmp_path / "Unicorn-1.2M.json.zip")
    found = captions(taken)
    assert [row["id"] for row in found] == [f"{n}" if n % 2 else f"coco_{n}" for n in range(20)]
    assert {row["request"] for row in found} == {"<image>\nDescribe it – briefly."}
    assert {row["domain"] for row in found} == {"somewhere"}
    assert [row["id"] for row in conversations(taken)] == [row["id"] for row in found[:9]]
    assert {row["task"] for row in conversations(taken)} == {"unknown"}
    whole_folder = imported(tmp_path / "b", tmp_path)
    assert captions(whole_folder)[0]["id"] == "coco_0"


CHOICE = turns("What is it?\nA. a jar\nB. a cat\nC. a dog\nD. a hat", "A")
TABLES = {
    "a.csv": f'id,caption\n7,"{CAPTION}"\n8,"Two, three."\n',
    "a.tsv": f"id\tcaption\n7\t{CAPTION}\n8\tTwo, three.\n",
    "a.jsonl": f'{{"id": 7, "caption": "{CAPTION}"}}\n\n{{"id": "8", "caption": "Two, three."}}\n',
    "a.json": json.dumps([{"id": 7, "text": CAPTION}, {"id": "8", "text": "Two, three."}]),
}


@pytest.mark.parametrize("name", TABLES)
def test_plain_caption_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(TABLES[name])
    found = captions(imported(tmp_path, tmp_path / name))
    assert [(row["id"], row["caption"], row["source"]) for row in found] == [
        ("7", CAPTION, name),
        ("8", "Two, three.", name),
    ]


def test_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,english,german\n1,a mug,eine Tasse\n")
    with pytest.raises(
        InputError, match=r"a\.csv, line 1: no column caption or text; it has 'id', 'english', 'german'"
    ):
        imported(tmp_path, tmp_path / "a.csv")
    taken = imported(tmp_path, tmp_path / "a.csv", column="german")
    assert [row["caption"] for row in captions(taken)] == ["eine Tasse"]
    pq.write_table(pa.table({"prompt": ["a mug", "a jar"]}), tmp_path / "a.parquet")
    assert len(captions(imported(tmp_path, tmp_path / "a.parquet", column="prompt"))) == 2


def test_lists_in_the_form_of_llava(tmp_path: Path) -> None:
    pretrain = listed(
        tmp_path / "blip_laion.json",
        {"id": "a", "image": "00/a.jpg", "conversations": turns("Describe.\n<image>", CAPTION, image=False)},
        {"id": "b", "image": "00/b.jpg", "conversations": turns("What?", "A blue jar.")},
    )
    mixed = listed(
        tmp_path / "llava_instruct.json",
        {"id": "b", "image": "b.jpg", "conversations": CHOICE},
        {"id": "a", "image": "a.jpg", "conversations": turns("What is red?", "The mug.", "Why?", "It is painted.")},
        {"id": "z", "image": "z.jpg", "conversations": turns("What is red?", "A sock.")},
    )
    taken = imported(tmp_path, mixed, pretrain)
    assert [(row["id"], row["caption"], row["request"]) for row in captions(taken)] == [
        ("a", CAPTION, "<image>\nDescribe."),
        ("b", "A blue jar.", "<image>\nWhat?"),
    ]
    assert [(row["id"], row["task"]) for row in conversations(taken)] == [("a", "unknown"), ("b", "multiple_choice")]
    assert [(row["reason"], row["detail"]) for row in rejections(taken)] == [
        ("no_caption", "llava_instruct.json, item 3: no caption has this id")
    ]
    assert taken.record.instructions.rejected == {"no_caption": 1}


def test_a_conversation_brings_its_own_caption(tmp_path: Path) -> None:
    item = {"id": "a", "caption": CAPTION, "conversations": turns("What is red?", "The mug.", "Why?", "Paint.")}
    other = {**item, "caption": "Another."}
    alone = imported(tmp_path / "1", listed(tmp_path / "one.json", item))
    assert [row["caption"] for row in captions(alone)] == [CAPTION]
    assert captions(alone)[0]["request"] is None
    assert len(conversations(alone)) == 1
    first = listed(tmp_path / "captions.json", {"id": "a", "caption": CAPTION})
    both = imported(tmp_path / "2", first, listed(tmp_path / "instruction.json", other))
    assert both.record.instructions.rejected == {"other_caption": 1}
    without_id = imported(tmp_path / "3", listed(tmp_path / "x.json", {**item, "id": None}))
    assert conversations(without_id)[0]["id"] == captions(without_id)[0]["id"]


def test_ids_that_come_twice(tmp_path: Path) -> None:
    one = listed(tmp_path / "one.json", {"id": 1, "caption": "a"}, {"id": 2, "caption": "b"})
    two = listed(tmp_path / "two.json", {"id": 3, "caption": "c"}, {"id": "2", "caption": "d"})
    with pytest.raises(InputError, match=r"two\.json, item 2: one\.json, item 2 already has the id '2'"):
        imported(tmp_path, one, two)
    assert not list((tmp_path / "work").glob("imported-*"))
    talk = {"id": 1, "conversations": CHOICE}
    again = listed(tmp_path / "instruction.json", talk, talk)
    with pytest.raises(InputError, match=r"instruction\.json, item 2: a second conversation with the id '1', after i"):
        imported(tmp_path, one, again)
    with pytest.raises(InputError, match="named twice"):
        imported(tmp_path, one, one)


BROKEN = {
    "item.json": (
        '[{"id": 1, "caption": "a"}, {"id": 2, "caption": 7}]',
        r'item 2, field "caption": expected a string',
    ),
    "list.json": ('{"id": 1}', "expected a JSON list"),
    "cut.json": ('[{"id": 1, "caption": "a"}, {"id"', "item 2: not JSON, or truncated"),
    "id.json": ('[{"id": " ", "caption": "a"}]', "item 1: its id is blank"),
    "turn.json": (
        '[{"id": 1, "conversations": ["hello"]}]',
        r'item 1, field "conversations", turn 1: expected an object',
    ),
    "surrogate.json": (r'["\ud800"]', "item 1: half a surrogate pair"),
    "line.jsonl": ('{"caption": "a"}\n{"caption', "line 2: not JSON"),
    "utf.txt": (b"a\n\xff\n", "line 2: not UTF-8"),
    "long.csv": ("id,caption\n1,a\n2,b,c\n", "line 3: 3 fields, but the header has 2"),
    "short.tsv": ("id\tcaption\n1\n", "line 2: 1 fields, but 'caption' is field 2"),
    "bad.parquet": (b"PAR1", "not readable as Parquet"),
    "bad.tar": (b"tar" * 300, "not readable as tar"),
    "bad.json.zip": (b"PK", "not a zip archive"),
    "pickle.pkl": (pickle.dumps([1]), "unknown kind of file; it is a pickle"),
    "empty.json": ("[]", "no captions in empty.json: the files are empty"),
    "blank.csv": ("caption,id\n,1\n", "no captions in blank.csv: 1 blank"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(name: str, tmp_path: Path) -> None:
    content, told = BROKEN[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=told) as raised:
        imported(tmp_path, tmp_path / name)
    assert name in str(raised.value)
    assert not list((tmp_path / "work").glob("imported-*/*.captions.parquet"))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = listed(tmp_path / "a.json", *({"id": at, "caption": "a jar"} for at in range(9)))
    monkeypatch.setattr(importing, "write_table", full)
    with pytest.raises(RunError, match=r"cannot write .*No space left on device"):
        imported(tmp_path, file)
    assert not list((tmp_path / "work").iterdir())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        imported(tmp_path, tmp_path / "none.json")
    with pytest.raises(InputError, match="Name the files"):
        try:
            imported(tmp_path, tmp_path)
        except InputError as error:
            raise InputError(error.advice) from None


def test_files_that_cannot_be_read_are_told_alike_by_import_and_seeds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("a jar\n")
    for name, told in {
        "pipe.txt": "pipe.txt: not a regular file",
        "loop.txt": "loop.txt",
        os.fsdecode(b"caf\xe9.txt"): "the name is not UTF-8",
        f"{'x' * 300}.txt": "File name too long",
        "*.txt": r"\*\.txt",
    }.items():
        for read in (imported, lambda _, path: read_source(FileSource(path=str(path)))):
            with pytest.raises(InputError, match=told) as raised:
                read(tmp_path, tmp_path / name)
            assert raised.value.advice
    with pytest.raises(InputError, match="is not a folder of `export`"):
        imported(tmp_path, tmp_path)


def test_vectors_must_be_there_and_fit(tmp_path: Path) -> None:
    (tmp_path / "embeddings").mkdir()
    save_file({"embeddings": np.eye(3, dtype=np.float16)}, tmp_path / "embeddings" / "0.safetensors")
    place = "embeddings/0.safetensors#{}"
    rows = [{"id": at, "caption": f"c {at}", "image": place.format(at)} for at in range(3)]
    taken = imported(tmp_path, listed(tmp_path / "good.json", *rows), with_vectors=True)
    path = taken.vectors("00000")
    assert path
    np.testing.assert_array_equal(read_vectors(path), np.eye(3))
    for image, told in {
        place.format(3): "the file has 3 rows",
        "../out.safetensors#0": "is outside",
        "embeddings/1.safetensors#0": "contains no tensor embeddings",
        "picture.jpg": "it has no embedding",
    }.items():
        bad = listed(tmp_path / "bad.json", rows[0], {"id": "x", "caption": "x", "image": image})
        with pytest.raises(InputError, match=rf"bad\.json, item 2: .*{told}"):
            imported(tmp_path, bad, with_vectors=True)
        assert len(captions(imported(tmp_path, bad))) == 2, "not looked at unless asked for"


def test_limits_take_the_first(tmp_path: Path) -> None:
    items = [{"id": at, "caption": f"c {at}", "conversations": CHOICE} for at in range(30)]
    file = listed(tmp_path / "instruction.json", *items)
    taken = imported(tmp_path, file, captions=16, instructions=9)
    assert [row["id"] for row in captions(taken)] == [str(at) for at in range(16)]
    assert [row["id"] for row in conversations(taken)] == [str(at) for at in range(9)]
    assert (taken.captions.num, taken.instructions.num) == (16, 9)
    stamp = taken.captions.picked[0].path.stat().st_mtime_ns
    more = imported(tmp_path, file)
    assert more.captions.num == 30
    assert more.captions.picked[0].path.stat().st_mtime_ns == stamp, "found, not read again"


TEXT = st.text(alphabet=st.sampled_from("ab <>\n\timage"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["human", "gpt"]), TEXT), max_size=5))
def test_conversations_hold_or_are_rejected(said: list[tuple[str, str]]) -> None:
    found = conversation([{"from": sender, "value": value} for sender, value in said])
    if isinstance(found, list):
        assert [turn["from"] for turn in found] == ["human", "gpt"] * (len(found) // 2)
        assert found
        assert sum(turn["value"].count("<image>") for turn in found) == 1
        assert found[0]["value"].startswith("<image>\n")
        assert conversation(found) == found
        assert [turn["value"] for turn in found[1:]] == [value for _, value in said[1:]]


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(normalise)


@settings(max_examples=15, deadline=None)
@given(wanted=st.dictionaries(WORDS, WORDS, min_size=1, max_size=20))
def test_any_ids_and_captions_survive(wanted: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    file = listed(folder / "a.json", *({"id": key, "caption": text} for key, text in wanted.items()))
    found = captions(imported(folder, file, partition_rows=3))
    assert {row["id"]: row["caption"] for row in found} == wanted
    table = folder / "a.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "caption"])
        writer.writerows((f"i{at}", text) for at, text in enumerate(wanted.values()))
    assert [row["caption"] for row in captions(imported(folder / "t", table))] == list(wanted.values())


def _peak(folder: Path, number: int) -> int:
    """Bytes that were in use at once, of so many rows."""
    here = folder / str(number)
    here.mkdir()
    # Few words, of many letters: what is split into words is kept for a while.
    rows = ({"id": at, "caption": f"{at} {'glass' * 120}", "conversations": CHOICE} for at in range(number))
    file = listed(here / "a.json", *rows)
    tracemalloc.start()
    try:
        imported(here, file, partition_rows=100)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    # In a process of its own: other tests' threads would be counted too.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        _, small, large = (process.submit(_peak, tmp_path, number).result() for number in (100, 3000, 6000))
    # More by 3 MB of text.
    assert large < small + (1 << 20)
