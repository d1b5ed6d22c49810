"""Scenes of emoji: what the sentence says is what the picture shows."""

import numpy as np
import pytest

from scripts.emoji_art import SIZE, ArtSet, Concept
from scripts.emoji_scenes import (
    COLOURS,
    GROUNDS,
    RELATIONS,
    Group,
    Scene,
    altered,
    picture,
    random_scene,
    sentence,
    things,
)

CONCEPTS = [
    Concept("1", "fox", (), "animals & nature", "mammals"),
    Concept("2", "apple", (), "food & drink", "fruit"),
    Concept("3", "grapes", (), "food & drink", "fruit"),
    Concept("4", "wolf", (), "animals & nature", "mammals"),
    Concept("5", "key", (), "objects", "lock & keys"),
    Concept("6", "fly", (), "animals & nature", "bugs"),
]
SCENE = Scene(Group(0, 2, "red"), "left of", Group(1, 1), "grass")


@pytest.fixture
def art() -> ArtSet:
    """Each concept is a filled square, in a grey of its own."""
    pixels = np.full((len(CONCEPTS), SIZE, SIZE, 4), 255, dtype=np.uint8)
    pixels[..., :3] = (100 + 10 * np.arange(len(CONCEPTS)))[:, None, None, None]
    return ArtSet("drawn", np.arange(len(CONCEPTS)), pixels)


def test_things_can_be_counted() -> None:
    assert [CONCEPTS[number].label for number in things(CONCEPTS)] == ["fox", "apple", "wolf", "fly"]


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (SCENE, "two red foxes left of an apple on grass"),
        (Scene(Group(3, 3), "above", Group(5, 2, "blue"), "snow"), "three wolves above two blue flies on snow"),
        (Scene(Group(1, 1, "yellow"), "below", Group(0, 1), "sand"), "a yellow apple below a fox on sand"),
    ],
)
def test_the_sentence(scene: Scene, said: str) -> None:
    assert sentence(scene, CONCEPTS) == said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("relation", {"two red foxes right of an apple on grass"}),
        ("colour", {f"two {colour} foxes left of an apple on grass" for colour in COLOURS if colour != "red"}),
        ("ground", {f"two red foxes left of an apple on {ground}" for ground in GROUNDS if ground != "grass"}),
    ],
)
def test_one_fact_is_altered(kind: str, said: set[str]) -> None:
    random = np.random.default_rng(0)
    found = {sentence(altered(SCENE, kind, [0, 1, 3], random) or SCENE, CONCEPTS) for _ in range(60)}
    assert found == said


def test_presence_and_number_are_altered_in_either_group() -> None:
    random = np.random.default_rng(0)
    for kind in ("presence", "number"):
        changed = [altered(SCENE, kind, [0, 1, 3], random) for _ in range(40)]
        assert SCENE not in changed
        assert {one.first == SCENE.first for one in changed if one} == {True, False}
    assert altered(Scene(Group(0, 1), "above", Group(1, 1), "sand"), "colour", [0], random) is None


def test_the_picture_shows_number_place_colour_and_ground(art: ArtSet) -> None:
    drawn = picture(SCENE, art)
    assert drawn.shape == (SIZE, SIZE, 4)
    ground = (drawn[..., :3] == GROUNDS["grass"]).all(axis=-1)
    apple = (drawn[..., :3] == 110).all(axis=-1)
    foxes = ~ground & ~apple
    assert foxes[:, : SIZE // 2].all(), "two squares fill the left half"
    assert apple.sum() == (SIZE // 2) ** 2
    assert not apple[:, : SIZE // 2].any()
    red = drawn[foxes].astype(int)
    assert (red[:, 0] > red[:, 1]).all()
    reverse = picture(altered(SCENE, "relation", [], np.random.default_rng(0)) or SCENE, art)
    np.testing.assert_array_equal(reverse, np.concatenate([drawn[:, SIZE // 2 :], drawn[:, : SIZE // 2]], axis=1))


def test_random_scenes_are_of_two_things_and_repeat(art: ArtSet) -> None:
    drawn = [random_scene([0, 1, 3], np.random.default_rng(seed)) for seed in range(60)]
    assert all(scene.first.concept != scene.second.concept for scene in drawn)
    assert {scene.relation for scene in drawn} == set(RELATIONS)
    assert drawn[7] == random_scene([0, 1, 3], np.random.default_rng(7))
    assert not np.array_equal(picture(drawn[0], art), picture(drawn[1], art))
