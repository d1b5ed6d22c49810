"""Sources of caption seeds, a module for each kind. All are streams."""

from collections.abc import Sequence

from unicorn_hf.core.sources import SeedSource

# The order of listings. The registry finds other modules too, after these.
# isort: off
from unicorn_hf.seeds.sources import file, labels, dataset  # noqa: F401
# isort: on


def named_sources(sources: Sequence[SeedSource]) -> list[tuple[str, SeedSource]]:
    """Sources with their names in the card; those with equal names are numbered from the second on."""
    names: list[str] = []
    for source in sources:
        name = source.title
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if name in names else name)
    return list(zip(names, sources, strict=True))
