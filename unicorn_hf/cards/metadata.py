"""The card's YAML, which the Hub indexes and `datasets` uses to load the set."""

import re
from typing import Any

from unicorn_hf.builders.figures import ConfigFacts
from unicorn_hf.cards.licenses import OTHER_NAME
from unicorn_hf.cards.provenance import base_model, card_license, rehearsal
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.cards.text import shortened
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.visible import visible

TASK_CATEGORIES = ("image-text-to-text", "visual-question-answering")
SYNTHETIC = "synthetic"
TAGS = ("unicorn", "unicorn-hf", SYNTHETIC, "text-only", "vision-language", "instruction-tuning", "embeddings")
REHEARSAL_TAG = "rehearsal"
_MAX_TITLE = 120
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_HUB_DATASET = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


def front_matter(recipe: Recipe, statistics: Statistics) -> str:
    """Return the YAML between the lines of `---`, with a line end."""
    from huggingface_hub import DatasetCardData

    license = card_license(recipe, statistics)
    # The author of imported text is unknown unless an option names it.
    written = recipe.engine.author != "unknown"
    creators = "machine-generated" if written else "found"
    languages = [code for code in recipe.language if _LANGUAGE.fullmatch(code)]
    data = DatasetCardData(
        pretty_name=visible(shortened(" ".join(recipe.title.split()), _MAX_TITLE)),
        language=languages or None,
        license=license.id,
        license_name=None if license.is_known else OTHER_NAME,
        annotations_creators=[creators],
        language_creators=[creators],
        task_categories=list(TASK_CATEGORIES),
        size_categories=[size_category(statistics.pretrain.num_rows)],
        source_datasets=source_datasets(recipe) or None,
        base_model=base_model(recipe),
        tags=[tag for tag in TAGS if written or tag != SYNTHETIC] + ([REHEARSAL_TAG] if rehearsal(recipe) else []),
        configs=[_config(name) for name in _configs(statistics)],
        dataset_info=[_dataset_info(name, facts, statistics, recipe) for name, facts in _configs(statistics).items()],
    )
    return f"{data.to_yaml(line_break=chr(10))}\n"


def source_datasets(recipe: Recipe) -> list[str]:
    """The Hub's data sets behind the set: its parent and its seed sources."""
    paths = [recipe.parent.dataset] if recipe.parent else []
    paths += [str(getattr(source, key)) for source in recipe.seeds.sources for key in source.hub_keys]
    return list(dict.fromkeys(path for path in paths if _HUB_DATASET.fullmatch(path) and ".." not in path))


def size_category(num_rows: int) -> str:
    """The Hub's name for a number of rows."""
    lower = "n"
    for power, name in enumerate(_SIZES, start=3):
        if num_rows < 10**power:
            return f"{lower}<{name}" if lower == "n" else f"{lower}<n<{name}"
        lower = name
    return f"n>{lower}"


def _configs(statistics: Statistics) -> dict[str, ConfigFacts]:
    """The configs with rows; a config without files would not load."""
    found = {"pretrain": statistics.pretrain, "instruction": statistics.instruction}
    return {name: facts for name, facts in found.items() if facts.num_rows}


def _config(name: str) -> dict[str, Any]:
    data_files = [{"split": "train", "path": f"{name}/train-*.parquet"}]
    return {"config_name": name, "data_files": data_files} | ({"default": True} if name == "pretrain" else {})


def _dataset_info(name: str, facts: ConfigFacts, statistics: Statistics, recipe: Recipe) -> dict[str, Any]:
    """A config's features, splits and sizes.

    Written by hand: datasets 3.0 to 5.2 all load `sequence` with `length` as a fixed-size list; the format that
    datasets 5.2 itself writes loses the length on 3.x.
    """
    vectors = statistics.representations
    columns: list[dict[str, Any]] = [
        *_texts("id", "caption"),
        {"name": "conversations", "list": _texts("from", "value")},
        *(_MESSAGES if recipe.packaging.messages else []),
        {"name": "image_embedding", "sequence": vectors.dtype, "length": vectors.dim},
        *_texts("seed", "domain"),
        *(_texts("task") if name == "instruction" else []),
    ]
    return {
        "config_name": name,
        "features": columns,
        "splits": [{"name": "train", "num_bytes": facts.num_bytes, "num_examples": facts.num_rows}],
        "download_size": facts.num_file_bytes,
        "dataset_size": facts.num_bytes,
    }


def _texts(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "dtype": "string"} for name in names]


_MESSAGES: list[dict[str, Any]] = [
    {"name": "messages", "list": [*_texts("role"), {"name": "content", "list": _texts("type", "text")}]}
]
