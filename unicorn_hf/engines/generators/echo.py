"""The text generator for rehearsals: deterministic, fast, and valid for any request.

It samples from word lists with a random generator seeded by the request alone, and includes words of the request's
subject: each text is different and passes the filters for real answers. It shows that a pipeline works, and never
replaces a model.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

import regex

from unicorn_hf.core import tagged
from unicorn_hf.core.content import telling_words
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.languages import Rehearsal, WordLists, finder, has_content_words, word_lists
from unicorn_hf.core.words import num_words, words

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
_MAX_SIGN = 120
"""Maximum length of a seed's text on a sign, in characters."""
_QUOTATION_MARKS = str.maketrans("", "", '"“”„«»「」『』{}')
_PIECES = regex.compile(r"[\w\p{M}]+")
# Prefixes of words that the filters of conversations may take for references to a caption or to options.
_NOT_ECHOED = (
    "caption descri imag pictur photo snapshot prompt seed paragraph passage text sentence information context story"
    " narrative excerpt mention stated specif option choice answer sorry apolog hope help"
).split()


class EchoGenerator:
    """Implements `TextGenerator` without a model."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for position, request in enumerate(requests):
            yield position, _answer(request)

    def close(self) -> None:
        """There is nothing to close."""


def _answer(request: Request) -> Answer:
    rng = Random(stable_int("echo", request.id, str(request.seed)))
    if schema := request.json_schema or request.tagged_schema:
        value: Any = _value(json.loads(schema), rng, _phrases(request), set())
        text = json.dumps(value, separators=(",", ":")) if request.json_schema else tagged.write(value["pairs"])
    else:
        lists = word_lists(request.language)
        text = _paragraph_of(lists.echo, rng, request.subject) if lists else _paragraph(rng, request.subject)
    num_prompt_tokens = sum(len(message.content) for message in request.messages) // 4
    return Answer(text, "stop", num_prompt_tokens, len(text) // 4)


def _paragraph(rng: Random, seed: str) -> str:
    # The seed's words are on a sign, in quotation marks: filters allow there what a caption may not say. Without
    # duplicates, which the filter for loops could reject.
    seed_words = list(dict.fromkeys(words(seed.replace("_", " "))))[:_MAX_SEED_WORDS]
    sign = f"sign with the words “{' '.join(seed_words)}”" if seed_words else "sign without words"
    sentences = [f"A {rng.choice(_COLOURS)} {sign} {rng.choice(_VERBS)} at the {rng.choice(_SIDES)}."]
    sentences += [_sentence(rng) for _ in range(rng.randint(7, 10))]
    return " ".join(sentences)


def _nouns(text: str) -> list[str]:
    """The subject's content words without duplicates: short words could form phrases, repeated ones a loop."""
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


Phrase = Callable[[Random, str], str]
"""A text for a field with this title."""


def _phrases(request: Request) -> Phrase:
    lists = word_lists(request.language)
    if lists is None:
        return partial(_phrase, _nouns(request.subject) or ["scene"])
    nouns = _nouns_of(lists, request.subject, request.language)
    return partial(_phrase_of, lists.echo, nouns or [lists.echo.subjects[0]])


def _value(schema: dict[str, Any], rng: Random, phrase: Phrase, used: set[str]) -> object:
    """A value for a JSON schema (objects, arrays, enums, strings), in which all strings differ."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema["type"]:
        case "object":
            return {name: _value(part, rng, phrase, used) for name, part in schema["properties"].items()}
        case "array":
            num_items = rng.randint(schema["minItems"], schema["maxItems"])
            return [_value(schema["items"], rng, phrase, used) for _ in range(num_items)]
        case "string":
            while (text := phrase(rng, schema.get("title", ""))) in used:
                continue
            used.add(text)
            return text
        case kind:
            raise ValueError(f"echo has no values of kind {kind!r}")


def _phrase(nouns: Sequence[str], rng: Random, title: str) -> str:
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


# -- Other languages: whole phrases from word lists, so that the grammar is right -------------------------------------


def _paragraph_of(parts: Rehearsal, rng: Random, seed: str) -> str:
    subjects, places = (rng.sample(values, len(values)) for values in (parts.subjects, parts.places))
    sentences = [
        parts.sentence.format(place=place, verb=rng.choice(parts.verbs), subject=subject)
        for place, subject in list(zip(places, subjects, strict=False))[: rng.randint(8, 10)]
    ]
    sign = parts.sign.replace("{seed}", _plain(seed)[:_MAX_SIGN])
    return _joined([sign, *sentences])


def _phrase_of(parts: Rehearsal, nouns: Sequence[str], rng: Random, title: str) -> str:
    form = {"question": parts.question, "option": parts.option}.get(title, parts.answer)
    (subject, subject2), (place, place2) = rng.sample(parts.subjects, 2), rng.sample(parts.places, 2)
    noun, other = rng.sample(nouns, 2) if len(nouns) > 1 else (nouns[0], nouns[0])
    filled = form.format(
        subject=subject, subject2=subject2, place=place, place2=place2, verb=rng.choice(parts.verbs),
        noun=noun, other=other,
    )  # fmt: skip
    return filled[:1].upper() + filled[1:]


def _nouns_of(lists: WordLists, text: str, language: str) -> list[str]:
    """Parts of the subject for questions: words, or a few characters in scripts without spaces."""
    talk = [finder(language, kind) for kind in ("text_talk", "personal", "refusals", "unsafe", "not_known")]
    pieces = [piece for part in _PIECES.findall(_plain(text)) for piece in _cut(part)]
    good = [
        piece
        for piece in pieces
        if telling_words(piece, language) or not has_content_words(language)
        if not any(found and found.search(piece) is not None for found in talk)
    ]
    return list(dict.fromkeys(good))


def _cut(piece: str) -> list[str]:
    whole = num_words(piece) <= 1 or len(words(piece)) == 1
    return [piece[:_MAX_WORD]] if whole else [piece[start : start + 6] for start in range(0, len(piece), 6)]


def _plain(text: str) -> str:
    """Remove quotation marks, which would end the text on a sign."""
    return " ".join(text.replace("_", " ").translate(_QUOTATION_MARKS).split())


def _joined(sentences: Sequence[str]) -> str:
    """Join sentences, with a space if the script has spaces."""
    begun = [sentence[:1].upper() + sentence[1:] for sentence in sentences]
    return ("" if begun[0].endswith("。") else " ").join(begun).strip()
