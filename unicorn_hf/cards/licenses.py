"""From the seeds' licences to the card's."""

from collections.abc import Sequence
from dataclasses import dataclass

from unicorn_hf.cards.statistics import SourceFacts

OTHER, OTHER_NAME = "other", "see-seed-licenses"

_HUB = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
    openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
    """.split()
)
"""Licence ids that the Hub knows (hub-docs, repositories-licenses), without `other` and `unknown`."""
_SPDX = {
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
    "gfdl-1.2": "gfdl",
    "gfdl-1.3": "gfdl",
    "lgpllr": "lgpl-lr",
}
"""SPDX ids that the Hub spells in another way than in lower case."""
_CONDITIONS = {
    "nc": "no commercial use",
    "nd": "no adapted versions: captions written from its texts may be such",
    "sa": "adapted versions only under the same licence",
}


@dataclass(frozen=True)
class License:
    """The card's licence."""

    id: str
    """A licence id of the Hub; `other` where the seeds have several or an unknown one."""

    @property
    def is_known(self) -> bool:
        return self.id != OTHER


def derive(sources: Sequence[SourceFacts]) -> License:
    """The one licence that all seeds are under, if the Hub knows it; sources that gave no seed do not count."""
    found = {hub_id(source.license) for source in sources if source.num_seeds}
    only = found.pop() if len(found) == 1 else None
    return License(only or OTHER)


def hub_id(license_name: str) -> str | None:
    """The Hub's id for a licence, given by that or by its SPDX id in any case; None if it is neither."""
    name = license_name.strip().lower()
    name = name.removesuffix("-only").removesuffix("-or-later")
    name = _SPDX.get(name, name)
    return name if name in _HUB else None


def conditions(license_name: str) -> list[str]:
    """What a reader must know of a licence: what Creative Commons asks, or that the Hub lists none such."""
    known = hub_id(license_name)
    if known is None:
        return ["the Hub lists no such licence: read its terms at the source"]
    parts = known.split("-")
    return [text for part, text in _CONDITIONS.items() if part in parts] if parts[0] == "cc" else []
