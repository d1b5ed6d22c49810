"""Reads the rows of a JSON file: a list, a value per line, or the only list of rows in an object."""

import json
import shlex
from collections.abc import Collection, Iterator
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.data_file import CAPTION_KEYS, TURNS_KEYS, DataFile, Row, opened_text, take
from unicorn_hf.reading.json_values import DECODER, LOOK, list_items, not_json, object_members
from unicorn_hf.reading.text import Text

_NAMES_SHOWN = 5
_MOST_KEYS = 1000
"""An object with more keys is no table of lists: its keys are ids."""


def json_rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    with opened_text(file) as text:
        if file.form == "lines":
            take(file, notes, text, *(["a JSON value per line"] if file.suffix != ".jsonl" else []))
            yield from _json_lines(file, text)
        elif file.form == "list":
            take(file, notes, text, *(["a JSON list"] if file.suffix == ".jsonl" else []))
            for number, value in enumerate(list_items(text, file.name), start=1):
                yield number, "" if value is None else value, None
        else:
            key = _list_of(file, notes)
            take(file, notes, text, f"its list {key!a}")
            for name, item, value in object_members(text, file.name):
                if name == key and item:
                    yield item, "" if value is None else value, None


def _json_lines(file: DataFile, text: Text) -> Iterator[Row]:
    for number, line in text.lines():
        if not line.strip():
            continue
        try:
            value = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            command = f"jq -c . {shlex.quote(file.path.name)} > NEW.jsonl"
            advice = f"{LOOK} Each line must hold one value; to rewrite values so: {command}"
            raise not_json(file.place(number), error, advice) from error
        yield number, "" if value is None else value, None


def _list_of(file: DataFile, notes: ReadingNotes) -> str:
    """The key of the only list of rows in an object; an `InputError` if there is none, or more than one."""
    first: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    with opened_text(file) as text:
        for key, number, value in object_members(text, file.name):
            if number != 0:
                first.setdefault(key, value)
            if number is not None:
                numbers[key] = number
            if len(first) > _MOST_KEYS:
                break
    lists = [key for key, number in numbers.items() if number]
    fitting = [key for key in lists if _holds_rows(file, first[key])]
    if not fitting and len(lists) == 1 and isinstance(first[lists[0]], str):
        fitting = lists
    if not lists and len(numbers) == 1:
        fitting = [*numbers]
    if len(fitting) == 1:
        for key in lists:
            if key != fitting[0]:
                notes.leave(f"items of {key!a}", "not_read", file.name, first[key], num=numbers[key])
        return fitting[0]
    told = f"{file.name}: expected a JSON list of items, found an object with {_names({**first, **numbers})}"
    raise InputError(told, _other_form(file, first, lists, fitting))


def _holds_rows(file: DataFile, item: Any) -> bool:
    keys = {file.named_key(item), *file.keys.intersection(TURNS_KEYS)} if isinstance(item, dict) else ()
    return any(key in item for key in keys)


def _names(names: Collection[str]) -> str:
    shown = ", ".join(ascii(name) for name, _ in zip(names, range(_NAMES_SHOWN), strict=False))
    return f"{shown}, …" if len(names) > _NAMES_SHOWN else shown or "nothing in it"


def _other_form(file: DataFile, values: dict[str, Any], lists: list[str], fitting: list[str]) -> str:
    """Advice for an object that is no list of rows.

    Args:
        file: the file.
        values: the values by key; of lists the first item.
        lists: the keys of lists.
        fitting: those whose items have texts.
    """
    name, new = shlex.quote(file.path.name), shlex.quote(f"{file.path.stem}-list.json")
    is_column = file.named_key(values) is not None
    objects = {key: value for key, value in values.items() if isinstance(value, dict) and key not in lists}
    # A key such as "captions" names texts, but is no column.
    fitting = fitting or [key for key in lists if any(word in key.casefold() for word in CAPTION_KEYS)]
    if (is_column and (lists or objects)) or any(isinstance(values[key], list) for key in lists):
        return "Write its columns as rows of a .jsonl file; in pandas: to_json(FILE, orient='records', lines=True)."
    if fitting:
        return f"Extract the list of the texts: jq '.[{json.dumps(fitting[0])}]' {name} > {new}"
    if rows := [key for key in lists if isinstance(values[key], dict)]:
        keys = "; ".join(f"the items of {key!a} have {_names(values[key])}" for key in rows[:_NAMES_SHOWN])
        return f"Specify the key of the texts with {file.column_option} NAME{file.column_key}: {keys}."
    if lists:
        return f"Write its texts as a list: jq '[.[][] | {{caption: .}}]' {name} > {new}"
    if objects and all(_holds_rows(file, value) for value in values.values()):
        return f"Write its values as a list: jq '[to_entries[] | {{id: .key}} + .value]' {name} > {new}"
    inside = [(outer, key) for outer, inner in objects.items() for key in inner if isinstance(inner[key], list)]
    if inside:
        return f"Extract the list: jq '.{''.join(f'[{json.dumps(key)}]' for key in inside[0])}' {name} > {new}"
    if len(values) > 1 and all(isinstance(value, str) for value in values.values()) and not is_column:
        return f"Write its texts as a list: jq '[to_entries[] | {{id: .key, caption: .value}}]' {name} > {new}"
    if is_column:
        return f"Make a list of it: jq -s . {name} > {new}"
    return "Use a list of items, or a .jsonl file with an item per line."
