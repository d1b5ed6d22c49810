"""The card says what is true of its set, is the same each time, and no text from elsewhere breaks it."""

import dataclasses
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cards.samples import (
    HOSTILE,
    MARKDOWN,
    Texts,
    body_of,
    examples,
    lines_of,
    recipe,
    run,
    statistics,
    structure,
)
from unicorn_hf.cards.card import example_lines, render_card
from unicorn_hf.cards.charts import draw_charts
from unicorn_hf.cards.statistics import Statistics

PLACES = [field.name for field in dataclasses.fields(Texts)]
PLAIN = Texts(language="xx")
"""A language that has no word lists, as any text has none."""


def card(texts: Texts | None = None, recipe_changes: dict[str, Any] | None = None, **changes: Any) -> str:
    return render_card(recipe(texts, **recipe_changes or {}), statistics(texts, **changes), examples(texts), run(texts))


@lru_cache
def plain_structure() -> list[str]:
    return structure(body_of(card(PLAIN)))


def with_representations(**changes: Any) -> dict[str, Any]:
    return {"representations": statistics().representations.model_dump() | changes}


# -- Hostile text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_everywhere_changes_nothing_but_the_text(text: str) -> None:
    page = body_of(card(Texts.all(text)))
    assert structure(page) == plain_structure()
    assert len(page) < 100_000


@settings(max_examples=40)
@given(
    st.sampled_from(PLACES),
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
        st.text("`~*_#-+=|<>[]()!&;:.0123 \t\n\r\\\"'$", max_size=60),
    ).filter(lambda text: bool(text.strip()) and not text.startswith("demo:")),
)
def test_any_text_in_any_place_changes_nothing_but_the_text(place: str, text: str) -> None:
    assert structure(body_of(card(PLAIN.one(place, text)))) == plain_structure()


@pytest.mark.parametrize("text", [text for text in HOSTILE if len(text) < 60 and text.isprintable()])
def test_hostile_text_is_shown_whole(text: str) -> None:
    lines = lines_of(body_of(card(Texts.all(text))))
    shown = " ".join(text.split())
    title, blocks = lines[0], [line for line in lines if line.startswith("id ")]
    assert title == shown
    assert len(blocks) == 2
    for block in blocks:
        assert block.count(shown) >= 5


def test_only_our_own_links_and_no_html() -> None:
    page = body_of(card(Texts.all("".join(HOSTILE))))
    tokens = [child for token in MARKDOWN.parse(page) for child in (token, *(token.children or ()))]
    links = {str(token.attrs["href"]) for token in tokens if token.type == "link_open"}
    assert links == {"https://arxiv.org/abs/2503.22655", "https://pypi.org/project/unicorn-hf/"}
    assert not [token for token in tokens if token.type in ("html_block", "html_inline")]
    pictures = [str(token.attrs["src"]) for token in tokens if token.type == "image"]
    assert sorted(pictures) == sorted(draw_charts(statistics()))


def test_an_endless_conversation_is_cut_and_its_length_stated() -> None:
    turns = [{"from": "human", "value": "x"}] * 100_000
    row = examples()["pretrain"] | {"conversations": turns}
    lines = example_lines(row, statistics())
    assert len(lines) < 100
    assert "(100,000 turns in total)" in "\n".join(lines)


# -- What it says


def test_the_same_input_gives_the_same_bytes() -> None:
    assert card().encode() == card().encode()
    again = Statistics.model_validate_json(statistics().model_dump_json())
    assert render_card(recipe(), again, examples(), run()) == card()


def test_counts_are_ranked_whatever_their_order() -> None:
    config = statistics().instruction.model_dump()
    one, other = (
        card(instruction=config | {"per_task": tasks})
        for tasks in ({"a": 7, "b": 300, "c": 93}, {"c": 93, "b": 300, "a": 7})
    )
    assert one == other
    assert one.index("| b | 300 | 75.0 % |") < one.index("| c | 93 |") < one.index("| a | 7 |")


def test_every_figure_is_shown() -> None:
    page, facts = card(), statistics()
    figures = [
        *(facts.captions, facts.instructions, facts.caption_words, facts.diversity, facts.representations),
        *facts.seeds.sources,
    ]
    for section in filter(None, figures):
        for name, value in section.model_dump().items():
            for figure in [*value.values()] if isinstance(value, dict) else [value]:
                if isinstance(figure, int | float):
                    assert f"{figure:,}" in page, name
    for size in ("1.5 MB", "700.0 kB", "900.0 kB", "450.0 kB"):
        assert f"| {size} |" in page
    assert "| caption | too&#95;short | 201 | 16.7 % of candidates |" in page
    assert "| conversation | too&#95;short | 90 | 18.4 % of candidates |" in page


