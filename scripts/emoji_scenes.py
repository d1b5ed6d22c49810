"""Scenes of emoji: two groups of the same thing beside or above each other, the sentence that says so, and the picture.

    two red apples left of a dog on grass

Things are the emoji of some subgroups whose label is one word that can be counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.emoji_art import SIZE, ArtSet, Concept, Pixels

FACTS = ("presence", "number", "colour", "relation")
"""What `altered` may change of things and their places."""
NUMBERS = ("one", "two", "three")
COLOURS = {
    "red": (230, 40, 40), "yellow": (250, 215, 40), "green": (40, 170, 60), "blue": (50, 90, 230),
    "purple": (150, 50, 190),
}  # fmt: skip
GROUNDS = {"grass": (150, 205, 110), "sand": (235, 210, 160), "snow": (255, 255, 255), "water": (130, 195, 240)}
RELATIONS = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
"""With the reverse of each."""
_SUBGROUPS = {
    "mammals", "reptiles", "marine life", "bugs", "birds", "amphibians", "flowers", "fruit", "vegetables",
    "musical instruments", "tools", "ground transportation", "air transportation", "water transportation",
}  # fmt: skip
_NOT_COUNTED = {
    "broccoli", "garlic", "coral", "metro", "station", "construction", "motorway", "badger", "link", "seat", "ewe",
    "anchor", "blossom", "microbe", "bug", "dodo", "chicken",
}  # fmt: skip
"""Or hardly told from another thing."""
_PLURALS = {
    "ox": "oxen", "mouse": "mice", "wolf": "wolves", "goose": "geese", "deer": "deer", "shrimp": "shrimp",
    "moose": "moose", "bison": "bison", "squid": "squid", "avocado": "avocados", "flamingo": "flamingos",
    "mango": "mangos", "banjo": "banjos",
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Some of the same thing."""

    concept: int
    number: int
    """1 to 3."""
    colour: str | None = None
    """None: as the artist drew it."""


@dataclass(frozen=True)
class Scene:
    first: Group
    relation: str
    """Where `first` is, seen from `second`."""
    second: Group
    ground: str


def things(concepts: Sequence[Concept]) -> list[int]:
    """The numbers of the concepts of which scenes are made."""
    return [
        number
        for number, concept in enumerate(concepts)
        if concept.subgroup in _SUBGROUPS
        and concept.label.isalpha()
        and not concept.label.endswith("s")
        and concept.label not in _NOT_COUNTED
    ]


def random_scene(among: Sequence[int], random: np.random.Generator) -> Scene:
    """A scene of two of these concepts. A third of the groups is coloured."""
    one, other = random.choice(among, 2, replace=False).tolist()

    def group(concept: int) -> Group:
        colour = str(random.choice(list(COLOURS))) if random.random() < 1 / 3 else None
        return Group(concept, int(random.integers(1, len(NUMBERS) + 1)), colour)

    return Scene(group(one), str(random.choice(list(RELATIONS))), group(other), str(random.choice(list(GROUNDS))))


def altered(scene: Scene, kind: str, among: Sequence[int], random: np.random.Generator) -> Scene | None:
    """The scene with one thing changed; None if it has no such thing.

    Args:
        kind: of `FACTS` (`presence` is another thing), or `ground`.
        among: concepts for `presence`.
    """

    def other(values: Sequence[object], *present: object) -> object:
        return values[int(random.choice([place for place, value in enumerate(values) if value not in present]))]

    coloured = [side for side in ("first", "second") if getattr(scene, side).colour]
    side = str(random.choice(coloured if kind == "colour" and coloured else ["first", "second"]))
    group: Group = getattr(scene, side)
    match kind:
        case "relation":
            return replace(scene, relation=RELATIONS[scene.relation])
        case "ground":
            return replace(scene, ground=other(list(GROUNDS), scene.ground))
        case "presence":
            changed = replace(group, concept=other(among, scene.first.concept, scene.second.concept))
        case "number":
            changed = replace(group, number=other(range(1, len(NUMBERS) + 1), group.number))
        case "colour":
            if not coloured:
                return None
            changed = replace(group, colour=other(list(COLOURS), group.colour))
        case _:
            raise ValueError(f"a scene has no {kind}")
    return replace(scene, **{side: changed})


def sentence(scene: Scene, concepts: Sequence[Concept]) -> str:
    """`two red apples left of a dog on grass`"""
    first, second = (_said(group, concepts[group.concept].label) for group in (scene.first, scene.second))
    return f"{first} {scene.relation} {second} on {scene.ground}"


def picture(scene: Scene, art: ArtSet) -> Pixels:
    """The scene as this artist draws it: (SIZE, SIZE, 4). Both concepts must be among the artist's."""
    canvas = Image.new("RGBA", (SIZE, SIZE), GROUNDS[scene.ground])
    before, after = (
        (scene.first, scene.second) if scene.relation in ("left of", "above") else (scene.second, scene.first)
    )
    half = SIZE // 2
    for group, start in ((before, 0), (after, half)):
        side = min(half, SIZE // group.number)
        drawn = _drawn(group, art).resize((side, side), Image.Resampling.BICUBIC)
        for number in range(group.number):
            across, along = start + (half - side) // 2, round((number + 0.5) * SIZE / group.number - side / 2)
            canvas.alpha_composite(drawn, (across, along) if "of" in scene.relation else (along, across))
    pixels: Pixels = np.asarray(canvas)
    return pixels


def _said(group: Group, label: str) -> str:
    words = [group.colour] if group.colour else []
    if group.number > 1:
        return " ".join([NUMBERS[group.number - 1], *words, _plural(label)])
    words.append(label)
    return with_article(" ".join(words))


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _plural(label: str) -> str:
    if label in _PLURALS or label.endswith("fish"):
        return _PLURALS.get(label, label)
    if label.endswith(("x", "ch", "sh", "to")):
        return f"{label}es"
    if label.endswith("y") and label[-2] not in "aeiou":
        return f"{label[:-1]}ies"
    return f"{label}s"


def _drawn(group: Group, art: ArtSet) -> Image.Image:
    (place,) = np.flatnonzero(art.concepts == group.concept)
    pixels = art.pixels[place]
    if group.colour is None:
        return Image.fromarray(pixels, "RGBA")
    bright: NDArray[np.float64] = pixels[:, :, :3].mean(axis=2, keepdims=True) / 255
    # Between black, the colour and white, so that what is drawn stays visible in it.
    colour = np.array(COLOURS[group.colour])
    tinted = np.where(bright < 0.5, colour * bright * 2, colour + (255 - colour) * (bright - 0.5) * 0.8)
    return Image.fromarray(np.concatenate([tinted.astype(np.uint8), pixels[:, :, 3:]], axis=2), "RGBA")
