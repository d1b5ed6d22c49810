"""A set's row of the board, from its statistics and its recipe: short texts, and plausible numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from unicorn_hf.boards import (
    MAX_SHORT,
    REHEARSAL_TAG,
    Bin,
    Counts,
    PublishedSet,
    RecipeFacts,
    Statistics,
    facts_of,
    listed,
    percent,
    scores_of,
    shown_text,
)

MAX_NAME = 96
"""The most characters of `ORG/NAME` on the Hub: a set finds its parent by the name."""
MAX_ITEMS = 12
"""Languages, seed sources, scores and similar sets of a set in the page."""
BINS, BIN_WORDS = 25, 10


@dataclass(frozen=True)
class Row:
    """A set in the page. All texts are short, and show what would be invisible."""

    name: str
    title: str
    updated: str
    is_rehearsal: bool
    llm: str
    encoder: str
    transfer: str
    languages: Sequence[str]
    sources: Sequence[str]
    seeds: int
    captions: int
    conversations: int
    words: int
    distinct: float | None
    rejected: float | None
    tokens: int | None
    gap: float | None
    scores: Sequence[tuple[str, float, str]]
    """Setting, share of right answers, and the share with its interval."""
    lengths: Sequence[int]
    """Captions by their words, in per cent of the highest: one number per `BIN_WORDS`, the last for all longer ones."""
    facts: Sequence[tuple[str, str]]
    parent: str
    changed: str
    shared: Sequence[tuple[str, str]] = ()
    """Names of other sets that have many of its captions, and in words how many."""


def row_of(published: PublishedSet) -> Row:
    info, statistics, recipe = published.info, published.statistics, published.recipe
    vectors, diversity, gap = statistics.representations, statistics.diversity, statistics.gap
    stages = (statistics.captions, statistics.instructions)
    # What text from files or a parent cost, and how much of it was rejected, is unknown.
    num_candidates = 0 if recipe.takes_text else sum(stage.num_candidates for stage in stages)
    return Row(
        name=info.id,
        title=short(recipe.title),
        updated=f"{info.last_modified:%Y-%m-%d}" if info.last_modified else "",
        is_rehearsal=REHEARSAL_TAG in (info.tags or ()),
        llm=short(statistics.engine),
        encoder=short(vectors.encoder),
        transfer=short(vectors.transfer),
        languages=[short(code) for code in recipe.language[:MAX_ITEMS]],
        sources=[short(source.name) for source in statistics.seeds.sources[:MAX_ITEMS]],
        seeds=statistics.seeds.num_seeds,
        captions=statistics.pretrain.num_rows,
        conversations=statistics.instruction.num_rows,
        words=statistics.caption_words.median,
        distinct=diversity.distinct_2 if diversity else None,
        rejected=sum(stage.num_rejected for stage in stages) / num_candidates if num_candidates else None,
        tokens=None if recipe.takes_text else sum(stage.num_tokens for stage in stages),
        gap=gap.after.mean_gap if gap else None,
        scores=[(short(one.setting), one.accuracy, short(one.shown)) for one in statistics.proof[:MAX_ITEMS]],
        lengths=lengths(statistics.caption_words.histogram),
        facts=[(name, text) for name, text in facts(statistics, recipe).items() if text],
        parent=short(recipe.parent.dataset) if recipe.parent else "",
        changed=short(", ".join(recipe.parent.changed), MAX_SHORT) if recipe.parent else "",
    )


def facts(statistics: Statistics, recipe: RecipeFacts) -> dict[str, str]:
    """Labels and texts of an opened row; a text may be empty."""
    words, diversity, gap = statistics.caption_words, statistics.diversity, statistics.gap
    captions, conversations = statistics.captions, statistics.instructions
    amount = recipe.price.cost(
        prompt_tokens=captions.num_prompt_tokens + conversations.num_prompt_tokens,
        output_tokens=captions.num_output_tokens + conversations.num_output_tokens,
    )
    found = {
        **facts_of(statistics),
        "words, 5th to 95th percentile": f"{words.lower:,} to {words.upper:,}, median {words.median:,}",
        "seeds": f"{statistics.seeds.num_seeds:,} from {', '.join(one.name for one in statistics.seeds.sources)}",
        "vocabulary": f"{diversity.vocabulary:,} words" if diversity else "",
        "distinct-1, -2, -3": f"{diversity.distinct_1:.3f}, {diversity.distinct_2:.3f}, {diversity.distinct_3:.3f}"
        if diversity
        else "",
        "removed as near-duplicates": f"{100 * diversity.near_duplicate_share:.2f} %" if diversity else "",
        "rejected captions": rejections(captions),
        "rejected conversations": rejections(conversations),
        "tokens": "" if recipe.takes_text else f"{captions.num_tokens + conversations.num_tokens:,}",
        "their cost by the recipe": f"{recipe.price.currency} {amount:,.2f}" if amount else "",
        "shared captions": "" if statistics.known_sketch else "unknown: the set has no sketch",
        "gap to real images": f"{gap.before.mean_gap:.4f} before, {gap.after.mean_gap:.4f} after" if gap else "",
        **{f"score: {name}": share for name, share in scores_of(statistics.proof[:MAX_ITEMS]).items()},
    }
    return {short(name, MAX_SHORT): short(text, MAX_SHORT) for name, text in found.items()}


def rejections(stage: Counts) -> str:
    return f"{percent(stage.num_rejected, stage.num_candidates)}: {listed(stage.rejected)}" if stage.rejected else ""


def lengths(histogram: Sequence[Bin]) -> list[int]:
    """See `Row.lengths`. Bins of long captions are wider: their captions count in equal parts."""
    counts = [0.0] * BINS
    for one in histogram:
        first, last = (min(max(words // BIN_WORDS, 0), BINS - 1) for words in (one.first, one.last))
        for place in range(first, last + 1):
            counts[place] += max(one.num, 0) / (last - first + 1)
    return [round(100 * count / max(counts)) for count in counts] if any(counts) else []


def short(text: str, limit: int = MAX_NAME) -> str:
    """One line of at most twice the limit: an invisible character takes up to ten."""
    return shown_text(" ".join(text[:1000].split()), limit)[: 2 * limit]
