"""Vision-language training data from text alone: regenerate, publish and load Unicorn data sets.

>>> from unicorn_hf import build, load_recipe
>>> recipe = load_recipe("demo", {"captions.num": 200})
>>> result = build(recipe, out="unicorn")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unicorn_hf.core.errors import InputError, RunError, UnicornError
    from unicorn_hf.core.recipe import Recipe
    from unicorn_hf.core.recipe_file import load_recipe
    from unicorn_hf.datasets_plugin import register
    from unicorn_hf.interchange.recipe import import_recipe
    from unicorn_hf.pipeline.run import BuildResult, build
    from unicorn_hf.representations.transfer_file import load_transfer

_HOME = {
    "BuildResult": "unicorn_hf.pipeline.run",
    "InputError": "unicorn_hf.core.errors",
    "Recipe": "unicorn_hf.core.recipe",
    "RunError": "unicorn_hf.core.errors",
    "UnicornError": "unicorn_hf.core.errors",
    "build": "unicorn_hf.pipeline.run",
    "import_recipe": "unicorn_hf.interchange.recipe",
    "load_recipe": "unicorn_hf.core.recipe_file",
    "load_transfer": "unicorn_hf.representations.transfer_file",
    "register": "unicorn_hf.datasets_plugin",
}

__all__ = [
    "BuildResult",
    "InputError",
    "Recipe",
    "RunError",
    "UnicornError",
    "build",
    "import_recipe",
    "load_recipe",
    "load_transfer",
    "register",
]


def __getattr__(name: str) -> object:
    """Import each name at its first use, so that `--help` does not wait for pyarrow."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
