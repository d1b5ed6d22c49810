"""The card's licence follows from the seeds', and claims nothing that they do not say."""

import pytest

from unicorn_hf.cards.licenses import conditions, derive, hub_id
from unicorn_hf.cards.statistics import SourceFacts


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
    assert derive(sources(*given)).id == found
    assert derive(sources(*given)).is_known == (found != "other")


def test_a_source_that_gave_nothing_has_no_say() -> None:
    assert derive([*sources("mit"), *sources("unknown", num_seeds=0)]).id == "mit"


def test_creative_commons_conditions_are_spelled_out() -> None:
    assert conditions("cc-by-4.0") == []
    assert conditions("CC-BY-SA-4.0") == ["adapted versions only under the same licence"]
    assert conditions("cc-by-nc-nd-4.0")[0] == "no commercial use"
    assert len(conditions("cc-by-nc-nd-4.0")) == 2
    assert conditions("apache-2.0") == []
    assert conditions("unknown") == ["the Hub lists no such licence: read its terms at the source"]
