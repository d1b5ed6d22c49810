"""Labels to seeds: each is put into some of the templates."""

from collections.abc import Iterator, Sequence
from random import Random

from unicorn_hf.core.ids import stable_int
from unicorn_hf.seeds.normalise import normalise


def check_templates(templates: Sequence[str]) -> None:
    """See that a label has its place in each of the templates.

    Raises:
        ValueError: it has not.
    """
    for template in templates:
        if "{label}" not in template:
            raise ValueError(f"the template {template!r} lacks {{label}}")


def expanded(labels: Iterator[str], templates: Sequence[str], number: int, random_seed: int) -> Iterator[str]:
    """Each label in `number` of the templates, drawn by its hash; a label that is blank as it is."""
    for text in labels:
        label = normalise(text)
        if not label:
            yield label
            continue
        drawn = Random(stable_int(str(random_seed), "templates", label))
        for template in drawn.sample(templates, min(number, len(templates))):
            yield template.replace("{label}", label)
