"""Derive the card's licence from the licences of the seeds and of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from unicorn_hf.seeds.figures import SourceFacts

OTHER, OTHER_NAME = "other", "see-licenses-in-card"

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
"""The Hub's licence ids (hub-docs, repositories-licenses), without `other` and `unknown`."""
_SPDX = {
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
    "gfdl-1.2": "gfdl",
    "gfdl-1.3": "gfdl",
    "lgpllr": "lgpl-lr",
}
"""SPDX ids whose Hub id is not just their lower case."""
_CONDITIONS = {
    "nc": "no commercial use",
    "nd": "no adapted versions: captions written from its texts may be adapted versions",
    "sa": "adapted versions only under the same licence",
}
_NOT_FOR_DATA = frozenset(("nd",))
_UNREAD = "the Hub does not list this licence: read its terms at the source"
_LLAMA = "a model trained on its output must have a name that begins with Llama, and show “Built with Llama”"
_USES = "its use restrictions also apply to models trained on its output"
_OUTPUT = "its use restrictions also apply to its output"
_NON_COMMERCIAL = "no commercial use of the model or its output"
_OF_MODELS = {
    "llama2": "its output may not improve any language model but Llama",
    "llama3": "its output may not improve any language model but Llama",
    "llama3.1": _LLAMA,
    "llama3.2": _LLAMA,
    "llama3.3": _LLAMA,
    "llama4": _LLAMA,
    "gemma": _USES,
    "deepseek": _USES,
    "openrail": _OUTPUT,
    "openrail++": _OUTPUT,
    "bigscience-openrail-m": _OUTPUT,
    "bigcode-openrail-m": _OUTPUT,
    "creativeml-openrail-m": _OUTPUT,
    "qwen": "a model trained on its output must show “Built with Qwen” or “Improved using Qwen”",
    "tongyi-qianwen": "its output may not improve any language model but Qwen",
    "qwen-research": _NON_COMMERCIAL,
    "mrl": _NON_COMMERCIAL,
    "mnpl": _NON_COMMERCIAL,
}
"""Conditions of common language models' licences for their output, as of November 2026."""


@dataclass(frozen=True)
class License:
    id: str
    """A licence id of the Hub; `other` if there are problems."""
    problems: tuple[str, ...] = ()
    """Reasons why the licences leave open whether the set may be shared and trained on, one sentence each."""

    @property
    def is_known(self) -> bool:
        return self.id != OTHER


def derive(
    sources: Sequence[SourceFacts], model: str | None = None, *, written_by_model: bool = True, what: str = "seeds"
) -> License:
    """Return the common licence of all seeds, if the Hub lists it and the model's licence has no conditions.

    Args:
        sources: sources without seeds are ignored.
        model: the Hub id of the language model's licence; None if unknown.
        written_by_model: False for the text of a rehearsal.
        what: the kind of text that the sources provided.
    """
    problems = []
    names = dict.fromkeys(source.license for source in sources if source.num_seeds)
    found = {hub_id(name) for name in names}
    if len(found) > 1:
        problems.append(f"The {what} are under several licences.")
    if None in found or not found:
        problems.append(f"{what.capitalize()} are under a licence that the Hub does not list.")
    if any(_NOT_FOR_DATA & set((hub_id(name) or "").split("-")) for name in names):
        problems.append(
            f"A licence of the {what} allows no adapted versions; captions written from them may be adapted versions."
        )
    if written_by_model and model is None:
        problems.append("The licence of the language model is unknown.")
    if written_by_model and model and (asked := model_conditions(model)):
        problems.append(f"The licence of the language model has conditions: {'; '.join(asked)}.")
    (id_,) = found if len(found) == 1 else (None,)
    return License(OTHER if problems or id_ is None else id_, tuple(problems))


def model_conditions(license_name: str) -> list[str]:
    """The conditions of a language model's licence for its output; none for free software licences."""
    name = license_name.strip().lower()
    if name in _OF_MODELS:
        return [_OF_MODELS[name]]
    return conditions(license_name)


def hub_id(license_name: str) -> str | None:
    """The Hub's id of a licence given by its Hub or SPDX id in any case; None if it is neither."""
    name = license_name.strip().lower()
    name = name.removesuffix("-only").removesuffix("-or-later")
    name = _SPDX.get(name, name)
    return name if name in _HUB else None


def conditions(license_name: str) -> list[str]:
    """The conditions of a Creative Commons licence, or the note that the Hub does not list the licence."""
    known = hub_id(license_name)
    if known is None:
        return [_UNREAD]
    parts = known.split("-")
    return [text for part, text in _CONDITIONS.items() if part in parts] if parts[0] == "cc" else []
