"""Parameter types of the command: they suggest the nearest valid value, and shells complete them."""

import inspect
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


class RecipeName(click.ParamType[str]):
    """A bundled recipe or a YAML file."""

    name = "recipe"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from unicorn_hf.core.recipe_file import bundled_names

        names = [name for name in bundled_names() if name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


class WritingEngine(ChoiceOf):
    """An engine that writes text, or one that cannot be loaded: the recipe then reports the reason."""

    def __init__(self) -> None:
        super().__init__("ENGINES")

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        loadable = self.registry.loadable()
        return tuple(name for name in self.registry.names if name not in loadable or loadable[name].writes)


class EncoderName(click.ParamType[str]):
    """An encoder, as `representations.encoder` in a recipe. Shells complete its kind; only torch knows the models."""

    name = "encoder"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from unicorn_hf.core.encoder import examples

        return f"[{'|'.join(examples())}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from unicorn_hf.core.encoder import beginnings

        return [CompletionItem(kind) for kind in beginnings() if kind.startswith(incomplete)]


class ClusterName(click.ParamType[str]):
    """Where workers run: a word, or a scheduler's address or file."""

    name = "cluster"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        kinds = [CompletionItem(kind) for kind in ("auto", "local", "cuda") if kind.startswith(incomplete)]
        return [*kinds, CompletionItem(incomplete, type="file")]


class SetName(click.ParamType[str]):
    """A published set: a folder, which shells complete, or a Hub repository."""

    name = "set"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]


class PlaceName(SetName):
    """A folder: a path, which shells complete, or an fsspec URL."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if "://" not in str(value) and Path(value).is_file():
            self.fail(f"{str(value)!r} is a file, not a folder.", param, ctx)
        return str(value)
