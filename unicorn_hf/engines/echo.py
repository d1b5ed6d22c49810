"""A rehearsal's text generator: deterministic, fast, and valid for whatever is asked.

Text is drawn from word lists by a generator that is seeded with the request alone, around the words of the request's
subject: it passes the filters a real answer must pass, and no two requests get the same. It shows that a pipeline
works; it never stands in for a model.
"""

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from unicorn_hf.core import tagged
from unicorn_hf.core.content import telling_words
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.words import words

_COLOURS = (
    "red blue green yellow brown grey white black orange purple pink golden silver beige turquoise maroon".split()
)
_SIZES = "small large tall narrow wide round square long short thick thin curved flat deep low heavy".split()
_MATERIALS = "wooden metal stone glass paper leather plastic ceramic woollen cotton brick straw copper marble".split()
_THINGS = (
    "table chair bench lamp bowl basket bottle window door fence wall path bridge tree bush flower leaf branch rock"
    " river boat bicycle cart wagon sign clock mirror shelf crate barrel ladder rope bucket blanket cushion curtain"
    " rug plate cup kettle candle book hat coat scarf boot glove umbrella bag suitcase guitar drum ball kite statue"
    " fountain pillar roof chimney gate stair tile lantern flag tent wheel engine pipe cable"
).split()
_VERBS = "stands lies rests hangs leans sits".split()
_PLACES = (
    "beside,behind,in front of,to the left of,to the right of,next to,not far from,close to,a short way from"
).split(",")
_LIGHTS = "soft bright pale warm cold even dim low clear".split()
_SIDES = "left right back front top bottom centre".split()
_NUMBERS = "two three four five six seven".split()
_SHORT_WORD = 3
_MAX_SEED_WORDS = 300
_MAX_WORD = 24
# Beginnings of words that filters of conversations may take for talk of a caption, or of options.
_NOT_ECHOED = (
    "caption descri imag pictur photo snapshot prompt seed paragraph passage text sentence information context story"
    " narrative excerpt mention stated specif option choice answer sorry apolog hope help"
).split()


class EchoGenerator:
    """Implements `TextGenerator` without a model."""

    deterministic = True

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for position, request in enumerate(requests):
            yield position, _answer(request)

    def close(self) -> None:
        """Nothing to give back."""


def _answer(request: Request) -> Answer:
    rng = Random(stable_int("echo", request.id, str(request.seed)))
    if schema := request.json_schema or request.tagged_schema:
        nouns = _nouns(request.subject) or ["scene"]
        value: Any = _value(json.loads(schema), rng, nouns, set())
        text = json.dumps(value, separators=(",", ":")) if request.json_schema else tagged.write(value["pairs"])
    else:
        text = _paragraph(rng, request.subject)
    num_prompt_tokens = sum(len(message.content) for message in request.messages) // 4
    return Answer(text, "stop", num_prompt_tokens, len(text) // 4)


def _paragraph(rng: Random, seed: str) -> str:
    # The seed's words stand on a sign, in quotation marks: there they may say what a caption may not. Once each:
    # repeated ones could make a loop.
    seed_words = list(dict.fromkeys(words(seed.replace("_", " "))))[:_MAX_SEED_WORDS]
    sign = f"sign with the words “{' '.join(seed_words)}”" if seed_words else "sign without words"
    sentences = [f"A {rng.choice(_COLOURS)} {sign} {rng.choice(_VERBS)} at the {rng.choice(_SIDES)}."]
    sentences += [_sentence(rng) for _ in range(rng.randint(7, 10))]
    return " ".join(sentences)


def _nouns(text: str) -> list[str]:
    """The subject's telling words, once each: short words could make phrases of them, repeated ones a loop."""
    found = [
        word
        for word in words(text)
        if (_SHORT_WORD < len(word) <= _MAX_WORD or not word.isascii())
        and telling_words(word)
        and "__" not in word
        and not word.startswith(tuple(_NOT_ECHOED))
    ]
    return list(dict.fromkeys(found))


def _sentence(rng: Random) -> str:
    pick = rng.choice
    subject = f"{pick(_SIZES)} {pick(_COLOURS)} {pick(_THINGS)}"
    thing = f"{pick(_MATERIALS)} {pick(_THINGS)}"
    match rng.randrange(4):
        case 0:
            return f"A {subject} {pick(_VERBS)} {pick(_PLACES)} the {thing}."
        case 1:
            return f"{pick(_NUMBERS).capitalize()} {pick(_COLOURS)} {pick(_THINGS)}s are {pick(_PLACES)} a {thing}."
        case 2:
            return f"{pick(_LIGHTS).capitalize()} light falls on the {subject} from the {pick(_SIDES)}."
        case _:
            return f"The {subject} has a {pick(_COLOURS)} {thing} at its {pick(_SIDES)}."


def _value(schema: dict[str, Any], rng: Random, nouns: Sequence[str], used: set[str]) -> object:
    """A value of a JSON schema (objects, arrays, enums, strings), its strings all different from one another."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema["type"]:
        case "object":
            return {name: _value(part, rng, nouns, used) for name, part in schema["properties"].items()}
        case "array":
            num_items = rng.randint(schema["minItems"], schema["maxItems"])
            return [_value(schema["items"], rng, nouns, used) for _ in range(num_items)]
        case "string":
            text = _phrase(rng, nouns, schema.get("title", ""))
            while text in used:
                text = _phrase(rng, nouns, schema.get("title", ""))
            used.add(text)
            return text
        case kind:
            raise ValueError(f"echo has no values of kind {kind!r}")


def _phrase(rng: Random, nouns: Sequence[str], title: str) -> str:
    thing = f"{rng.choice(_SIZES)} {rng.choice(_COLOURS)} {rng.choice(_THINGS)}"
    noun = rng.choice(nouns)
    match title:
        case "question":
            other = f"{rng.choice(_MATERIALS)} {rng.choice(_THINGS)}"
            return f"Which {other} {rng.choice(_PLACES)} the {thing} is near the {noun}?"
        case "option":
            return f"the {thing} {rng.choice(_PLACES)} the {noun}"
        case _:
            other = f"{rng.choice(_MATERIALS)} {rng.choice(_THINGS)}"
            return f"The {noun} is {rng.choice(_PLACES)} the {thing}, and a {other} {rng.choice(_VERBS)} there."
