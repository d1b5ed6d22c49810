"""Questions are read from labelled pictures, from one's own tables, and from benchmarks in their published forms."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pixels

from unicorn_hf.core.errors import InputError
from unicorn_hf.evaluation.questions import (
    NUM_CHOICES,
    WHAT,
    Question,
    first_letter,
    letter_of,
    normal,
    questions,
    yes_or_no,
)
from unicorn_hf.representations.pictures import PictureSource

GREY = Pixels.new("RGB", (4, 4), "grey")
TEXT, NUMBER = Value("string"), Value("int64")


def asked(folder: Path, split: str = "test") -> list[Question]:
    pictures = list(PictureSource(str(folder), limit=100, split=split))
    return [question for of_picture in questions(pictures) for question in of_picture]


def published(folder: Path, columns: dict[str, Any], *rows: dict[str, Any], split: str = "test") -> list[Question]:
    data = Dataset.from_list([{"image": GREY, **row} for row in rows], features=Features({"image": Image(), **columns}))
    data.to_parquet(folder / f"{split}.parquet")
    return asked(folder, split)


def table(folder: Path, *rows: dict[str, str]) -> list[Question]:
    for name in {row["file_name"] for row in rows}:
        GREY.save(folder / name)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return asked(folder)


# -- Labels -----------------------------------------------------------------------------------------------------------


def test_the_label_of_a_picture_is_the_name_of_its_folder(tmp_path: Path) -> None:
    for label in ("red_panda", "cat", "dog", "fox", "owl"):
        (tmp_path / label).mkdir()
        GREY.save(tmp_path / label / "one.png")
    found = {question.answers[0]: question for question in asked(tmp_path)}
    assert set(found) == {"red panda", "cat", "dog", "fox", "owl"}
    for label, question in found.items():
        assert question.text == WHAT and question.read is None
        assert question.right is not None and question.options[question.right] == label
        assert len(set(question.options)) == NUM_CHOICES and set(question.options) <= set(found)


def test_a_column_or_a_class_of_a_data_set_is_the_label(tmp_path: Path) -> None:
    names = ["cat", "dog", "owl"]
    kinds = {"text": TEXT, "class": ClassLabel(names=names)}
    for form, kind in kinds.items():
        (tmp_path / form).mkdir()
        rows = [{"label": name if form == "text" else number} for number, name in enumerate(names)]
        found = published(tmp_path / form, {"label": kind}, *rows)
        assert sorted(question.answers for question in found) == [("cat",), ("dog",), ("owl",)]
        assert all(question.options == tuple(names) for question in found)


def test_the_order_of_files_does_not_change_the_options(tmp_path: Path) -> None:
    rows = [{"file_name": f"{number}.png", "label": f"thing {number}"} for number in range(9)]
    found = {}
    for name, part in (("all", rows), ("other order", rows[::-1])):
        (tmp_path / name).mkdir()
        found[name] = {question.answers: question.options for question in table(tmp_path / name, *part)}
    assert found["all"] == found["other order"]


def test_one_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all images have the label 'cat'"):
        table(tmp_path, {"file_name": "one.png", "label": "cat"}, {"file_name": "two.png", "label": "cat"})


# -- One's own questions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "right"),
    [
        ("a cat|a dog", "a dog", 1),
        ('["a cat", "a dog, or two"]', "A dog, or two", 1),
        ("a cat|a dog", "B", 1),
        ("a cat|a dog", "0", 0),
        ("7|0|3", "0", 1),
        ("", "Yes", 0),
        ("", "no", 1),
    ],
)
def test_the_answer_is_an_option_its_letter_or_its_number(
    options: str, answer: str, right: int, tmp_path: Path
) -> None:
    [question] = table(
        tmp_path, {"file_name": "one.png", "question": "What?", "options": options, "answer": answer, "kind": "animals"}
    )
    assert (question.right, question.read, question.kind) == (right, None, "animals")
    assert question.text == "What?"


def test_a_picture_may_have_several_questions(tmp_path: Path) -> None:
    row = {"file_name": "one.png", "options": "a|b", "answer": "a"}
    found = table(tmp_path, {**row, "question": "First?"}, {**row, "question": "Second?"})
    assert [question.text for question in found] == ["First?", "Second?"]
    assert {question.unit for question in found} == {"one.png"}


def test_a_short_answer_is_compared_without_articles_and_punctuation(tmp_path: Path) -> None:
    columns = {"question": TEXT, "answer": List(TEXT)}
    [question] = published(tmp_path, columns, {"question": "Who?", "answer": ["The Fox.", "a vixen"]})
    assert question.read and question.answers == ("fox", "vixen") and not question.options
    assert question.read("A fox!\nIt is red.") in question.answers
    assert question.read("a foxglove") not in question.answers


@pytest.mark.parametrize("answer", ["a bird", "C", "2", "-1"])
def test_an_answer_that_is_no_option_is_named(answer: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one\.png, question 0: "):
        table(tmp_path, {"file_name": "one.png", "question": "What?", "options": "a cat|a dog", "answer": answer})


SCIENCE: dict[str, Any] = {"question": "Q", "hint": "", "subject": "s", "choices": ["a", "b"], "answer": 0}
BENCH: dict[str, Any] = {"question": "Q", "answer": "A", "index": 1, "A": "a", "B": "b", "category": "c"}


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Q", "answer": "A", "options": "[" * 100_000},
        {"question": "Q", "answer": "a", "options": ["a", " "]},
        SCIENCE | {"answer": 7},
        SCIENCE | {"answer": -1},
        SCIENCE | {"answer": math.inf},
        SCIENCE | {"choices": list(map(str, range(40)))},
        SCIENCE | {"choices": 5},
        BENCH | {"answer": "D"},
        BENCH | {"index": math.inf},
    ],
    ids=lambda row: str(row)[:60],
)
def test_a_question_of_another_form_is_named(row: dict[str, Any], tmp_path: Path) -> None:
    GREY.save(tmp_path / "one.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "one.png", **row}))
    with pytest.raises(InputError, match=r"one\.png, question 0: "):
        asked(tmp_path)


# -- Benchmarks -------------------------------------------------------------------------------------------------------


def test_pope_in_its_published_form(tmp_path: Path) -> None:
    columns = dict.fromkeys(("id", "question_id", "question", "answer", "image_source", "category"), TEXT)
    row = {"id": "0", "question_id": "1", "image_source": "COCO_val2014_000000310196", "category": "random"}
    found = published(
        tmp_path, columns,
        {**row, "question": "Is there a snowboard in the image?", "answer": "yes"},
        {**row, "question": "Is there a dog in the image?", "answer": "no"},
    )  # fmt: skip
    assert sorted(question.text for question in found) == [
        "Is there a dog in the image?\nAnswer the question using a single word or phrase.",
        "Is there a snowboard in the image?\nAnswer the question using a single word or phrase.",
    ]
    assert {(question.unit, question.kind, question.read) for question in found} == {
        ("COCO_val2014_000000310196", "random", yes_or_no)
    }


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("Yes", "yes"),
        ("No, there is none", "no"),
        ("There is not. Yes", "no"),
        ("Yes. No", "yes"),
        ("a snowboard", "yes"),
        ("nothing", "yes"),
    ],
)
def test_pope_reads_all_that_is_not_a_no_as_yes(reply: str, read: str) -> None:
    assert yes_or_no(reply) == read


SCIENCE_QA = {
    "question": TEXT, "choices": List(TEXT), "answer": Value("int8"), "hint": TEXT, "task": TEXT, "grade": TEXT,
    "subject": TEXT, "topic": TEXT, "category": TEXT, "skill": TEXT, "lecture": TEXT, "solution": TEXT,
}  # fmt: skip


def test_science_qa_in_its_published_form(tmp_path: Path) -> None:
    row = {
        **dict.fromkeys(SCIENCE_QA, ""),
        "question": "Which is farthest north?",
        "choices": ["Oslo", "Rome", "Cairo"],
    }
    found = published(
        tmp_path, SCIENCE_QA,
        {**row, "answer": 0, "subject": "social science"},
        {**row, "answer": 2, "subject": "social science", "hint": "Look at the map."},
        {**row, "answer": 2, "subject": "social science", "image": None},
    )  # fmt: skip
    assert {question.text: question.answers for question in found} == {
        "Which is farthest north?\nA. Oslo\nB. Rome\nC. Cairo\n"
        "Answer with the option's letter from the given choices directly.": ("A",),
        "Context: Look at the map.\nWhich is farthest north?\nA. Oslo\nB. Rome\nC. Cairo\n"
        "Answer with the option's letter from the given choices directly.": ("C",),
    }
    assert all(question.options == ("Oslo", "Rome", "Cairo") for question in found)
    assert [question.kind for question in found] == ["social science"] * 2


def test_mm_bench_in_its_published_form(tmp_path: Path) -> None:
    names = ("question", "hint", "answer", "A", "B", "C", "D", "category", "source", "L2-category", "comment", "split")
    columns = {"index": NUMBER, **dict.fromkeys(names, TEXT)}
    row = {**dict.fromkeys(names, "nan"), "question": "What is it?", "category": "ocr", "A": "tea", "B": "coffee"}
    found = published(
        tmp_path, columns,
        {**row, "index": 241, "answer": "B"},
        {**row, "index": 1000241, "answer": "A", "A": "coffee", "B": "tea", "hint": "Read the sign."},
        {**row, "index": 7, "answer": "A"},
        split="validation",
    )  # fmt: skip
    by_index = {(question.group, question.answers): question for question in found}
    assert set(by_index) == {("241", ("B",)), ("241", ("A",)), ("7", ("A",))}
    assert by_index["241", ("B",)].text == (
        "What is it? There are several options:\nA. tea\nB. coffee\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert by_index["241", ("A",)].text.startswith("Read the sign. What is it? There are several options:\nA. coffee")
    assert {question.unit for question in found} == {"question 241", "question 7"}


def test_mm_bench_without_answers_is_refused(tmp_path: Path) -> None:
    columns = {"index": NUMBER, **dict.fromkeys(("question", "hint", "answer", "A", "B", "C", "D", "category"), TEXT)}
    row = {**dict.fromkeys(columns, "nan"), "index": 1}
    with pytest.raises(InputError, match="row 0, question 0: the answer is missing"):
        published(tmp_path, columns, row)


def test_mm_star_in_its_published_form(tmp_path: Path) -> None:
    meta = {"source": TEXT, "split": TEXT, "image_path": TEXT}
    columns = {
        "index": NUMBER,
        **dict.fromkeys(("question", "answer", "category", "l2_category"), TEXT),
        "meta_info": meta,
    }
    text = "Where is it?\nOptions: A: on the book., B: under it., C: beside it., D: behind it."
    row = {"index": 0, "question": text, "answer": "C", "category": "coarse perception", "l2_category": "scene"}
    columns |= {"index": NUMBER, "meta_info": meta}
    row |= {"meta_info": dict.fromkeys(meta, "x")}
    [question] = published(tmp_path, columns, row, split="validation")
    assert question.text == f"{text}\nAnswer with the option's letter from the given choices directly"
    assert question.answers == ("C",) and question.kind == "coarse perception" and not question.options


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        (" b.", ""),
        ("(C) a red car", "C"),
        ("The answer is B.", "B"),
        ("A dog sits on the grass", "B"),
        ("A. a cat", "A"),
        ("It could be A or B", ""),
        ("a dog", "B"),
        ("a cat and a dog", ""),
        ("", ""),
    ],
)
def test_a_letter_or_the_text_of_one_option_is_read(reply: str, letter: str) -> None:
    assert letter_of(reply, ("a cat", "dog", "a red car")) == letter


@pytest.mark.parametrize(
    ("reply", "letter"), [("B: under it", "B"), ("(c) x", "C"), ("Option D", "D"), ("The answer is A", "A"), ("", "")]
)
def test_mm_star_reads_the_first_letter(reply: str, letter: str) -> None:
    assert first_letter(reply) == letter


def test_normal_answers_are_idempotent() -> None:
    for text in ("The  Quick, brown fox!", "an apple a day", "42.", ""):
        assert normal(normal(text)) == normal(text)
