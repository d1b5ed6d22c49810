"""Parameter types of the command: they suggest the nearest valid value, and shells complete them."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from unicorn_hf.core.registry import Registry


class ChoiceOf(click.Choice[str]):
    """A choice from a registry, read lazily: for help, completion or a value.

    Args:
        registry: its name in `unicorn_hf.core.choices`, such as `EXPORTS`.
    """

    def __init__(self, registry: str) -> None:
        self._name = registry
        self.case_sensitive = True

    @property
    def registry(self) -> "Registry[Any]":
        from unicorn_hf.core import choices

        found: Registry[Any] = getattr(choices, self._name)
        return found

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.registry.names

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = get_close_matches(str(value).lower(), self.choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return super().get_invalid_choice_message(value, ctx) + hint


class DescribedOption(click.Option):
    """An option of the type `ChoiceOf`. Its help lists the first docstring line of each choice."""

    @property
    def help(self) -> str:
        assert isinstance(self.type, ChoiceOf)
        docs = {name: inspect.getdoc(choice) or "" for name, choice in self.type.registry.loadable().items()}
        lines = (f"{name}: {doc.partition(chr(10))[0].removesuffix('.')}" for name, doc in docs.items())
        return f"{'; '.join(lines)}."

    @help.setter
    def help(self, given: str | None) -> None:
        """Ignore the help that click sets."""


class WritingEngine(ChoiceOf):
    """An engine that writes text, or one that cannot be loaded: the recipe then reports the reason."""

    def __init__(self) -> None:
        super().__init__("ENGINES")

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        loadable = self.registry.loadable()
        return tuple(name for name in self.registry.names if name not in loadable or loadable[name].writes)


class Completed(click.ParamType[str]):
    """A text that shells complete to `words`, read lazily, or also to the path of a file."""

    def __init__(self, name: str, words: Callable[[], Iterable[str]], *, files: bool = False) -> None:
        self.name, self._words, self._files = name, words, files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = [CompletionItem(word) for word in self._words() if word.startswith(incomplete)]
        return [*words, CompletionItem(incomplete, type="file")] if self._files else words


class EncoderName(Completed):
    """An encoder, as `representations.encoder` in a recipe. Shells complete its kind; only torch knows the models."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from unicorn_hf.core.encoder import examples

        return f"[{'|'.join(examples())}]"


def _recipes() -> list[str]:
    from unicorn_hf.core.recipe_file import bundled_names

    return bundled_names()


def _encoders() -> list[str]:
    from unicorn_hf.core.encoder import beginnings

    return beginnings()


RECIPE = Completed("recipe", _recipes, files=True)
ENCODER = EncoderName("encoder", _encoders)
CLUSTER = Completed("cluster", lambda: ("auto", "local", "cuda"), files=True)
FOLDER = click.Path(file_okay=False)
"""A folder, an fsspec URL or a Hub repository: what is a path must not be a file."""
DIR, FILE = click.Path(path_type=Path, file_okay=False), click.Path(path_type=Path, dir_okay=False)
FROM_0, FROM_1 = click.IntRange(min=0), click.IntRange(min=1)