def test_figures_that_are_estimates_say_so_and_benchmarks_are_named() -> None:
    assert "estimated, to about 1 %" not in card()
    facts = statistics()
    assert facts.diversity
    assert "estimated, to about 1 %" in card(diversity=facts.diversity.model_dump() | {"is_estimate": True})
    (source,) = facts.seeds.model_dump()["sources"]
    seeds = facts.seeds.model_dump() | {"sources": [source | {"benchmark": "ImageNet-1k"}]}
    assert "(labels of the evaluation benchmark ImageNet-1k)" in card(seeds=seeds)
    assert "labels of the evaluation benchmark" not in card()


def test_a_run_without_losses_says_so() -> None:
    clean: dict[str, Any] = {"rejected": {}}
    page = card(
        seeds=statistics().seeds.model_dump() | {"skipped": {}},
        captions=statistics().captions.model_dump() | clean,
        instructions=statistics().instructions.model_dump() | clean,
    )
    assert "No seed was skipped, no caption and no conversation rejected." in page
    assert "of candidates |" not in page


def test_cut_captions_are_reported_before_anything_else() -> None:
    page = body_of(card(**with_representations(num_long=930)))
    assert page.index("**930 of 1,000 captions\n> (93.0 %) are longer than the encoder reads.**") < page.index("## ")
    assert "93.0 % of the vectors include only the head of their caption" in page
    assert "longer than the encoder reads.**" not in card()


def test_captions_in_windows_are_told_and_are_no_loss() -> None:
    page = body_of(card(**with_representations(num_long=930, long_captions="chunk")))
    assert "longer than the encoder reads.**" not in page
    assert "930 (93.0 %), encoded in windows of whole sentences" in page
    assert "only the head of their caption" not in page


def test_a_rehearsal_is_called_one_before_anything_else() -> None:
    page = body_of(card(recipe_changes={"engine": {"kind": "echo"}}))
    assert page.index("**A rehearsal, not training data.**") < page.index("## ")
    assert "No language model wrote the text." in page
    assert "ehears" not in card()


def test_vectors_of_real_pictures_in_the_set_are_told() -> None:
    told = "contains them as `image_vectors`"
    assert told in card(**with_representations(transfer="barycentric"))
    assert told not in card(**with_representations(transfer="gaussian_ot"))


def test_the_transfer_tells_what_to_do_at_inference() -> None:
    assert "images - images.mean(axis=0" in card()
    page = card(
        recipe_changes={"representations": {"encoder": "hashing:64", "transfer": "none"}},
        **with_representations(transfer="none", has_image_side=False),
    )
    assert "images.mean" not in page
    assert "no image side" in page
    assert "no image side" not in card()
    assert "without a transfer" in page


def test_the_code_at_inference_does_what_the_library_does() -> None:
    import numpy as np

    from unicorn_hf.representations.transfers.mean_shift import MeanShift

    code = next(block for block in lines_of(body_of(card())) if "def transferred" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    images = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    expected = MeanShift(np.zeros(8)).apply_image(images)
    np.testing.assert_allclose(names["transferred"](images), expected, atol=1e-6)


@pytest.mark.parametrize(("license", "known"), [("mit", True), ("unknown", False)])
def test_licences_are_listed_and_doubts_stated(license: str, known: bool) -> None:
    page = card(Texts(license=license))
    assert f"| Some captions | 2,417 | {license} |" in page
    assert ("this card states `mit`" in page) == known
    assert ("before you use or share this set" in page) == (not known)


def test_the_models_licence_is_stated_with_what_it_asks() -> None:
    assert "which is under apache-2.0, which has no conditions" in card(Texts(license="mit"))
    page = card(Texts(license="mit", model_license="llama3.1"))
    assert "begins with Llama" in page
    assert "this card states" not in page
    assert "Its licence is unknown" in card(Texts(license="mit"), model_license=None)


def test_promises_of_a_rebuild_follow_the_engine() -> None:
    assert "The same recipe gives the same rows." not in card()
    assert "The same recipe gives the same rows." in card(engine_deterministic=True)
    assert "captions.txt" in card()


def test_it_says_how_conversations_were_written_scored_and_what_was_left_out_of_them() -> None:
    plain = card()
    assert "multiple_choice: json, question_answering: json, complex_reasoning: json" in plain
    assert "conversations scored by the model" not in plain
    assert "pairs removed from" not in plain
    judged = {
        "captions": {"num": 1000, "screen": {"min_score": 2}},
        "instructions": {"num": 400, "judge": {"prompt": "<b>mine</b>", "min_score": 4}},
    }
    facts = statistics().model_dump()
    facts["instructions"]["dropped"] = {"personal": 17, "garbled": 3}
    told = render_card(recipe(**judged), Statistics.model_validate(facts), examples(), run())
    seen = lines_of(body_of(told))
    assert "safety-v1, score of at least 2 of 5" in seen
    assert "<b>mine</b>, score of at least 4 of 5" in seen
    assert seen[seen.index("personal") + 1] == "17"
