"""What others' files look like: each kind is read, or refused with the place and the remedy that fits it.

A new case joins with one line.
"""

import io
import json
import tarfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.interchange.test_importing import captions, conversations, imported
from tests.stages import read_source
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.seeds.sources.file import FileSource

DOG, CAT = "A dog, asleep.", "A cat; a mat."
TWO = [("1", DOG), ("2", CAT)]
TURNS = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]
MESSAGES = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="")
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return path


def tar(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def sample(caption: str) -> bytes:
    return json.dumps({"caption": caption}).encode()


SHARD = tar(*((f"{at}.json", sample(f"caption {at}")) for at in range(3)))
ROWS = [{"id": number, "caption": text} for number, text in TWO]
QUOTED = f'id,caption\r\n1,"{DOG}"\r\n2,"{CAT}"\r\n'
TABLES: dict[str, tuple[str, str | bytes, str]] = {
    "commas": ("t.csv", QUOTED, "separator ',', column caption, id, encoding UTF-8"),
    "semicolons": ("t.csv", f'id;caption\n1;{DOG}\n2;"{CAT}"\n', "separator ';'"),
    "tabs in a .csv": ("t.csv", f"id\tcaption\n1\t{DOG}\n2\t{CAT}\n", "separator tab"),
    "pipes": ("t.csv", f"id|caption\n1|{DOG}\n2|{CAT}\n", "separator '|'"),
    "commas in a .tsv": ("t.tsv", QUOTED, "separator ','"),
    "tabs in a .tsv": ("t.tsv", f"id\tcaption\n1\t{DOG}\n2\t{CAT}\n", "separator tab"),
    "Excel's line": ("t.csv", f'sep=;\r\nid;caption\r\n1;{DOG}\r\n2;"{CAT}"\r\n', "separator ';'"),
    "single quotation marks": ("t.csv", f"id;caption\n'1';'{DOG}'\n'2';'{CAT}'\n", "quotation mark '"),
    "spaces after separators": ("t.csv", f'id, caption\n1, "{DOG}"\n2, "{CAT}"\n', "separator ','"),
    "Excel's line in quotation marks": ("t.csv", f'"sep=;"\nid;caption\n1;{DOG}\n2;"{CAT}"\n', "separator ';'"),
    "quotation marks in a .tsv": ("t.tsv", f'id\tcaption\tn\n1\t"{DOG}"\ta\n2\t{CAT}\t"a ""b"""\n', "separator tab"),
    "a line of spaces": ("t.csv", QUOTED.replace("\r\n2", "\r\n  \r\n2"), "separator ','"),
    "a header in the middle": ("t.csv", QUOTED.replace("\r\n2", "\r\nid,caption\r\n2"), "separator ','"),
    "joined files": ("t.csv", f'\ufeffid,caption\n1,"{DOG}"\n\ufeffid,caption\n2,{CAT}\n', "separator ','"),
    "ids in capitals": ("t.csv", QUOTED.replace("id", "ID"), "column caption, id"),
    "lines before the header": ("t.csv", "\n" * 300 + QUOTED, "separator ','"),
    "old line ends": ("t.csv", QUOTED.replace("\r\n", "\r"), "separator ','"),
    "a header in capitals": ("t.csv", QUOTED.replace("caption", "Caption"), "column Caption"),
    "UTF-8 with a mark": ("t.csv", QUOTED.encode("utf-8-sig"), "encoding UTF-8"),
    "UTF-16 with a mark": ("t.csv", QUOTED.encode("utf-16"), "encoding UTF-16"),
    "UTF-16, the other way": ("t.csv", b"\xfe\xff" + QUOTED.encode("utf-16-be"), "encoding UTF-16"),
    "UTF-16 without a mark": ("t.csv", QUOTED.encode("utf-16-le"), "encoding UTF-16-LE"),
    "UTF-16 without a mark, the other way": ("t.csv", QUOTED.encode("utf-16-be"), "encoding UTF-16-BE"),
    "UTF-32 without a mark": ("t.csv", QUOTED.encode("utf-32-le"), "encoding UTF-32-LE"),
    "UTF-32": ("t.csv", QUOTED.encode("utf-32"), "encoding UTF-32"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_read_and_told_alike_by_import_and_seeds(kind: str, tmp_path: Path) -> None:
    name, content, told = TABLES[kind]
    path = write(tmp_path, name, content)
    taken = imported(tmp_path, path)
    assert [(row["id"], row["caption"]) for row in captions(taken)] == TWO
    (line,) = taken.record.took
    assert line.startswith(f"{name}: separator ")
    assert told in line
    assert [text for text in read_source(FileSource(path=str(path))) if text] == [DOG, CAT]


def test_a_backslash_before_a_quotation_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'id,caption\n1,"A \\"big\\" dog, asleep"\n2,"A cat"\n')
    assert [row["caption"] for row in captions(imported(tmp_path, path))] == ['A "big" dog, asleep', "A cat"]


CAFE = "Un garçon dort près de la fenêtre du café."
ENCODINGS = {
    "CP1252": ("cp1252", "“Un café”, dit le garçon à la fenêtre."),
    "CP1252 of Latin-1": ("latin-1", CAFE),
    "CP1251": ("cp1251", "Собака сидит на коврике у окна."),
    "KOI8-R": ("koi8-r", "Собака сидит на коврике у окна."),
    "SHIFT_JIS": ("shift_jis", "犬がマットの上に座っている。"),
    "EUC-JP": ("euc-jp", "犬がマットの上に座っている。"),
    "GB18030": ("gb18030", "一只狗坐在窗边的垫子上。"),
    "BIG5": ("big5", "一隻狗坐在窗邊的墊子上。"),
    "CP949": ("euc-kr", "개가 창가의 매트 위에 앉아 있다."),
    "CP874": ("tis-620", "สุนัขนั่งอยู่บนเสื่อ"),
    "CP1256": ("cp1256", "كلب يجلس على السجادة قرب النافذة."),
}


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "json"])
@pytest.mark.parametrize("kind", ENCODINGS)
def test_another_encoding_is_told_with_its_line_and_the_command_that_fits(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    codec, text = ENCODINGS[kind]
    lines = {
        "txt": ["A dog.", text],
        "csv": ["caption", f'"{text}"'],
        "jsonl": ['"A dog."', json.dumps(text, ensure_ascii=False)],
        "json": ['["A dog.",', f"{json.dumps(text, ensure_ascii=False)}]"],
    }[suffix]
    path = write(tmp_path, f"t.{suffix}", "\n".join(lines).encode(codec))
    messages = []
    for read in (lambda: imported(tmp_path, path), lambda: read_source(FileSource(path=str(path)))):
        with pytest.raises(InputError) as raised:
            read()
        messages.append(str(raised.value).replace(f"{tmp_path}/", ""))
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"t.{suffix}, line 2: not UTF-8 (byte 0x")
    assert f"iconv -f {kind.split()[0]} -t UTF-8 t.{suffix} > t-utf8.{suffix}" in messages[0]


