"""Translates pydantic's errors about a user's file into messages that say what to write.

The messages come from the JSON Schema of the model, so a new recipe key needs no message. A key for which this is too
general (`a text`) has a `Field(description=...)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from unicorn_hf.core.plugins import package_of, why_unknown

Location = tuple[int | str, ...]
_Schema = Mapping[str, Any]
_TEXT = "a text"
_BOUNDS = {"exclusiveMinimum": "above", "exclusiveMaximum": "below", "minimum": "of at least", "maximum": "at most"}


class Problem(NamedTuple):
    """One error."""

    location: Location
    """The key in the file, or the key of its section if the key itself is missing."""
    text: str
    package: str = ""
    """The other package in an unknown name, if that is the error."""
    advice: str = ""


def problems(model: type[BaseModel], data: object, error: ValidationError) -> list[Problem]:
    """All errors in `data`, which should match `model`, each once, in the file's order of keys."""
    details = [(_in_file(data, detail), detail) for detail in error.errors()]
    # A wrong item also makes its list too short or invalid: the item's error is enough.
    outer = {location[:end] for location, _ in details for end in range(len(location))}
    told = (
        _problem(Form.of(model), location, detail)
        for location, detail in details
        if location not in outer or detail["type"] == "value_error"
    )
    return list(dict.fromkeys(told))


