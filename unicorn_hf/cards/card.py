"""The data set card: YAML that the Hub and `datasets` read, and a body that people read."""

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unicorn_hf.cards.statistics import ConfigFacts, Statistics
from unicorn_hf.core.recipe import Recipe

_TEMPLATES = Path(__file__).parent
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_card(recipe: Recipe, statistics: Statistics, examples: dict[str, dict[str, Any]]) -> str:
    """The card as text.

    Args:
        recipe: what the set was made by.
        statistics: what came of it; no other figure is printed.
        examples: a row of each config, without its embedding.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, autoescape=False, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["text"] = as_text
    body = environment.get_template("card.md.j2").render(recipe=recipe, statistics=statistics, examples=examples)
    metadata = yaml.safe_dump(card_metadata(recipe, statistics), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{metadata}---\n\n{body}"


def card_metadata(recipe: Recipe, statistics: Statistics) -> dict[str, Any]:
    """The card's YAML: configs, features, splits, sizes, licence, tags."""
    configs = {"pretrain": statistics.pretrain, "instruction": statistics.instruction}
    return {
        "pretty_name": recipe.title,
        "language": list(recipe.language),
        "license": "other",
        "license_name": "see-sources",
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "size_categories": [_size_category(statistics.pretrain.num_rows)],
        "tags": ["unicorn", "synthetic", "text-only", "vision-language", "unicorn-hf"],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": "train", "path": f"{name}/train-*.parquet"}],
                **({"default": True} if name == "pretrain" else {}),
            }
            for name in configs
        ],
        "dataset_info": [
            _dataset_info(name, facts, statistics.representations.dim, statistics.representations.dtype)
            for name, facts in configs.items()
        ],
    }


def as_text(value: str) -> str:
    """A row's or a recipe's text, safe inside Markdown: nothing in it is mark-up, and it stays on its line."""
    line = " ".join(value.split())
    for character in "\\`*_{}[]<>#|~$!&":
        line = line.replace(character, f"&#{ord(character)};")
    return line


def _dataset_info(name: str, facts: ConfigFacts, dim: int, dtype: str) -> dict[str, Any]:
    text = [{"name": column, "dtype": "string"} for column in ("id", "caption")]
    turns = {"name": "conversations", "list": [{"name": part, "dtype": "string"} for part in ("from", "value")]}
    # `sequence` with `length` is what datasets 3.0 to 5.2 all load as a list of fixed size.
    vector = {"name": "image_embedding", "sequence": dtype, "length": dim}
    rest = [{"name": column, "dtype": "string"} for column in ("seed", "domain")]
    task = [{"name": "task", "dtype": "string"}] if name == "instruction" else []
    return {
        "config_name": name,
        "features": [*text, turns, vector, *rest, *task],
        "splits": [{"name": "train", "num_bytes": facts.num_bytes, "num_examples": facts.num_rows}],
        "download_size": facts.num_file_bytes,
        "dataset_size": facts.num_bytes,
    }


def _size_category(num_rows: int) -> str:
    return next((name for limit, name in _SIZES if num_rows < limit), "1M<n<10M")
