"""Prompts are files with a version: a system text, examples, styles, and a turn that ends with the row's own text."""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import Message
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.languages import ENGLISH, base, full_name
from unicorn_hf.core.problems import problems
from unicorn_hf.core.section import Section, Strings
from unicorn_hf.core.sentences import sentences
from unicorn_hf.core.words import num_words, words
from unicorn_hf.core.yaml_text import read_yaml_file

_PACKAGE = Path(__file__).parent.parent
CAPTION_PROMPTS, INSTRUCTION_PROMPTS = _PACKAGE / "captions" / "prompts", _PACKAGE / "instructions" / "prompts"
"""Folders of the prompts that ship with unicorn-hf."""
_BUNDLED_NAME = re.compile(r"[\w-]{1,100}")
_FEWEST_WORDS = 6
_LANGUAGE = "{language}"
WRITE_IN = (
    f"Write in {_LANGUAGE}, whatever language these instructions, the examples and the subject are in. Names of fields "
    "stay in English."
)
READ_IN = f"The text is in {_LANGUAGE}, as it should be."
"""What a scorer is told."""


class Example(Section):
    """A worked example: what is asked and what a good answer is."""

    subject: str
    answer: str


class Prompt(Section):
    """A prompt, as a prompt file or a recipe has it."""

    version: str
    """Part of the rows' ids: change it when the text changes."""
    system: str
    user: str
    """The turn that asks; holds `{subject}` once, best at its end, so that all requests share what stands before."""
    examples: Annotated[tuple[Example, ...], Field(strict=False)] = ()
    styles: dict[str, Annotated[Strings, Field(min_length=1)]] = Field(default_factory=dict)
    """What answers differ in on purpose: of each kind one sentence is drawn, and all take the place of `{style}`."""

    @model_validator(mode="after")
    def _has_its_places(self) -> "Prompt":
        if self.user.count("{subject}") != 1:
            raise ValueError("`user` must hold {subject} once")
        if self.user.count("{style}") != bool(self.styles):
            raise ValueError("`user` must hold {style} once where there are `styles`, and only there")
        return self

    def copied(self, text: str) -> str | None:
        """The first sentence of `text` that stands in a worked example too: weak models copy what they are shown.

        Sentences of fewer than six words (`What is the weather like?`) are anybody's.
        """
        if self._rare_words.isdisjoint(words(text)):
            return None
        for sentence in _sentences(text):
            if sentence in self._example_sentences:
                return sentence
        return None

    @cached_property
    def _example_sentences(self) -> frozenset[str]:
        texts = [text for example in self.examples for text in (example.subject, *_strings(example.answer))]
        return frozenset(sentence for text in texts for sentence in _sentences(text))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Prompt":
        """As pydantic's, which would keep what was worked out of the examples before."""
        made = super().model_copy(update=update, deep=deep)
        for name in ("_example_sentences", "_rare_words"):
            made.__dict__.pop(name, None)
        return made

    @cached_property
    def _rare_words(self) -> frozenset[str]:
        """The longest word of each sentence of the examples: a text with none of them has none of the sentences."""
        return frozenset(max(sentence.split(" "), key=len) for sentence in self._example_sentences)

    def messages(
        self, subject: str, draw: str = "", language: str = ENGLISH, asked: str = WRITE_IN
    ) -> tuple[Message, ...]:
        """The turns that ask about `subject`, in the style that `draw` draws: equal draws, equal styles.

        Args:
            subject: the row's own text.
            draw: draws the style.
            language: of the answer. Where it is not English, and the prompt has no `{language}` of its own, `asked`
                stands at the end of the system text and before the last turn, which is what a model heeds most.
            asked: the sentence about the language.
        """
        says_so = base(language) == ENGLISH or _LANGUAGE in self.system + self.user
        sentence = "" if says_so else f"{asked.replace(_LANGUAGE, full_name(language))}\n\n"
        system = self.system.replace(_LANGUAGE, full_name(language))
        turns = [Message("system", f"{system}\n\n{sentence}".rstrip() if sentence else system)]
        for example in self.examples:
            asks = self._ask(example.subject, "", language)
            turns += [Message("user", asks), Message("assistant", example.answer)]
        return (*turns, Message("user", f"{sentence}{self._ask(subject, draw, language)}"))

    def version_in(self, language: str) -> str:
        """The version of what is asked: another language is another prompt."""
        return self.version if base(language) == ENGLISH else f"{self.version}.{language}"

    def style(self, draw: str) -> str:
        """The sentences that `draw` draws, one of each kind."""
        drawn = [texts[stable_int("style", kind, draw) % len(texts)] for kind, texts in self.styles.items()]
        return " ".join(drawn)

    def _ask(self, subject: str, draw: str, language: str) -> str:
        asked = self.user.replace("{style}", self.style(draw)).replace(_LANGUAGE, full_name(language))
        return asked.replace("{subject}", subject)


def _sentences(text: str) -> list[str]:
    return [" ".join(words(sentence)) for sentence in sentences(text) if num_words(sentence) >= _FEWEST_WORDS]


def _strings(answer: str) -> list[str]:
    """The texts in an example's answer, which is JSON or plain."""
    try:
        found: list[str] = []
        json.loads(answer, object_hook=lambda pairs: found.extend(v for v in pairs.values() if isinstance(v, str)))
        return found or [answer]
    except ValueError:
        return [answer]


def is_bundled(name: str, bundled: Path) -> bool:
    """Whether a prompt of this name ships in the folder `bundled`; a name that leads out of it is none."""
    return bool(_BUNDLED_NAME.fullmatch(name)) and (bundled / f"{name}.yaml").is_file()


def prompt_name(prompt: str | Prompt) -> str:
    """What to call a prompt: its name, its file's name, or its version."""
    if isinstance(prompt, Prompt):
        return prompt.version
    return Path(prompt).name if prompt.endswith((".yaml", ".yml")) else prompt


def load_prompt(prompt: str | Prompt, bundled: Path) -> Prompt:
    """A prompt that ships in the folder `bundled`, by name, a file of the same form, or the prompt itself.

    Raises:
        InputError: there is none, or it does not hold.
    """
    if isinstance(prompt, Prompt):
        return prompt
    path = bundled / f"{prompt}.yaml" if is_bundled(prompt, bundled) else Path(prompt)
    if not path.is_file():
        names = sorted(file.stem for file in bundled.glob("*.yaml"))
        near = get_close_matches(prompt, names, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"no prompt {prompt!r}", f"{hint}Prompts here: {', '.join(names)}; or give the path of a file."
        )
    data, _ = read_yaml_file(path)
    try:
        return Prompt.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path}: {problems(Prompt, data, error)[0].text}") from None