def first_error(error: ValidationError) -> str:
    """The first error with its place, in pydantic's words: for files that no user writes."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _problem(root: "Form", location: Location, detail: ErrorDetails) -> Problem:
    key = ".".join(map(str, location))
    kind, given = detail["type"], detail["input"]
    if problem := _of_a_plugin(key, location, detail):
        return problem
    if kind == "refused":
        told = detail["ctx"]
        return Problem(location, f"{key}: {told['message']}", told["package"], told["advice"])
    if kind == "missing":
        return Problem(location, f"{key}: this key is missing: write {root.at(detail['loc']).words}")
    if kind == "extra_forbidden":
        return Problem(location, f"unknown key {key}{_nearest(location[-1], root.at(detail['loc'][:-1]).keys)}")
    if kind == "union_tag_invalid":
        tag, form = detail["ctx"]["tag"], root.at(detail["loc"])
        return Problem((*location, "kind"), f"{key}: unknown kind {tag!r}{_nearest(tag, form.kinds, 'kinds')}")
    if kind == "union_tag_not_found":
        return Problem(location, f"{key}: the key kind is missing")
    if kind == "too_short":
        return Problem(location, f"{key}: give at least one item")
    if kind == "value_error":
        shown = _shown(given) if isinstance(given, _SCALARS) else ""
        return Problem(location, f"{key}: ".removeprefix(": ") + detail["msg"].removeprefix("Value error, ") + shown)
    if kind == "invalid_key" or "[key]" in detail["loc"]:
        return Problem(location, f"{key}: a key must be a text: put it in quotes")
    form = root.at(detail["loc"])
    return Problem(location, f"{key}: write {form.words}{_shown(given)}{form.remedy(given)}".removeprefix(": "))


def _of_a_plugin(key: str, location: Location, detail: ErrorDetails) -> Problem | None:
    """The problem of an unknown name `PACKAGE:NAME`."""
    name: Any = {
        "union_tag_invalid": detail.get("ctx", {}).get("tag"),
        "extra_forbidden": location and location[-1],
        "literal_error": detail["input"],
    }.get(detail["type"])
    if (package := package_of(name)) is None:
        return None
    given = "" if key.endswith(f"{name}") else f" {name!r}"
    return Problem(location, f"{key}: unknown name{given}: {why_unknown(package, name)}", package)


def _in_file(data: object, detail: ErrorDetails) -> Location:
    """The location of the error in the file: without the tags of unions, which the file does not have."""
    kept: list[int | str] = []
    for part in detail["loc"]:
        if isinstance(data, dict):
            # pydantic reports an invalid key as a string.
            found = next((key for key in data if key == part or str(key) == part), None)
            if found is not None:
                data = data[found]
                kept.append(str(found))
        elif isinstance(data, list | tuple) and isinstance(part, int):
            data = data[part]
            kept.append(part)
    return (*kept, detail["loc"][-1]) if detail["type"] == "missing" else tuple(kept)


@dataclass(frozen=True)
class Form:
    """The valid values of a key."""

    schema: _Schema
    definitions: Mapping[str, _Schema]

    @staticmethod
    @cache
    def of(model: type[BaseModel]) -> "Form":
        schema = model.model_json_schema()
        return Form(schema, schema.get("$defs", {}))

    def at(self, location: Location) -> "Form":
        """The form of the key at a location of pydantic, which can contain tags and names of types."""
        form = self
        for part in location:
            form = form._inside(part)
        return form

    @property
    def words(self) -> str:
        """What to write."""
        schema = self._resolved
        if "properties" not in self.schema and (description := self.schema.get("description")):
            return str(description)
        if "discriminator" in schema:
            return f"a mapping whose key kind is {_either(self.kinds)}"
        if options := [option for option in self._options if option is not self]:
            return _either([option.words for option in options])
        if "const" in schema or "enum" in schema:
            return _either([str(name) for name in schema.get("enum", [schema.get("const")])])
        return self._of_type(schema.get("type"))

    @property
    def keys(self) -> list[str]:
        """The keys of a mapping."""
        return [key for option in self._options for key in option._resolved.get("properties", {})]

    @property
    def _required(self) -> str:
        """The keys that have no default, if others have one."""
        required = self._resolved.get("required", [])
        if not required or len(required) == len(self.keys):
            return ""
        *most, last = required
        named = f"{', '.join(most)} and {last} are" if most else f"{last} is"
        return f", of which {named} required"

    @property
    def kinds(self) -> list[str]:
        """The valid values of its key `kind`."""
        return [option._resolved["properties"]["kind"]["const"] for option in self._options]

    def remedy(self, given: object) -> str:
        """More advice about an invalid value."""
        schemas = [option._resolved for option in self._options]
        if any(schema.get("type") == "string" and "enum" not in schema for schema in schemas):
            # YAML does not read 3, no and 2024-05-01 as text.
            return "" if isinstance(given, str | list | dict | None) else "; put it in quotes"
        names = [name for schema in schemas for name in schema.get("enum", [])]
        near = get_close_matches(given, names, n=1) if isinstance(given, str) else []
        return f"; did you mean {near[0]}?" if near else ""

    @property
    def _resolved(self) -> _Schema:
        reference = self.schema.get("$ref")
        return self.definitions[reference.rpartition("/")[2]] if reference else self.schema

    @property
    def _options(self) -> list["Form"]:
        """The alternative forms of a value, each of one type."""
        schema = self._resolved
        options = schema.get("anyOf") or schema.get("oneOf")
        return [Form(option, self.definitions) for option in options] if options else [self]

    def _inside(self, part: int | str) -> "Form":
        tags = self._resolved.get("discriminator", {}).get("mapping", {})
        if part in tags:
            return Form({"$ref": tags[part]}, self.definitions)
        for option in self._options:
            schema = option._resolved
            if part in schema.get("properties", {}):
                return Form(schema["properties"][part], self.definitions)
            inner = (isinstance(part, int) and schema.get("items")) or schema.get("additionalProperties")
            if inner and part != "[key]":
                return Form(inner, self.definitions)
        return self

    def _of_type(self, type_: str | None) -> str:
        schema = self._resolved
        if type_ == "object":
            return f"a mapping with the keys {', '.join(self.keys)}{self._required}" if self.keys else "a mapping"
        if type_ == "array":
            item = Form(schema["items"], self.definitions)
            return "a list of texts: [a, b]" if item.words == _TEXT else f"a list; each item is {item.words}"
        if type_ in ("integer", "number"):
            return f"a {'whole ' * (type_ == 'integer')}number {_bounds(schema)}".rstrip()
        return {"string": _TEXT, "boolean": "true or false", "null": "null"}.get(type_ or "", "a value that JSON has")


def _bounds(schema: _Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']} to {schema['maximum']}"
    return ", ".join(f"{word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema)


_SCALARS = (str, int, float, bool)


def _shown(given: object) -> str:
    if given is None:
        return " (got nothing)"
    if isinstance(given, _SCALARS):
        return f" (got {given!r})"
    if isinstance(given, dict):
        return " (got a mapping)"
    return f" (got {'a list' if isinstance(given, list | tuple) else given})"


def _either(names: list[str]) -> str:
    *most, last = dict.fromkeys(names)
    return f"{', '.join(most)} or {last}" if most else last


def _nearest(given: object, names: list[str], noun: str = "keys") -> str:
    near = get_close_matches(str(given), names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; the {noun} here are {', '.join(names)}" if names else ""
