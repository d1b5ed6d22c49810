"""Makes seeds from labels: inserts each into some of the templates."""

from collections.abc import Iterator, Sequence
from random import Random

from unicorn_hf.core.ids import stable_int
from unicorn_hf.seeds.normalise import normalise


def with_label(templates: tuple[str, ...]) -> tuple[str, ...]:
    """Raise a `ValueError` if a template lacks `{label}`."""
    for template in templates:
        if "{label}" not in template:
            raise ValueError(f"the template {template!r} lacks {{label}}")
    return templates


def expanded(labels: Iterator[str], templates: Sequence[str], number: int, random_seed: int) -> Iterator[str]:
    """Each label in `number` of the templates, drawn by its hash; blank labels unchanged."""
    for text in labels:
        label = normalise(text)
        if not label:
            yield label
            continue
        drawn = Random(stable_int(str(random_seed), "templates", label))
        for template in drawn.sample(templates, min(number, len(templates))):
            yield template.replace("{label}", label)
