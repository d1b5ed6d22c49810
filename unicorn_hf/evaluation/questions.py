"""Questions about images, read from what a source says of each image.

A format is recognised by its columns. Those of published benchmarks ask, and read replies, as their own programs do;
see docs/evaluate.md for where those programs differ.
"""

import json
import math
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.representations.pictures import Picture

NUM_CHOICES = 4
WHAT = "What is in the picture?"
_LETTER = "Answer with the option's letter from the given choices directly"
_SHORT = "Answer the question using a single word or phrase."
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """A question about an image. With `read`, a model replies; without, the likelihoods of the options decide."""

    text: str
    answers: tuple[str, ...]
    """Any of them is right: among `options`, or what `read` makes of a reply."""
    options: tuple[str, ...] = ()
    right: int | None = None
    """The right one of `options`."""
    read: Callable[[str], str] | None = None
    max_tokens: int = 16
    kind: str = ""
    group: str = ""
    """Questions of one group count as one, which is right if all are."""
    unit: str = ""
    """What is drawn for the interval: the image, which several questions may share."""

    @property
    def key(self) -> list[Any]:
        return [self.text, self.answers, self.options, self.kind]


def questions(pictures: Sequence[Picture]) -> list[list[Question]]:
    """The questions about each image.

    Raises:
        InputError: a row's answer is not among its options, or there are fewer than two labels.
    """
    labels = sorted({label for picture in pictures if (label := _label(picture))})
    return [list(_of(picture, labels)) for picture in pictures]


def _of(picture: Picture, labels: Sequence[str]) -> Iterator[Question]:
    for number, row in enumerate(picture.rows):
        form = next((form for columns, form in _FORMATS if columns <= row.keys()), None)
        if form:
            try:
                yield _checked(form(row, picture.name))
            except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
                raise InputError(f"{picture.name}, question {number}: {error}") from error
    if label := _label(picture):
        yield _labelled(label, labels, picture.name)


def _checked(question: Question) -> Question:
    """
    Raises:
        ValueError: an option is empty, or the answer is none of the options.
    """
    if not all(option.strip() for option in question.options):
        raise ValueError("an option is empty")
    if question.right is not None and not 0 <= question.right < len(question.options):
        raise ValueError(f"the answer {question.right} is none of the {len(question.options)} options")
    return question


# -- Labels -----------------------------------------------------------------------------------------------------------


def _label(picture: Picture) -> str | None:
    """An image's label, if it has no question: from its row, or the name of its folder."""
    if any("question" in row for row in picture.rows):
        return None
    said = next((row["label"] for row in picture.rows if isinstance(row.get("label"), str)), picture.text)
    return said or PurePath(picture.name).parent.name.replace("_", " ") or None


def _labelled(label: str, labels: Sequence[str], name: str) -> Question:
    """Which of four labels? The others are drawn by the image's name."""
    if len(labels) < 2:
        raise InputError(f"all images have the label {label!r}", "Use images with at least two labels.")
    others = sorted((other for other in labels if other != label), key=lambda other: stable_int("option", name, other))
    options = tuple(sorted([label, *others[: NUM_CHOICES - 1]]))
    return Question(WHAT, (label,), options, options.index(label), unit=name)


# -- One's own questions ----------------------------------------------------------------------------------------------


def _own(row: Row, name: str) -> Question:
    """`question` and `answer`, with or without `options`."""
    question, answer = str(row["question"]), row["answer"]
    options = _options(row.get("options") or row.get("choices"))
    if not options and str(answer).strip().lower() in ("yes", "no"):
        options = ("Yes", "No")
    kind = str(row.get("kind") or row.get("category") or "")
    if not options:
        accepted = [answer] if isinstance(answer, str | int | float) else list(answer)
        answers = tuple(sorted({normal(str(one)) for one in accepted}))
        return Question(f"{question}\n{_SHORT}", answers, read=normal, max_tokens=32, kind=kind, unit=name)
    right = _right(answer, options)
    return Question(question, (options[right],), options, right, kind=kind, unit=name)


def _options(said: Any) -> tuple[str, ...]:
    """A list, or a text with a JSON list or with options between `|`."""
    if isinstance(said, str):
        said = json.loads(said) if said.lstrip().startswith("[") else said.split("|")
    return tuple(str(option).strip() for option in said) if said is not None else ()


def _right(answer: Any, options: Sequence[str]) -> int:
    """The number of the answer: it is an option's text, letter or number, counted from 0."""
    lowered = [option.lower() for option in options]
    text = str(answer).strip()
    if text.lower() in lowered:
        return lowered.index(text.lower())
    number = string.ascii_uppercase.find(text) if len(text) == 1 and text.isalpha() else int(text)
    if not 0 <= number < len(options):
        raise ValueError(f"the answer {text!r} is none of the options: {', '.join(options)}")
    return number


