"""Every kind of file that holds seeds, and every way in which one can be wrong."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages import read_source
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.seeds.sources import named_sources
from unicorn_hf.seeds.sources.dataset import DatasetSource
from unicorn_hf.seeds.sources.file import SUFFIXES, FileSource
from unicorn_hf.seeds.sources.labels import LabelSource

TEXTS = ["a dog", "", "two cats, one mat", "caf\u00e9 at night"]


def read(path: Path, column: str | None = None, limit: int | None = None) -> list[str]:
    return read_source(FileSource(path=str(path), column=column, limit=limit))


def problem(path: Path, column: str | None = None) -> str:
    """The whole message that reading gives, without the path of its folder."""
    with pytest.raises(InputError) as caught:
        read(path, column)
    return str(caught.value).replace(f"{path.parent}/", "")


def write_csv(path: Path, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([["id", "caption"], *enumerate(TEXTS)])


def write_tsv(path: Path) -> None:
    path.write_text("id\tcaption\n" + "".join(f"{number}\t{text}\n" for number, text in enumerate(TEXTS)), "utf-8")


def write_json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps({"id": 1, "caption": text}) + "\n" for text in TEXTS), "utf-8")


def write_json(path: Path) -> None:
    path.write_text(json.dumps([{"id": 1, "caption": text} for text in TEXTS], ensure_ascii=False), "utf-8")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "caption": TEXTS}), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    ".csv": write_csv,
    ".tsv": write_tsv,
    ".jsonl": write_json_lines,
    ".json": write_json,
    ".parquet": write_parquet,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_column_is_read_as_it_stands(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"seeds{suffix}"
    WRITERS[suffix](path)
    assert read(path, "caption") == TEXTS
    assert read(path, "caption", limit=2) == TEXTS[:2]
    shouting = path.rename(tmp_path / f"SEEDS{suffix.upper()}")
    assert read(shouting, "caption") == TEXTS


def test_every_kind_of_file_has_a_test() -> None:
    assert {*WRITERS, ".txt"} == set(SUFFIXES)


def test_a_text_file_has_a_seed_a_line(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    path.write_bytes('\ufeffa dog\r\n\r\ntwo cats, "one" mat\ncaf\u00e9'.encode())
    assert [line.strip() for line in read(path)] == ["a dog", "", 'two cats, "one" mat', "caf\u00e9"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.csv", "caption\na dog\n"),
        ("s.tsv", "caption\na dog\n"),
        ("s.csv", "\ufeffcaption\r\na dog\r\n"),
        ("s.jsonl", '{"caption": "a dog"}\n\n'),
        ("s.jsonl", '"a dog"\n'),
        ("s.json", '["a dog"]'),
        ("s.json", '[{"any": "a dog"}]'),
    ],
)
def test_where_there_is_one_column_it_need_not_be_named(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read(tmp_path / name) == ["a dog"]


def test_the_one_column_of_text_of_a_parquet_file_need_not_be_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "s.parquet")
    assert read(tmp_path / "s.parquet") == TEXTS


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_text_in_parquet_may_be_of_any_arrow_kind(kind: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"caption": pa.array(["a dog", None, "a cat"], pa.string()).cast(kind)}), tmp_path / "s.parquet"
    )
    assert read(tmp_path / "s.parquet", "caption") == ["a dog", "", "a cat"]


def test_csv_fields_hold_commas_quotation_marks_and_lines_and_tsv_fields_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text('id,caption\n1,"a ""big"" dog,\nasleep"\n2,a cat\n')
    assert read(tmp_path / "s.csv", "caption") == ['a "big" dog,\nasleep', "a cat"]
    (tmp_path / "s.tsv").write_text('caption\tid\n"a dog\t1\nthe 5" plate\t2\n')
    assert read(tmp_path / "s.tsv", "caption") == ['"a dog', 'the 5" plate']


def test_trailing_empty_fields_and_empty_lines_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("caption,note\na dog,x,,\na cat\n\na cow,\n")
    assert read(tmp_path / "s.csv", "caption") == ["a dog", "a cat", "", "a cow"]


def test_null_is_a_blank_seed(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"caption": null}\n{"caption": "a dog"}\n')
    assert read(tmp_path / "s.jsonl") == ["", "a dog"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=1, max_size=6))
def test_what_a_writer_wrote_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("round")
    with (folder / "s.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["id", "caption"], *enumerate(texts)])
    (folder / "s.json").write_text(json.dumps(texts))
    (folder / "s.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    pq.write_table(pa.table({"caption": texts}), folder / "s.parquet")
    assert read(folder / "s.json") == read(folder / "s.jsonl") == read(folder / "s.parquet") == texts
    assert read(folder / "s.csv", "caption") == texts


@given(st.binary(max_size=200), st.sampled_from(SUFFIXES))
def test_whatever_is_in_a_file_it_is_read_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("garbage") / f"seeds{suffix}"
    path.write_bytes(content)
    try:
        assert all(isinstance(text, str) for text in read(path))
    except InputError as error:
        assert path.name in error.message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_and_a_folder_are_named(suffix: str, tmp_path: Path) -> None:
    assert problem(tmp_path / f"none{suffix}").startswith(f"no seed file none{suffix}\n")
    (tmp_path / f"folder{suffix}").mkdir()
    assert problem(tmp_path / f"folder{suffix}").startswith(f"folder{suffix} is a folder, not a file\n")


@pytest.mark.parametrize("name", ["seeds.xlsx", "seeds", "seeds.txt.gz"])
def test_an_unknown_suffix_names_those_that_are_known(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("a dog")
    told = problem(tmp_path / name)
    assert told.startswith(f"{name}: unknown kind of file\nUse one of .txt, .csv, ")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_wrong_column_names_those_that_exist(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"s{suffix}"
    WRITERS[suffix](path)
    told = problem(path, "captoin")
    assert told.startswith(f"s{suffix}")
    assert "no column 'captoin'; it has " in told
    assert "caption" in told.split("it has")[1]


@pytest.mark.parametrize("suffix", WRITERS)
def test_of_several_columns_that_called_caption_or_text_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"s{suffix}"
    WRITERS[suffix](path)
    assert read(path) == TEXTS
    (tmp_path / "t.csv").write_text("id,prompt\n1,a dog\n")
    assert problem(tmp_path / "t.csv") == (
        "t.csv, line 1: no column caption or text; it has 'id', 'prompt'\n"
        "Specify the column of the texts with --seed-column NAME (in a recipe: column: NAME)."
    )


def test_a_column_of_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("a dog\n")
    told = problem(tmp_path / "s.txt", "caption")
    assert told.startswith("s.txt: a .txt file has one text per line and no column 'caption'\nOmit --seed-column.")


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".jsonl", ".json"])
def test_what_is_not_utf_8_is_named_with_its_line(suffix: str, tmp_path: Path) -> None:
    lines = {".json": ['["a dog",', '"caf\u00e9"]']}.get(suffix, ['"caption"', '"caf\u00e9"'])
    (tmp_path / f"s{suffix}").write_bytes("\n".join(lines).encode("latin-1"))
    told = problem(tmp_path / f"s{suffix}")
    assert told.startswith(f"s{suffix}, line 2: not UTF-8 (byte 0xe9 in column 5)\nIn CP1252 the line reads ")
    assert told.endswith(f"iconv -f CP1252 -t UTF-8 s{suffix} > s-utf8{suffix}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,caption\n1,a dog\n2\n", "s.csv, line 3: 1 fields, but 'caption' is field 2"),
        (
            "id,caption\n1,a dog, asleep\n",
            "s.csv, line 2: 3 fields, but the header has 2\nPut a text that contains a comma in quotation marks.",
        ),
        ('id,caption\n1,a\n2,"a dog\n3,a cat\n', "s.csv, in the row that begins in line 3: unexpected end of data"),
        ('id,caption\n1,"a "big" dog"\n', "s.csv, in the row that begins in line 2: ',' expected after '\"'"),
        (
            'id,caption\n1,"' + "x\n" * 3_000_000,
            "s.csv, in the row that begins in line 2: field larger than field limit",
        ),
        ("\nid,title\n", "s.csv, line 2: no column 'caption'; it has 'id', 'title'"),
    ],
)
def test_ragged_csv_is_named_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(content.encode())
    assert problem(tmp_path / "s.csv", "caption").startswith(message)


def test_ragged_tsv_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_text("caption\tid\na dog\t1\na\tcat\t2\n")
    assert problem(tmp_path / "s.tsv", "caption") == "s.tsv, line 3: 3 fields, but the header has 2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", '{"caption": "a"}\n{"caption": "b"\n', "s.jsonl, line 2: not JSON: Expecting ',' delimiter"),
        ("s.jsonl", "a dog\n", "s.jsonl, line 1: not JSON: Expecting value"),
        ("s.jsonl", '"a"\n3\n', "s.jsonl, line 2: expected a string or an object, found a number"),
        ("s.jsonl", '"a"\n["b"]\n', "s.jsonl, line 2: expected a string or an object, found a list"),
        ("s.jsonl", '{"caption": 3}\n', 's.jsonl, line 1, field "caption": expected text, found a number'),
        ("s.jsonl", '{"caption": {"en": "a"}}\n', 's.jsonl, line 1, field "caption": expected text, found an object'),
        ("s.jsonl", "1" * 5000, "s.jsonl, line 1: not readable"),
        ("s.jsonl", "[" * 100_000, "s.jsonl, item 1: nested too deeply"),
        ("s.json", '["a",\n"b"', "s.json: expected a comma after item 2, found the end of the file"),
        ("s.json", '{"caption": "a"}', "s.json: expected a JSON list of items, found an object with 'caption'"),
        ("s.json", '"a dog"', "s.json: expected a JSON list of items, found"),
        ("s.json", "null", "s.json: expected a JSON list of items, found"),
        ("s.json", '["a", true]', "s.json, item 2: expected a string or an object, found a truth value"),
        ("s.json", '[{"caption": ["a"]}]', 's.json, item 1, field "caption": expected text, found a list'),
        ("s.json", "[" * 100_000, "s.json, item 1: nested too deeply"),
        ("s.json", '["a", ' + "1" * 5000 + "]", "s.json, item 2: not readable"),
    ],
)
def test_json_of_another_shape_is_named_with_its_place(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert problem(tmp_path / name).startswith(message)


def test_strings_where_a_column_was_named_say_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('["a dog"]')
    told = problem(tmp_path / "s.json", "caption")
    assert told == "s.json, item 1: expected an object with 'caption', found a string\nOmit --seed-column."


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"\x00\xff" * 500, b"PAR1" + b"x" * 90 + b"PAR1"])
def test_what_is_not_parquet_says_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.parquet").write_bytes(content)
    assert problem(tmp_path / "s.parquet").startswith("s.parquet: not readable as Parquet: ")


def test_a_damaged_parquet_file_says_so(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"caption": [f"seed {n}" for n in range(5000)]}), tmp_path / "s.parquet", compression="gzip"
    )
    content = bytearray((tmp_path / "s.parquet").read_bytes())
    content[200:6000] = bytes(5800)
    (tmp_path / "s.parquet").write_bytes(content)
    assert problem(tmp_path / "s.parquet").startswith("s.parquet: not readable as Parquet: ")


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ({"id": [1], "length": [2]}, None, "no column caption or text; it has no text columns"),
        ({"caption": [3]}, "caption", "column caption holds int64, not text"),
        ({"caption": [["a", "b"]]}, "caption", "column caption holds list<"),
        ({"prompt": ["a"], "title": ["b"]}, None, "no column caption or text; it has 'prompt', 'title'"),
    ],
)
def test_parquet_without_the_column_says_so(
    table: dict[str, list[object]], column: str | None, message: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    assert problem(tmp_path / "s.parquet", column).startswith(f"s.parquet: {message}")


class TestLabels:
    """Labels are put into templates, drawn for each label."""

    TEMPLATES = tuple(f"a {{label}} in place {number}" for number in range(8))

    def source(self, path: Path, number: int = 3, **more: object) -> LabelSource:
        return LabelSource(
            kind="labels",
            path=str(path),
            templates=self.TEMPLATES,
            num_templates=number,
            domain="pets",
            **more,  # type: ignore[arg-type]
        )

    def test_each_label_gets_its_number_of_templates_without_repetition(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("beagle\n\npug\n")
        seeds = [text for text in read_source(self.source(tmp_path / "l.txt")) if text]
        assert len(seeds) == len(set(seeds)) == 6
        assert sum("beagle" in seed for seed in seeds) == sum("pug" in seed for seed in seeds) == 3

    def test_where_there_are_fewer_templates_all_are_used(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("beagle\n")
        seeds = read_source(self.source(tmp_path / "l.txt", number=20))
        assert sorted(seeds) == sorted(template.replace("{label}", "beagle") for template in self.TEMPLATES)

    def test_labels_draw_different_templates_and_another_random_seed_others(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("\n".join(f"label{number}" for number in range(20)))
        source = self.source(tmp_path / "l.txt", number=1)
        drawn = {seed.split("place ")[1] for seed in read_source(source)}
        assert len(drawn) > 4
        assert read_source(source) == read_source(source, 0)
        assert read_source(source) != read_source(source, 1)

    def test_a_labels_seeds_depend_on_nothing_around_it(self, tmp_path: Path) -> None:
        (tmp_path / "one.txt").write_bytes("beagle\r\n caf\u00e9 \n".encode())
        (tmp_path / "other.txt").write_text("pug\ncafe\u0301\nbeagle")
        one = set(read_source(self.source(tmp_path / "one.txt")))
        assert len(one) == 6
        assert one < set(read_source(self.source(tmp_path / "other.txt")))

    def test_the_limit_counts_seeds(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("beagle\npug\n")
        assert len(read_source(self.source(tmp_path / "l.txt", limit=4))) == 4

    def test_the_bundled_labels_are_read(self) -> None:
        for name, number in (("flowers.txt", 102), ("pets.txt", 37)):
            source = self.source(Path("x"), number=1).model_copy(update={"path": f"package:{name}"})
            assert len(set(read_source(source))) == number


class TestDatasets:
    """A data set is whatever `datasets.load_dataset` takes; here, a folder."""

    def source(self, path: Path, column: str = "caption", **more: object) -> DatasetSource:
        return DatasetSource(kind="dataset", path=str(path), column=column, **more)  # type: ignore[arg-type]

    def test_a_column_is_read_as_a_stream(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"id": [1, 2, 3], "caption": ["a dog", None, "a cat"]}), tmp_path / "train.parquet")
        assert read_source(self.source(tmp_path)) == ["a dog", "", "a cat"]
        assert read_source(self.source(tmp_path, limit=1)) == ["a dog"]

    def test_of_several_captions_of_an_image_one_is_read_wherever_it_stands(self, tmp_path: Path) -> None:
        texts = [[f"caption {row} by {who}" for who in range(5)] for row in range(60)]
        ways = {
            "list": pa.table({"caption": texts}),
            "turned": pa.table({"caption": [row[::-1] for row in texts]}),
            "columns": pa.table({f"c{who}": [row[who] for row in texts] for who in range(5)}),
            "rows": pa.table(
                {"caption": [row[who] for who in range(5) for row in texts], "image": list(range(60)) * 5}
            ),
        }
        more = {"columns": {"column": [f"c{who}" for who in range(5)]}, "rows": {"image_id": "image"}}
        read = {}
        for way, table in ways.items():
            (tmp_path / way).mkdir()
            pq.write_table(table, tmp_path / way / "train.parquet")
            read[way] = read_source(self.source(tmp_path / way, **{"column": "caption"} | more.get(way, {})))
        assert [int(text.split()[1]) for text in read["list"]] == list(range(60))
        assert read["turned"] == read["columns"] == read["list"]
        assert sorted(read["rows"]) == sorted(read["list"])
        by = Counter(text.split()[-1] for text in read["list"])
        assert min(by[str(who)] for who in range(5)) > 3, "no place is preferred"
        source = self.source(tmp_path / "list")
        assert read_source(source, 1) != read["list"], "another random seed takes others"

    def test_images_without_a_caption_give_an_empty_seed(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"caption": [["", "a dog"], [], None], "n": [1, 2, 2]}), tmp_path / "train.parquet")
        assert read_source(self.source(tmp_path)) == ["a dog", "", ""]
        assert sorted(read_source(self.source(tmp_path, image_id="n"))) == ["", "a dog"]

    def test_the_limit_counts_the_rows_that_are_read(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"caption": ["a", "b", "c"], "n": [1, 1, 2]}), tmp_path / "train.parquet")
        assert len(read_source(self.source(tmp_path, image_id="n", limit=2))) == 1

    def test_class_names_become_labels_in_templates(self, tmp_path: Path) -> None:
        from datasets import ClassLabel, Dataset, Features, Value

        features = Features({"label": ClassLabel(names=["apple_pie", "nachos"]), "text": Value("string")})
        data = Dataset.from_dict({"label": [0, 0, 1], "text": ["x", "y", "z"]}, features=features)
        data.to_parquet(tmp_path / "train.parquet")
        templates = ["a plate of {label}", "{label} on a table"]
        seeds = set(read_source(self.source(tmp_path, "label", templates=templates, num_templates=1)))
        assert len(seeds) == 2
        assert {name for name in ("apple pie", "nachos") if any(name in seed for seed in seeds)} == {
            "apple pie",
            "nachos",
        }
        texts = read_source(self.source(tmp_path, "text", templates=["a {label}"], limit=2))
        assert texts == ["a x", "a y"]
        with pytest.raises(InputError, match="no column 'none'; it has label, text"):
            read_source(self.source(tmp_path, "none", templates=["a {label}"]))

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"templates": ["a dog"]}, "lacks {label}"),
            ({"templates": ["a {label}"], "image_id": "n"}, "a single column of labels"),
            ({"templates": ["a {label}"], "column": ["a", "b"]}, "a single column of labels"),
            ({"column": []}, "column is empty"),
        ],
    )
    def test_what_does_not_go_together_is_told(self, more: dict[str, Any], message: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            self.source(tmp_path, **{"column": "caption"} | more)

    def test_a_wrong_column_names_those_that_exist(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"id": [1], "caption": ["a dog"]}), tmp_path / "train.parquet")
        with pytest.raises(InputError, match="no column 'text'; it has id, caption"):
            read_source(self.source(tmp_path, "text"))

    def test_a_data_set_that_cannot_be_read_is_an_error_of_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunError) as caught:
            read_source(self.source(tmp_path / "none"))
        assert "cannot be read" in caught.value.message
        assert "--seeds FILE" in caught.value.advice


def test_sources_of_one_name_are_told_apart() -> None:
    sources = [FileSource(path=path) for path in ("a/seeds.txt", "b/seeds.txt", "other.txt", "c/seeds.txt")]
    assert [name for name, _ in named_sources(sources)] == ["seeds.txt", "seeds.txt (2)", "other.txt", "seeds.txt (3)"]
    named = [FileSource(path="a.txt", name=name) for name in ("x (2)", "x", "x")]
    assert len({name for name, _ in named_sources(named)}) == 3
