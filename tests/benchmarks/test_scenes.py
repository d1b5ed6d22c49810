"""The benchmark of scenes: what its captions are said to keep, and that its questions have the right answer first."""

import numpy as np
import pytest

from benchmarks.scenes import YES_OR_NO, Numbered, kept, statement, trials
from scripts.emoji_art import Art, Concept
from scripts.emoji_scenes import FACTS, Group, Scene, sentence

LABELS = ("fox", "apple", "lemon", "wolf", "owl")
ART = Art([Concept(label, label, (), "", "mammals") for label in LABELS], {})
SCENE = Scene(Group(0, 2, "red"), "left of", Group(1, 1), "grass")
ABOVE = Scene(Group(3, 3), "above", Group(4, 1, "blue"), "snow")


@pytest.mark.parametrize(
    ("scene", "caption", "lost"),
    [
        (SCENE, "Two red foxes are to the left of an apple on grass.", set()),
        (SCENE, "An apple lies right of the two red foxes.", set()),
        (SCENE, "Two red foxes stand on grass.", {"presence", "number", "relation"}),
        (SCENE, "Three red foxes are left of an apple.", {"number"}),
        (SCENE, "Two foxes are left of a red apple.", {"colour"}),
        (SCENE, "Two red foxes are right of an apple.", {"relation"}),
        (SCENE, "An apple is to the left of two red foxes.", {"relation"}),
        (ABOVE, "There are three wolves above a blue owl.", set()),
        (ABOVE, "A blue owl sits under three wolves on the snow.", set()),
    ],
)
def test_what_a_caption_keeps(scene: Scene, caption: str, lost: set[str]) -> None:
    facts = kept(sentence(scene, ART.concepts), scene, caption, ART)
    assert {kind for kind, found in facts.items() if not found} == lost


def test_colour_counts_only_where_there_is_one() -> None:
    scene = Scene(Group(0, 1), "below", Group(1, 1), "sand")
    assert kept(sentence(scene, ART.concepts), scene, "A fox is below an apple.", ART) == {
        "presence": True, "number": True, "relation": True,
    }  # fmt: skip


def test_a_statement_is_a_sentence() -> None:
    assert statement(SCENE, ART).answer == "Two red foxes are left of an apple on grass."
    assert statement(ABOVE, ART).answer == "Three wolves are above a blue owl on snow."


def test_the_right_answer_is_first() -> None:
    scenes, texts = [SCENE, ABOVE] * 10, Numbered([])
    asked = trials(ART, scenes, [SCENE, Scene(Group(2, 1), "below", Group(3, 1), "sand")], texts)
    for kind in FACTS:
        for picture, (right, wrong) in zip(asked[kind].pictures, asked[kind].texts, strict=True):
            assert texts.found[right] == statement(scenes[picture], ART)
            assert texts.found[wrong] != texts.found[right]
    yes_or_no = asked[YES_OR_NO]
    for picture, (right, _) in zip(yes_or_no.pictures, yes_or_no.texts, strict=True):
        named = [ART.concepts[group.concept].label for group in (scenes[picture].first, scenes[picture].second)]
        assert any(f" {label} " in texts.found[right].prompt for label in named) == (texts.found[right].answer == "Yes")
    answers = [texts.found[right].answer for right, _ in yes_or_no.texts]
    assert answers.count("Yes") == answers.count("No") == len(scenes)
    assert len(np.unique(asked["relation"].texts)) == 4
