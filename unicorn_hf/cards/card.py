"""The data set card: YAML that the Hub and `datasets` read, and a body that people read.

The same recipe, statistics and rows give the same card, byte for byte. Every figure in it comes from the statistics.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unicorn_hf.cards.costs import RunFacts, costs, rate
from unicorn_hf.cards.formats import template
from unicorn_hf.cards.licenses import conditions, model_conditions
from unicorn_hf.cards.metadata import front_matter
from unicorn_hf.cards.provenance import card_license, formula, parent_link, prompts, rebuild, rehearsal, short_name
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.cards.text import as_block, as_text, labelled, shortened
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.languages import english_name, remarks
from unicorn_hf.core.prompts import prompt_name
from unicorn_hf.core.recipe import Price, Recipe

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_FILTERS: dict[str, Callable[..., Any]] = {
    "text": as_text,
    "name": short_name,
    "prompt_name": prompt_name,
    "formula": formula,
    "block": as_block,
    "conditions": conditions,
    "model_conditions": model_conditions,
}
_LABEL_WIDTH = 17
_MAX_VALUE = 5_000
"""Characters of one caption or turn; a caption of the paper's longest, 483 words, has about 3,000."""
_MAX_TURNS = 40
_MAX_VERSION = 80


def render_card(
    recipe: Recipe,
    statistics: Statistics,
    examples: Mapping[str, Mapping[str, Any]],
    run: RunFacts | None = None,
) -> str:
    """The card as text.

    Args:
        recipe: the published recipe, without paths of the machine that built the set.
        statistics: the only source of figures.
        examples: a row of each config, without its embedding.
        run: time and machines of the build; None if unknown.
    """
    # The output is Markdown: the filters escape untrusted text.
    body = template(_TEMPLATE, _FILTERS, autoescape=False).render(
        recipe=recipe,
        statistics=statistics,
        vectors=statistics.representations,
        gap=statistics.gap,
        rehearsal=rehearsal(recipe),
        languages=[f"{english_name(code)} ({code})" for code in recipe.language],
        remarks=[] if recipe.imported else remarks(recipe.language),
        model=recipe.engine.full_title,
        author=recipe.engine.author,
        transfer=TRANSFERS.get(statistics.representations.transfer),
        encodes=parse_encoder(statistics.representations.encoder).encodes,
        prompts=list(prompts(recipe).values()),
        parent_link=parent_link(recipe.parent) if recipe.parent else "",
        examples={config: example_lines(row, statistics) for config, row in examples.items()},
        license=card_license(recipe, statistics),
        run=run,
        rate=rate,
        costs=costs(recipe.engine_price, statistics, run) if run else {},
        has_price=recipe.price != Price(),
        rebuild=rebuild(recipe, statistics),
        plugins=[f"{package} {version}" for package, version in recipe.plugins.items()],
        versions=[shortened(f"{package}=={found}", _MAX_VERSION) for package, found in statistics.versions.items()],
    )
    return f"---\n{front_matter(recipe, statistics)}---\n\n{body}"


def example_lines(row: Mapping[str, Any], statistics: Statistics) -> list[str]:
    """Return a row, without its vector, as lines for a block, in column order."""
    vectors, turns = statistics.representations, row["conversations"]
    lines = [*_field("id", row["id"]), "", *_field("caption", row["caption"]), "", "conversations"]
    for turn in turns[:_MAX_TURNS]:
        lines += _field(f"  {turn['from'][: _LABEL_WIDTH - 3]}", turn["value"])
    if len(turns) > _MAX_TURNS:
        lines += _field("", f"… ({len(turns):,} turns in total)")
    lines += ["", *_field("image_embedding", f"{vectors.dim:,} numbers, {vectors.dtype}")]
    for column in ("seed", "domain", "task"):
        lines += _field(column, row[column]) if column in row else []
    return lines


def _field(label: str, value: str) -> list[str]:
    return labelled(label, value, label_width=_LABEL_WIDTH, limit=_MAX_VALUE)
