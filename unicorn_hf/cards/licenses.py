"""From the licences of the seeds and of the model to the card's."""

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


_NOT_FOR_DATA = frozenset(("nd",))
_UNREAD = "the Hub lists no such licence: read its terms at the source"
_LLAMA = "a model trained on its output must have a name that begins with Llama, and show “Built with Llama”"
_USES = "its use restrictions go on to models that are trained on its output"
_OF_MODELS = {
    "llama2": "its output may not improve any language model but Llama",
    "llama3": "its output may not improve any language model but Llama",
    "llama3.1": _LLAMA,
    "llama3.2": _LLAMA,
    "llama3.3": _LLAMA,
    "llama4": _LLAMA,
    "gemma": _USES,
    "deepseek": _USES,
    "openrail": "its use restrictions hold for its output",
    "openrail++": "its use restrictions hold for its output",
    "bigscience-openrail-m": "its use restrictions hold for its output",
    "bigcode-openrail-m": "its use restrictions hold for its output",
    "creativeml-openrail-m": "its use restrictions hold for its output",
    "qwen": "a model trained on its output must show “Built with Qwen” or “Improved using Qwen”",
    "tongyi-qianwen": "its output may not improve any language model but Qwen",
    "qwen-research": "no commercial use of the model or of its output",
    "mrl": "no commercial use of the model or of its output",
    "mnpl": "no commercial use of the model or of its output",
}
"""What the licences of language models that are in wide use ask of the text that these write, as of November 2026."""


@dataclass(frozen=True)
class License:
    """The card's licence."""

    id: str
    """A licence id of the Hub; `other` where there are problems."""
    problems: tuple[str, ...] = ()
    """Why the licences do not settle that the set may be shared and trained on: a sentence each."""

    @property
    def is_known(self) -> bool:
        return self.id != OTHER


def derive(
    sources: Sequence[SourceFacts], model: str | None = None, *, written_by_model: bool = True, what: str = "seeds"
) -> License:
    """The one licence that all seeds are under, if the Hub knows it and the model's asks nothing of the text.

    Args:
        sources: those that gave no seed do not count.
        model: the licence of the language model, by a Hub id; None where it is not known.
        written_by_model: False for the text of a rehearsal.
        what: what the sources gave.
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
            f"A licence of the {what} allows no adapted versions, and captions written from them may be such."
        )
    if written_by_model and model is None:
        problems.append("The licence of the language model is not known.")
    if written_by_model and model and (asked := model_conditions(model)):
        problems.append(f"The licence of the language model has conditions: {'; '.join(asked)}.")
    (id_,) = found if len(found) == 1 else (None,)
    return License(OTHER if problems or id_ is None else id_, tuple(problems))


def model_conditions(license_name: str) -> list[str]:
    """What the licence of a language model asks of the text that it writes; nothing for the free software licences."""
    name = license_name.strip().lower()
    if name in _OF_MODELS:
        return [_OF_MODELS[name]]
    return conditions(license_name)


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
        return [_UNREAD]
    parts = known.split("-")
    return [text for part, text in _CONDITIONS.items() if part in parts] if parts[0] == "cc" else []
