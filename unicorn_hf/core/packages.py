"""The installed packages that the rows of a build depend on, except this one."""

from typing import Any

from unicorn_hf.core.choices import ENCODERS, ENGINES
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.plugins import plugins
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.registry import Registry


def packages_of(recipe: Recipe) -> list[str]:
    """Distributions whose versions the card names: those of engine and encoder, and of plugins."""
    encoder = parse_encoder(recipe.representations.encoder)
    return list(dict.fromkeys([*recipe.engine.packages, *encoder.packages, *plugins(recipe)]))


def packages_of_all() -> list[str]:
    """Distributions that rows can depend on with any recipe: those of all installed engines, encoders and plugins."""
    registries: tuple[Registry[Any], ...] = (ENGINES, ENCODERS)
    used = [name for registry in registries for kind in registry.loadable().values() for name in kind.packages]
    others = [registry.provider(name) for registry in registries for name in registry.names]
    return list(dict.fromkeys([*used, *(provider.package for provider in others if provider)]))
