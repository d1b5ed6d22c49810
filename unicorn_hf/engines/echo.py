"""Rehearsal text: no model, thousands of rows a second."""

from typing import TYPE_CHECKING, Literal

from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.engine import AnyEngine, Author
from unicorn_hf.core.errors import InputError

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextGenerator
    from unicorn_hf.core.recipe import Recipe


@ENGINES.register("echo")
class EchoEngine(AnyEngine):
    """Deterministic text made from the request alone, for rehearsals: no model, no GPU, thousands of rows a second."""

    kind: Literal["echo"] = "echo"

    rehearses = True
    deterministic = True

    @property
    def author(self) -> Author:
        return "program"

    @property
    def rehearsal(self) -> str:
        return "The text was put together from lists of words (`echo`); no language model wrote it."

    def check(self, recipe: "Recipe") -> None:
        from unicorn_hf.core.languages import base, english_name, listed

        unknown = [english_name(code) for code in recipe.language if base(code) not in listed()]
        if unknown and recipe.captions.filters.check_language:
            raise InputError(
                f"echo has no sentences in {unknown[0]}",
                f"Use --language with one of its languages: {', '.join(map(english_name, listed()))}.",
            )

    def workers_on_cpu(self, num_cores: int, num_fitting: int) -> int:
        return num_cores

    def open(self, model: str) -> "TextGenerator":
        from unicorn_hf.engines.generators.echo import EchoGenerator

        return EchoGenerator()