def normal(text: str) -> str:
    """A short answer in lower case, without articles, punctuation and what follows the first line."""
    first = text.strip().partition("\n")[0].lower()
    plain = "".join(" " if character in string.punctuation else character for character in first)
    return " ".join(word for word in plain.split() if word not in ("a", "an", "the"))


# -- Benchmarks -------------------------------------------------------------------------------------------------------


def _pope(row: Row, name: str) -> Question:
    """2305.10355. A reply is read as its evaluate.py does: all that is not a no is a yes."""
    text = f"{str(row['question']).strip()}\n{_SHORT}"
    unit, kind = str(row["image_source"]), str(row["category"])
    return Question(text, (str(row["answer"]).lower(),), read=yes_or_no, max_tokens=32, kind=kind, unit=unit)


def yes_or_no(reply: str) -> str:
    said = reply.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(said) else "yes"


def _science_qa(row: Row, name: str) -> Question:
    """2209.09513, as lmms-eval asks it; rows without an image are left out."""
    hint, options = row["hint"], tuple(map(str, row["choices"]))
    asked = [*([f"Context: {hint}"] if hint else []), row["question"], *lettered(options), f"{_LETTER}."]
    return _by_letter("\n".join(asked), int(row["answer"]), options, str(row["subject"]), "", name)


def _mm_bench(row: Row, name: str) -> Question:
    """2307.06281. Its rows hold each question with its options in all rotations: all have to be right."""
    options = tuple(str(row[letter]) for letter in "ABCD" if not _is_missing(row.get(letter)))
    hint = "" if _is_missing(row.get("hint")) else f"{row['hint']} "
    asked = [f"{hint}{row['question']} There are several options:", *lettered(options), "", f"{_LETTER}."]
    group = str(int(row["index"]) % 1_000_000)
    if _is_missing(row["answer"]):
        raise ValueError("the answer is missing: MMBench publishes none for its test split; use --split dev")
    right = "ABCD".index(str(row["answer"]))
    return _by_letter("\n".join(asked), right, options, str(row["category"]), group, f"question {group}")


def _mm_star(row: Row, name: str) -> Question:
    """2403.20330. The options are in the question; the first letter of the reply counts."""
    text = f"{str(row['question']).strip()}\n{_LETTER}"
    return Question(text, (str(row["answer"]),), read=first_letter, kind=str(row["category"]), unit=name)


def _by_letter(text: str, right: int, options: tuple[str, ...], kind: str, group: str, unit: str) -> Question:
    if len(options) > len(string.ascii_uppercase):
        raise ValueError(f"{len(options)} options have no letters")
    answers, read = (string.ascii_uppercase[right],), partial(letter_of, options=options)
    return Question(text, answers, options, right, read=read, kind=kind, group=group, unit=unit)


def lettered(options: Sequence[str]) -> list[str]:
    return [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False)]


def letter_of(reply: str, options: Sequence[str]) -> str:
    """The one letter among a reply's words, or of the one option whose text it has; else nothing, which is wrong."""
    letters = string.ascii_uppercase[: len(options)]
    parts = "".join(" " if character in ".()[],:;!*#{}" else character for character in reply).split()
    named = {letter for letter in letters if letter in parts}
    # In a longer reply, A is an article.
    if len(parts) > 3 and named == {"A"} and not reply.lstrip(" (").startswith(("A.", "A)", "A:", "A,")):
        named = set()
    if len(named) != 1:
        said = reply.lower()
        named = {letter for letter, option in zip(letters, options, strict=True) if option.lower() in said}
    return named.pop() if len(named) == 1 else ""


def first_letter(reply: str) -> str:
    """As MMStar's own program: the letter at the start, also in brackets or behind `option` or `the answer is`."""
    said = reply.strip().lower().replace("\n", " ")
    for start in ("(", "option ", "the answer is "):
        said = said.removeprefix(start)
    return said[:1].upper()


def _is_missing(value: Any) -> bool:
    return value is None or value in ("", "nan") or (isinstance(value, float) and math.isnan(value))


_FORMATS: tuple[tuple[frozenset[str], Callable[[Row, str], Question]], ...] = (
    (frozenset({"question", "answer", "image_source", "category"}), _pope),
    (frozenset({"question", "answer", "choices", "hint", "subject"}), _science_qa),
    (frozenset({"question", "answer", "index", "A", "B", "category"}), _mm_bench),
    (frozenset({"question", "answer", "category", "l2_category", "meta_info"}), _mm_star),
    (frozenset({"question", "answer"}), _own),
)
"""By the columns that they have; the first that fits is taken."""
