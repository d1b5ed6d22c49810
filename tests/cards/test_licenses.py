"""The card's licence follows from the seeds', and claims nothing that they do not say."""

import pytest

from unicorn_hf.cards.licenses import conditions, derive, hub_id, model_conditions
from unicorn_hf.seeds.figures import SourceFacts


def sources(*licenses: str, num_seeds: int = 5) -> list[SourceFacts]:
    return [SourceFacts(name="x", domain="x", license=license, num_seeds=num_seeds) for license in licenses]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("apache-2.0", "apache-2.0"),
        ("Apache-2.0", "apache-2.0"),
        (" MIT ", "mit"),
        ("CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("CC0-1.0", "cc0-1.0"),
        ("ODbL-1.0", "odbl"),
        ("ODC-By-1.0", "odc-by"),
        ("GPL-3.0-or-later", "gpl-3.0"),
        ("AGPL-3.0-only", "agpl-3.0"),
        ("unknown", None),
        ("other", None),
        ("", None),
        ("apache", None),
        ("other (free to use)", None),
        ("mit\nlicense: apache-2.0", None),
    ],
)
def test_a_licence_is_known_by_its_id_on_the_hub_or_in_spdx(given: str, found: str | None) -> None:
    assert hub_id(given) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["mit"], "mit"),
        (["mit", "MIT"], "mit"),
        (["mit", "apache-2.0"], "other"),
        (["mit", "unknown"], "other"),
        (["unknown"], "other"),
        ([], "other"),
    ],
)
def test_one_licence_of_all_sources_is_the_cards(given: list[str], found: str) -> None:
    license = derive(sources(*given), "apache-2.0")
    assert license.id == found
    assert license.is_known == (found != "other") == (not license.problems)


def test_a_source_that_gave_nothing_has_no_say() -> None:
    assert derive([*sources("mit"), *sources("unknown", num_seeds=0)], "mit").id == "mit"


def test_creative_commons_conditions_are_spelled_out() -> None:
    assert conditions("cc-by-4.0") == []
    assert conditions("CC-BY-SA-4.0") == ["adapted versions only under the same licence"]
    assert conditions("cc-by-nc-nd-4.0")[0] == "no commercial use"
    assert len(conditions("cc-by-nc-nd-4.0")) == 2
    assert conditions("apache-2.0") == []
    assert conditions("unknown") == ["the Hub does not list this licence: read its terms at the source"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (None, "is unknown"),
        ("llama3.1", "begins with Llama"),
        ("LLAMA2", "any language model but Llama"),
        ("gemma", "apply to models"),
        ("cc-by-nc-4.0", "no commercial use"),
        ("a licence of their own", "read its terms"),
    ],
)
def test_a_model_whose_licence_asks_something_leaves_the_licence_open(model: str | None, says: str) -> None:
    license = derive(sources("mit"), model)
    assert license.id == "other"
    assert len(license.problems) == 1
    assert says in license.problems[0]


@pytest.mark.parametrize("model", ["apache-2.0", "MIT", "bsd-3-clause", "cc-by-4.0"])
def test_a_free_model_leaves_the_seeds_licence(model: str) -> None:
    assert derive(sources("cc-by-sa-4.0"), model).id == "cc-by-sa-4.0"
    assert model_conditions(model) == []


def test_rehearsal_text_has_no_model() -> None:
    assert derive(sources("mit"), None, written_by_model=False).id == "mit"


def test_seeds_that_allow_no_adapted_versions_are_warned_of() -> None:
    assert "no adapted versions" in derive(sources("cc-by-nd-4.0"), "mit").problems[0]
