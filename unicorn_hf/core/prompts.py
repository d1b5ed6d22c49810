"""Prompt files: a version, a system text, examples, styles, and a turn that ends with the row's text."""

import json
import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated

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
"""Folders of the bundled prompts."""
_BUNDLED_NAME = re.compile(r"[\w-]{1,100}")
_FEWEST_WORDS = 6
_LANGUAGE = "{language}"
WRITE_IN = (
    f"Write in {_LANGUAGE}, whatever language these instructions, the examples and the subject are in. Names of fields "
    "stay in English."
)
READ_IN = f"The text is in {_LANGUAGE}, as it should be."
"""The sentence for a scorer."""


class Example(Section):
    """A worked example: a subject and a good answer."""

    subject: str
    answer: str


class Prompt(Section):
    """A prompt in a prompt file or a recipe."""

    version: str
    """Part of the rows' ids: change it when the text changes."""
    system: str
    user: str
    """The user turn; contains `{subject}` once, best at its end, so that requests share a prefix."""
    examples: Annotated[tuple[Example, ...], Field(strict=False)] = ()
    styles: dict[str, Annotated[Strings, Field(min_length=1)]] = Field(default_factory=dict)
    """Sentences that vary the answers: one of each kind is drawn, and all replace `{style}`."""

    @model_validator(mode="after")
    def _has_its_places(self) -> "Prompt":
        if self.user.count("{subject}") != 1:
            raise ValueError("`user` must contain {subject} once")
        if self.user.count("{style}") != bool(self.styles):
            raise ValueError("`user` must contain {style} once if there are `styles`, else not")
        return self

    def copied(self, text: str) -> str | None:
        """The first sentence of `text` that is also in a worked example: weak models copy examples.

        Ignores sentences of fewer than six words (`What is the weather like?`).
        """
        examples, rare_words = _of_examples(self.examples)
        if rare_words.isdisjoint(words(text)):
            return None
        return next((sentence for sentence in _sentences(text) if sentence in examples), None)

    def messages(
        self, subject: str, draw: str = "", language: str = ENGLISH, asked: str = WRITE_IN
    ) -> tuple[Message, ...]:
        """The messages about `subject`; equal `draw`s give equal styles.

        Args:
            subject: the row's text.
            draw: selects the style.
            language: language of the answer. If it is not English, and the prompt has no `{language}`, `asked` is added
                at the end of the system text and before the last turn, which models follow best.
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
        """The version for a language: each language is another prompt."""
        return self.version if base(language) == ENGLISH else f"{self.version}.{language}"

    def style(self, draw: str) -> str:
        """The style sentences that `draw` selects, one of each kind."""
        return " ".join(texts[stable_int("style", kind, draw) % len(texts)] for kind, texts in self.styles.items())

    def _ask(self, subject: str, draw: str, language: str) -> str:
        asked = self.user.replace("{style}", self.style(draw)).replace(_LANGUAGE, full_name(language))
        return asked.replace("{subject}", subject)


@lru_cache(maxsize=16)
def _of_examples(examples: tuple[Example, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The sentences of examples, and the longest word of each: a text without these words has none of the sentences."""
    texts = [text for example in examples for text in (example.subject, *_strings(example.answer))]
    found = frozenset(sentence for text in texts for sentence in _sentences(text))
    return found, frozenset(max(sentence.split(" "), key=len) for sentence in found)


def _sentences(text: str) -> list[str]:
    return [" ".join(words(sentence)) for sentence in sentences(text) if num_words(sentence) >= _FEWEST_WORDS]


def _strings(answer: str) -> list[str]:
    """The texts in an example's answer, which is JSON or plain text."""
    try:
        found: list[str] = []
        json.loads(answer, object_hook=lambda pairs: found.extend(v for v in pairs.values() if isinstance(v, str)))
        return found or [answer]
    except ValueError:
        return [answer]


def is_bundled(name: str, bundled: Path) -> bool:
    """Whether `bundled` holds a prompt with this name, and the name does not lead out of it."""
    return bool(_BUNDLED_NAME.fullmatch(name)) and (bundled / f"{name}.yaml").is_file()


def prompt_name(prompt: str | Prompt) -> str:
    """The display name of a prompt: its name, its file's name, or its version."""
    if isinstance(prompt, Prompt):
        return prompt.version
    return Path(prompt).name if prompt.endswith((".yaml", ".yml")) else prompt


def load_prompt(prompt: str | Prompt, bundled: Path) -> Prompt:
    """Load a prompt: a name in the folder `bundled`, the path of a prompt file, or the prompt itself.

    Raises:
        InputError: there is none, or it is invalid.
    """
    if isinstance(prompt, Prompt):
        return prompt
    path = bundled / f"{prompt}.yaml" if is_bundled(prompt, bundled) else Path(prompt)
    if not path.is_file():
        names = sorted(file.stem for file in bundled.glob("*.yaml"))
        near = get_close_matches(prompt, names, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"no prompt {prompt!r}", f"{hint}Bundled prompts: {', '.join(names)}; or give the path of a file."
        )
    data, _ = read_yaml_file(path)
    try:
        return Prompt.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path}: {problems(Prompt, data, error)[0].text}") from None
