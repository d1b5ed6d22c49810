"""Where caption seeds come from: a module for each kind of source. All are read as streams."""

from collections.abc import Sequence

from unicorn_hf.core.sources import SeedSource

# In the order in which they are listed. A module that is not named here is found too, after these.
# isort: off
from unicorn_hf.seeds.sources import file, labels, dataset  # noqa: F401
# isort: on


def source_names(sources: Sequence[SeedSource]) -> list[str]:
    """What the card calls the sources; those of one name are numbered from the second on."""
    names: list[str] = []
    for source in sources:
        name = source.title
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if name in names else name)
    return names