@pytest.mark.parametrize(
    ("third", "advice"),
    [
        ("number 3", "In CP1252 the line reads 'A café here.,40'. If correct, run: iconv -f CP1252 "),
        ("nº 3", "Correct this line: the lines before it are UTF-8. In CP1252 the line reads 'A café here.,40'."),
    ],
)
def test_one_bad_byte_among_good_lines(third: str, advice: str, tmp_path: Path) -> None:
    rows = "".join(f"A dog number {number}.,{number}\n" for number in range(1, 40)).replace("number 3.", f"{third}.")
    path = write(tmp_path, "t.csv", f"caption,id\n{rows}".encode() + b"A caf\xe9 here.,40\n")
    with pytest.raises(InputError) as raised:
        imported(tmp_path, path)
    assert raised.value.message == "t.csv, line 41: not UTF-8 (byte 0xe9 in column 6)"
    assert raised.value.advice.startswith(advice)


@pytest.mark.parametrize(
    "text", ["Parents walk.", "PARENTS WALK.", "Pk here.", "{a} b", "[a] b", "<b> c", "Arrow1 up."]
)
def test_texts_that_begin_like_another_kind_are_texts(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, "t.txt", f"{text}\n")
    assert [row["caption"] for row in captions(imported(tmp_path, path))] == [text]


@dataclass
class Refused:
    name: str
    content: Any
    told: str
    """Of the message."""
    advice: str
    column: str | None = None


LIST = '{"from": "human"'
REFUSED = {
    "no header": Refused("t.csv", f"{DOG}\n{CAT}\n", "line 1: the header looks like a text", "caption"),
    "no header, one column": Refused(
        "t.csv", "A dog sits there.\nA cat.\n", "the header looks like", "rename the file to t.txt"
    ),
    "no header, Chinese": Refused("t.csv", "一只狗。\n一只猫。\n", "the header looks like a text", "t.txt"),
    "no header, ids": Refused("t.csv", "1;A dog sits there.\n2;A cat.\n", "the header looks like", "id,caption"),
    "no column": Refused(
        "t.csv", "id;prompt\n1;a\n", "no column caption or text; it has 'id', 'prompt'", "--column NAME"
    ),
    "another column": Refused("t.csv", QUOTED, "no column 'titel'; it has 'id', 'caption'", "--column", "titel"),
    "a column twice": Refused("t.csv", "caption,caption\na,b\n", "2 columns have the name 'caption'", "its own name"),
    "a comma in a text": Refused(
        "t.csv", f"id,caption\n1,{DOG}\n", "line 2: 3 fields, but the header has 2", "quotation marks"
    ),
    "an open quotation mark": Refused("t.csv", 'id,caption\n1,"a\n', "row that begins in line 2", '""big""'),
    "a title before the header": Refused(
        "t.csv", f"My captions\nid,caption\n1,{CAT}\n", "line 2: 2 fields, but the header has 1", "remove it"
    ),
    "a separator that is not known": Refused("t.csv", "id:caption\n1:a\n", "separator is not known", "semicolons"),
    "columns held apart by spaces": Refused("t.tsv", "id  caption\n1  a\n", "separator is not known", "tabs"),
    "ids in two columns": Refused("t.csv", "id,caption,id\n1,a,2\n", "2 columns have the name 'id'", "its own name"),
    "a table in a .txt": Refused("t.txt", "image,caption\n1.jpg,a\n", "the header of a table, not a text", "t.csv"),
    "rows of a table in a .txt": Refused("t.txt", "1.jpg\ta\n2.jpg\tb\n", "the row of a table", "to t.tsv, and put"),
    "a column of a .txt": Refused("t.txt", "a\n", "no column 'caption'", "Omit --column.", "caption"),
    "lines in quotation marks": Refused("t.csv", '"id,caption"\n"1,a"\n', "separator is not known", "whole lines"),
    "a long line": Refused("t.txt", "a " * (3 << 20), "line 1: longer than 4,194,304 characters", "Remove what is not"),
    "a long item": Refused("t.json", ["a " * (3 << 20)], "item 1: not JSON, or longer than", "Remove what is not"),
    "JSON in a .txt": Refused("t.txt", ' [{"caption": "a"}]', "it is JSON, not a .txt file", "Rename it to .json."),
    "JSON in a .csv": Refused("t.csv", '{"caption": "a"}\n', "it is JSON, not a .csv file", "Rename it to .json."),
    "a web page": Refused("t.txt", "\n<!DOCTYPE html>\n<html>", "it is a web page, not a .txt file", "/resolve/"),
    "a pointer": Refused(
        "t.csv", "version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"
    ),
    "a pointer to Parquet": Refused("t.parquet", "version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs"),
    "a pointer to a shard": Refused("t.tar", "version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    "Arrow in a .parquet": Refused("t.parquet", b"ARROW1\0\0", "an Arrow file, not a .parquet", "Convert it"),
    "encrypted Parquet": Refused("t.parquet", b"PARE\0\0", "an encrypted Parquet file", "Decrypt"),
    "empty Parquet": Refused("t.parquet", b"", "not readable as Parquet", "It is empty."),
    "a database": Refused("t.csv", b"SQLite format 3\0" + bytes(90), "an SQLite database", "CSV"),
    "zero bytes": Refused("t.csv", b"\x93\0\0\0" * 99, "many of its bytes are zero", "UTF-8"),
    "a spreadsheet": Refused("t.csv", b"PK\x03\x04xx", "a zip archive or a spreadsheet, not a .csv file", "CSV"),
    "gzip": Refused(
        "t.jsonl", b"\x1f\x8b\x08xx", "it is a gzip archive, not a .jsonl file", "gunzip < t.jsonl > t-unpacked.jsonl"
    ),
    "an unknown suffix": Refused("t.xlsx", b"PK\x03\x04", "unknown kind of file; it is a zip archive or", "as CSV"),
    "a compressed shard": Refused(
        "t.tar.gz", b"\x1f\x8b\x08", "unknown kind of file; it is a gzip", "gunzip < t.tar.gz > t.tar"
    ),
    "cut within a character": Refused(
        "t.txt", "Un café\nUn caf".encode() + b"\xc3", "line 2: not UTF-8 (byte 0xc3 in column 7)", "truncated within"
    ),
    "Parquet by another name": Refused("t.txt", b"PAR1xx", "it is a Parquet file", "Rename it to .parquet"),
    "COCO without captions": Refused(
        "t.json",
        {"images": [{"id": 1}], "annotations": [{"bbox": [1]}]},
        "an object with 'images', 'annotations'",
        "--column NAME: the items of 'images' have 'id'; the items of 'annotations' have 'bbox'.",
    ),
    "two lists of rows": Refused(
        "t.json",
        {"train": [{"caption": "a"}], "test": [{"caption": "b"}]},
        "'train', 'test'",
        "jq '.[\"train\"]' t.json",
    ),
    "columns": Refused("t.json", {"id": [1, 2], "caption": ["a", "b"]}, "'id', 'caption'", "orient='records'"),
    "columns of pandas": Refused(
        "t.json", {"caption": {"0": "a"}, "id": {"0": 1}}, "'caption', 'id'", "orient='records'"
    ),
    "columns of texts": Refused(
        "t.json", {"captions": ["a"], "ids": [1]}, "'captions', 'ids'", "jq '.[\"captions\"]' t.json"
    ),
    "a split table": Refused("t.json", {"columns": ["a"], "data": [[1]]}, "'columns', 'data'", "orient='records'"),
    "a list further in": Refused("t.json", {"m": {}, "data": {"train": ROWS}}, "'m', 'data'", '.["data"]["train"]'),
    "rows by id": Refused("t.json", {"1": {"caption": "a"}}, "an object with '1'", "{id: .key} + .value"),
    "no rows at all": Refused("t.json", {"error": "not found"}, "an object with 'error'", "Use a list of items"),
    "captions by id": Refused("t.json", {"1": "a", "2": "b"}, "found an object with '1', '2'", "to_entries"),
    "one object": Refused("t.json", {"caption": "a"}, "found an object with 'caption'", "jq -s ."),
    "a cut list": Refused("t.json", '[{"caption": "a"}, {"cap', "item 2: not JSON, or truncated", "is missing"),
    "a broken line": Refused("t.jsonl", '{"caption": "a"}\n{"cap\n', "line 2: not JSON", "is missing"),
    "a comma too many": Refused("t.json", '[{"caption": "a"},]', "item 2: not JSON", "no comma before a closing"),
    "a value of several lines": Refused("t.jsonl", '{\n"caption": "a"}\n', "line 1: not JSON", "jq -c . t.jsonl >"),
    "several objects": Refused("t.json", '{"caption":\n"a"}{"caption": "b"}', "after the object", "jq -s . t.json >"),
    "several lists": Refused("t.json", '["a"]\n["b"]', "unexpected text after the list", "jq -s add t.json >"),
    "a table in a .jsonl": Refused("t.jsonl", QUOTED, "line 1: not JSON", "that format's suffix, e.g. .csv"),
    "a key twice": Refused("t.jsonl", '{"caption": "a", "caption": "b"}\n', "the key 'caption' occurs twice", ""),
    "captions in a list": Refused("t.json", [{"caption": ["a"]}], "expected a string, found a list", "a row for each"),
    "half a surrogate pair": Refused("t.json", r'["\ud83d"]', "item 1: half a surrogate pair", "remove the row"),
    "an answer that is a number": Refused(
        "t.json",
        [{"messages": [MESSAGES[0], {"role": "assistant", "content": 5}]}],
        'turn 2, "content": expected a string, found a number',
        "Write it as a string.",
    ),
    "turns of text": Refused("t.json", [{"conversations": ["a", "b"]}], "turn 1: expected an object", LIST),
    "turns as Python writes them": Refused(
        "t.csv",
        "caption|conversations\na|[{'from': 'human'}]\n",
        'field "conversations": expected a list',
        "json.dumps",
    ),
    "an object of turns": Refused("t.json", [{"conversations": {"q": "a"}}], "expected a list of turns", LIST),
    "an id of another kind": Refused(
        "t.json", [{"id": [1], "caption": "a"}], 'field "id": expected', "text or as numbers"
    ),
    "numbers for captions": Refused(
        "t.parquet", pa.table({"caption": [1], "b": ["x"]}), "caption holds int64, not text", "Convert it to strings."
    ),
    "lists of captions": Refused("t.parquet", pa.table({"caption": [["a"]]}), "caption holds list<", "a row for each"),
    "a column of Parquet twice": Refused(
        "t.parquet",
        pa.table([["a"], ["b"]], names=["caption", "caption"]),
        "2 columns have the name 'caption'",
        "its own name",
    ),
    "Latin-1 in Parquet": Refused(
        "t.parquet",
        pa.table(
            {
                "caption": pa.Array.from_buffers(
                    pa.string(), 1, [None, *map(pa.py_buffer, (b"\0\0\0\0\5\0\0\0", b"caf\xe9x"))]
                )
            }
        ),
        'row 1, field "caption": not UTF-8 (byte 0xe9)',
        "as UTF-8",
    ),
    "cut Parquet": Refused("t.parquet", b"PAR1" + b"x" * 40, "not readable as Parquet", "Get the file again"),
    "no Parquet": Refused("t.parquet", b"caption\na\n", "not readable as Parquet", "It is not a Parquet file."),
    "no tar": Refused("t.tar", b"x" * 2000, "not readable as tar", "Get the file again"),
    "a compressed tar": Refused("t.tar", b"\x1f\x8b\x08xx", "a gzip archive, not a .tar", "gunzip"),
    "a tar cut between members": Refused("t.tar", SHARD[:2048], "no end of the archive at byte 2,048", "Get the file"),
    "a tar cut in a header": Refused(
        "t.tar", SHARD[:2100], "no end of the archive at byte 2,048", "Get the file again"
    ),
    "a damaged header": Refused("t.tar", SHARD[:2048] + b"x" + SHARD[2049:], "at byte 2,048", "Get the file again"),
    "two tars": Refused("t.tar", SHARD * 2, "data follows the end of the archive", "--ignore-zeros"),
    "Latin-1 in a shard": Refused(
        "t.tar",
        tar(("a.jpg", b"x"), ("a.json", b'"caf\xe9"')),
        "sample 1, 'a.json': not UTF-8 (byte 0xe9 in column 5)",
        "as UTF-8",
    ),
    "a sample that is no JSON": Refused("t.tar", tar(("a.json", b"{")), "sample 1, 'a.json': not JSON", "is missing"),
    "a tar of pictures": Refused("t.tar", tar(("a.jpg", b"x")), "no captions in t.tar: 1 no_json", "requires KEY.json"),
    "no captions": Refused(
        "t.json",
        [{"prompt": "Q?", "output": DOG}],
        "no captions in t.json: 1 no_caption",
        "values of 'output': 1",
    ),
    "conversations alone": Refused(
        "t.json", [{"id": 1, "messages": MESSAGES * 2}], "no captions in t.json: 1 no_caption", "with the same id"
    ),
    "no rows": Refused("t.csv", "id,caption\n", "no captions in t.csv: the files are empty", ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_told_with_a_remedy_that_fits(kind: str, tmp_path: Path) -> None:
    case = REFUSED[kind]
    path = write(tmp_path, case.name, case.content)
    with pytest.raises(InputError) as raised:
        imported(tmp_path, path, column=case.column)
    assert case.told in raised.value.message
    assert case.name in raised.value.message
    assert case.advice in raised.value.advice
    if "Parquet" not in kind and "tar" not in case.name:
        assert "Get the file again" not in raised.value.advice


PARTS = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "Q?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "A."}]},
]
READ: dict[str, tuple[str, Any]] = {
    "lines in a .json": ("t.json", "".join(json.dumps(row) + "\n" for row in ROWS)),
    "a list in a .jsonl": ("t.jsonl", ROWS),
    "COCO": ("t.json", {"info": {}, "images": [{"id": 1}], "annotations": ROWS}),
    "an object with data": ("t.json", {"version": 1, "data": ROWS}),
    "an object with items": ("t.json", {"items": ROWS}),
    "UTF-16 JSON": ("t.json", json.dumps(ROWS).encode("utf-16")),
    "ids of numbers": ("t.json", [{**row, "id": int(str(row["id"]))} for row in ROWS]),
    "ids of floats": ("t.parquet", pa.table({"id": [1.0, 2.0], "caption": [DOG, CAT]})),
    "Parquet in capitals": ("t.parquet", pa.table({"ID": ["1", "2"], "Caption": [DOG, CAT]})),
    "ids of decimals": ("t.parquet", pa.table({"id": [Decimal(1), Decimal(2)], "caption": [DOG, CAT]})),
    "joined lines": ("t.jsonl", "".join("\ufeff" + json.dumps(row) + "\n" for row in ROWS)),
    "endings in capitals": ("t.tar", tar(*((f"{at}.JSON", json.dumps(row).encode()) for at, row in enumerate(ROWS)))),
    "a long field": (
        "t.csv",
        QUOTED.replace("id", "url,id").replace("\n1", f"\n{'x' * 200_000},1").replace("\n2", "\n,2"),
    ),
    "the one column of text": ("t.parquet", pa.table({"id": [1, 2], "prompt": [DOG, CAT]})),
}


@pytest.mark.parametrize("kind", READ)
def test_rows_in_other_forms_are_read(kind: str, tmp_path: Path) -> None:
    taken = imported(tmp_path, write(tmp_path, *READ[kind]))
    assert [(row["id"], row["caption"]) for row in captions(taken)] == TWO


TALKS: dict[str, tuple[str, Any]] = {
    "a column of a table": ("t.csv", f"caption|conversations\nC.|{json.dumps(TURNS)}\n"),
    "text in Parquet": ("t.parquet", pa.table({"caption": ["C."], "conversations": [json.dumps(TURNS)]})),
    "lists in Parquet": (
        "t.parquet",
        pa.table({"caption": ["C."], "conversations": [{"from": ["human", "gpt"], "value": ["Q?", "A."]}]}),
    ),
    "messages": ("t.json", [{"caption": "C.", "messages": MESSAGES}]),
    "conversation": ("t.json", [{"caption": "C.", "conversation": TURNS}]),
    "messages where conversations are null": (
        "t.json",
        [{"caption": "C.", "conversations": None, "messages": MESSAGES}],
    ),
    "names in capitals": ("t.json", [{"caption": "C.", "conversations": [{**TURNS[0], "from": "Human"}, TURNS[1]]}]),
    "names of models": ("t.json", [{"caption": "C.", "conversations": [TURNS[0], {"from": "chatgpt", "value": "A."}]}]),
    "keys of both forms": (
        "t.json",
        [{"caption": "C.", "conversations": [{"role": "user", "value": "Q?"}, {"from": "gpt", "content": "A."}]}],
    ),
    "parts": ("t.json", [{"caption": "C.", "messages": PARTS}]),
    "a system turn": ("t.json", [{"caption": "C.", "conversations": [{"from": "system", "value": "S."}, *TURNS]}]),
}


@pytest.mark.parametrize("kind", TALKS)
def test_conversations_in_other_forms_are_read(kind: str, tmp_path: Path) -> None:
    taken = imported(tmp_path, write(tmp_path, *TALKS[kind]))
    assert [row["caption"] for row in captions(taken)] == ["C."]
    (row,) = conversations(taken)
    assert [turn["value"] for turn in row["conversations"]] == ["<image>\nQ?", "A."]


@dataclass
class Left:
    name: str
    content: Any
    expected: dict[tuple[str, str], int]
    first: str
    """In the example of the first."""
    num_kept: int = 1


LEFT = {
    "a column": Left(
        "t.csv", f"caption;url\n{DOG};http://a\n", {("values of 'url'", "not_read"): 1}, "t.csv, line 2: 'h"
    ),
    "a column of Parquet": Left(
        "t.parquet", pa.table({"caption": [DOG], "n": [1]}), {("values of 'n'", "not_read"): 1}, "t.parquet: 'int64'"
    ),
    "a key": Left(
        "t.json", [{"caption": DOG, "system": "S."}], {("values of 'system'", "not_read"): 1}, "item 1: 'S.'"
    ),
    "a picture": Left(
        "t.json", [{"caption": DOG, "image": "a.jpg"}], {("values of 'image'", "not_read"): 1}, "'a.jpg'"
    ),
    "a system turn": Left(
        "t.json",
        [{"caption": DOG, "conversations": [{"from": "system", "value": "S."}, *TURNS]}],
        {("turns", "system"): 1},
        "'S.'",
    ),
    "a part": Left(
        "t.json", [{"caption": DOG, "messages": PARTS}], {("parts of type 'image_url'", "not_read"): 1}, "turn 1"
    ),
    "a key of a turn": Left(
        "t.json",
        [{"caption": DOG, "conversations": [{**TURNS[0], "weight": 0}, TURNS[1]]}],
        {("values of 'weight' in turns", "not_read"): 1},
        "turn 1: '0'",
    ),
    "a pair taken for a caption": Left(
        "t.json", [{"id": 1, "conversations": TURNS}], {("question-answer pairs", "taken_for_captions"): 1}, "Q? A."
    ),
    "a blank line": Left("t.txt", f"{DOG}\n\n \n", {("captions", "blank"): 2}, "t.txt, line 2"),
    "a blank row": Left("t.csv", f"caption\n\n{CAT}\n", {("captions", "blank"): 1}, "t.csv, line 2"),
    "an image mark": Left("t.txt", f"A sign says <image>.\n{DOG}\n", {("captions", "image"): 1}, "line 1: 'A sign"),
    "null": Left(
        "t.jsonl", f'{{"caption": null}}\n{{"caption": NaN}}\n"{DOG}"\n', {("captions", "blank"): 2}, "line 1"
    ),
    "an empty conversation": Left(
        "t.json",
        [{"caption": DOG, "conversations": "", "messages": "null", "url": None}, {"caption": CAT, "url": 1}],
        {("values of 'url'", "not_read"): 1},
        "item 2",
        2,
    ),
    "roles that do not alternate": Left(
        "t.json", [{"caption": DOG, "conversations": TURNS[:1]}], {("conversations", "roles"): 1}, "alternate: human"
    ),
    "the header of a joined table": Left(
        "t.csv", f"id,caption\n1,{CAT}\nid,caption\n", {("rows", "header_again"): 1}, "t.csv, line 3"
    ),
    "nothing": Left("t.json", [None, "\u200b", DOG], {("captions", "blank"): 2}, "item 1"),
    "a control character": Left("t.json", ["a\x00b", DOG], {("captions", "control"): 1}, "item 1: 'a�b'"),
    "a control character in an id": Left(
        "t.json", [{"id": "\x07", "caption": CAT}, DOG], {("captions", "control"): 1}, ""
    ),
    "the conversation of a caption that is left out": Left(
        "t.json",
        [{"caption": " ", "conversations": [*TURNS, *TURNS]}, DOG],
        {("captions", "blank"): 1, ("conversations", "no_caption"): 1},
        "item 1",
    ),
    "choices that are none": Left(
        "t.json",
        [{"caption": DOG, "task": "multiple_choice", "conversations": TURNS}],
        {("values of 'task'", "other_task"): 1},
        "multiple_choice",
    ),
    "samples without a .json": Left(
        "t.tar",
        tar(("a.json", sample(DOG)), ("b.txt", b"x"), ("c.03.json", sample(CAT)), ("d.npy", b"x")),
        {("samples", "no_json"): 3},
        "t.tar, sample 2: 'b.txt'",
    ),
    "members beside the .json": Left(
        "t.tar", tar(("a.jpg", b"x"), ("a.json", sample(DOG))), {("members .jpg", "not_read"): 1}, "sample 1: 'a.jpg'"
    ),
    "members that come again": Left(
        "t.tar", tar(("a.json", sample(DOG)), ("a.json", sample(CAT))), {("members", "again"): 1}, "sample 1"
    ),
    "members that are hidden": Left(
        "t.tar", tar(("._a.json", b"x"), ("x/a.json", sample(DOG))), {("members", "hidden"): 1}, "._a.json"
    ),
    "another list": Left(
        "t.json",
        {"images": [1, 2], "annotations": [{"caption": DOG}]},
        {("items of 'images'", "not_read"): 2},
        "t.json",
    ),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_left_out_is_counted_with_an_example(kind: str, tmp_path: Path) -> None:
    case = LEFT[kind]
    taken = imported(tmp_path, write(tmp_path, case.name, case.content))
    found = taken.record.left_out
    assert {(each.what, each.reason): each.num for each in found} == case.expected
    assert case.first in found[0].example
    assert str(found[0]).startswith(f"skipped {found[0].what}: {found[0].num}, ")
    assert len(captions(taken)) == case.num_kept


def test_kinds_of_what_is_left_out_are_bounded(tmp_path: Path) -> None:
    path = write(tmp_path, "t.json", [{"caption": f"a {at}", f"key {at}": at} for at in range(300)])
    found = imported(tmp_path, path).record.left_out
    assert len(found) == 101
    assert found[-1] == LeftOut(what="other parts", reason="not_read", num=200, example="t.json, item 101: '100'")


GOOD = [0.5, 0.25, -1.0]
VECTORS: dict[str, tuple[Any, str]] = {
    "not a number": ([GOOD, [0.5, float("nan"), 1.0]], "contains NaN"),
    "null in it": ([GOOD, [0.5, None, 1.0]], "contains NaN"),
    "infinite": ([GOOD, [0.5, float("inf"), 1.0]], "contains infinity"),
    "zero": ([GOOD, [0.0, 0.0, 0.0]], "its embedding is zero"),
    "another length": ([GOOD, [0.5, 1.0]], "has 2 dimensions, but earlier ones have 3"),
    "empty": ([GOOD, []], "is empty or null"),
    "null": ([GOOD, None], "is empty or null"),
}


@pytest.mark.parametrize("suffix", ["parquet", "json"])
@pytest.mark.parametrize("kind", VECTORS)
def test_vectors_without_direction_are_told_with_file_and_row(kind: str, suffix: str, tmp_path: Path) -> None:
    vectors, told = VECTORS[kind]
    if suffix == "json" and kind == "null":
        told = "it has no embedding"
    rows = [{"caption": caption, "image_embedding": vector} for caption, vector in zip("ab", vectors, strict=True)]
    content = pa.Table.from_pylist(rows) if suffix == "parquet" else rows
    path = write(tmp_path, f"t.{suffix}", content)
    with pytest.raises(InputError) as raised:
        imported(tmp_path, path, with_vectors=True)
    assert raised.value.message.startswith(f"t.{suffix}, {'row' if suffix == 'parquet' else 'item'} 2: ")
    assert told in raised.value.message
    assert "--encoder" in raised.value.advice


@pytest.mark.parametrize("suffix", ["parquet", "json"])
@pytest.mark.parametrize("vector", [5.0, "[0.5]", [[0.5]], {"0": 0.5}], ids=str)
def test_vectors_of_another_form(vector: Any, suffix: str, tmp_path: Path) -> None:
    rows = [{"caption": "a", "image_embedding": vector}]
    path = write(tmp_path, f"t.{suffix}", pa.Table.from_pylist(rows) if suffix == "parquet" else rows)
    with pytest.raises(InputError, match=r"1: its embedding is not a list of floating-point numbers") as raised:
        imported(tmp_path, path, with_vectors=True)
    assert raised.value.advice.startswith("Write embeddings as lists of floating-point numbers")


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.ones((2, 2), np.float32), "shape (2, 2)"),
        (np.ones(3, np.int8), "an array of int8"),
        (np.full(3, np.nan, np.float16), "NaN"),
    ],
)
def test_vectors_in_a_shard(vector: Any, told: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, vector)
    path = write(tmp_path, "t.tar", tar(("a.json", sample(DOG)), ("a.npy", stream.getvalue())))
    with pytest.raises(InputError, match=r"t\.tar, sample 1: ") as raised:
        imported(tmp_path, path, with_vectors=True)
    assert told in raised.value.message
    assert "--encoder" in raised.value.advice


@pytest.mark.parametrize("size", [1e6, 1e-9])
def test_vectors_that_float16_cannot_hold(size: float, tmp_path: Path) -> None:
    path = write(tmp_path, "t.json", [{"caption": "a", "image_embedding": [size, size]}])
    with pytest.raises(InputError, match=r"t\.json, item 1: float16 cannot represent its embedding"):
        imported(tmp_path, path, with_vectors=True, stored="float16")
    assert imported(tmp_path, path, with_vectors=True).record.dim == 2


def test_vectors_are_read_from_lists_too(tmp_path: Path) -> None:
    path = write(tmp_path, "t.json", [{"caption": "a", "image_embedding": [1, 0.5]}])
    assert imported(tmp_path, path, with_vectors=True).record.dim == 2
    assert imported(tmp_path, path).record.left_out[0].what == "values of 'image_embedding'"
    large = write(tmp_path, "large.json", [{"caption": "a", "image_embedding": [10**400]}])
    with pytest.raises(InputError, match="an array of object"):
        imported(tmp_path, large, with_vectors=True)
