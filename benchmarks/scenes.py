"""Does data from text alone train a model that reads pictures of scenes? From seeds to the trained model, end to end.

    pip install resvg-py
    python -m benchmarks.scenes [--captions 600] [--conversations 150] [--seeds 2] [--steps 250] [--on Streamline]

A scene is some emoji beside or above some others: "two red apples left of a dog on grass". Sentences of scenes are the
seeds of a set that unicorn-hf builds with the demonstration's models: SmolLM2 writes captions and conversations, text
vectors are moved by a transfer, and the set is loaded as a user loads it. The model of `benchmarks.proof` learns its
captions, and each answer of its conversations. It is then asked about new scenes, drawn with an artist's emoji that
neither it nor the encoder has seen. An arm is what the model is trained on:

- a transfer: the vectors of the set that is published with it, with and without noise that is new in each step;
- blind: the vectors of the set, each with the texts of another scene;
- images: vectors of pictures of the same scenes with the same texts, in the art that the encoder was trained on.

Each question is a choice between a true statement and one with one thing changed: which thing it is (`presence`), its
number, its colour, or the relation. The model takes the one whose mean log probability is higher. `yes or no` asks
whether a thing is in the picture; half of the things are, and half of those that are not are among the things that
captions name most often.

The share of (images - 50 %) has a 95 % interval of a bootstrap over questions and seeds, paired between the arms. What
the set's captions keep of their seeds bounds what a model can learn from them: it is printed too.

Answers of the language model stay in the cache, so that a second run with the same settings trains at once.
"""

import argparse
import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import disable_progress_bars, load_dataset
from PIL import Image

from benchmarks.arms import (
    BLIND,
    IMAGES,
    LLM,
    PAPERS,
    Answers,
    Arm,
    LanguageModel,
    Numbers,
    Text,
    Vectors,
    arms,
    forked,
    processor_minutes,
    share,
)
from scripts.emoji_art import CHOOSING, HEADLINE, TRAINED_ON, Art, load_art
from scripts.emoji_scenes import FACTS, RELATIONS, Scene, altered, picture, random_scene, sentence, things, with_article
from scripts.train_joint_encoder import ENCODER
from unicorn_hf import build, load_recipe, load_transfer
from unicorn_hf.builders.package import REQUESTS
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.evaluation.proxy import Model, said, trained
from unicorn_hf.models.demo_models import cache_folder
from unicorn_hf.representations.calibrate import calibrate
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.runtime.progress import Progress

RECIPE = Path(__file__).with_name("scenes.yaml")
DEFAULT = (BLIND, PAPERS, "barycentric+1", IMAGES)
CHANCE = 1 / 2
YES_OR_NO = "yes or no"
NUM_POPULAR = 20
BATCH_SIZE = 32
REQUEST = REQUESTS[1]
SEEDS_PER_CAPTION = 2
_SAYS = {
    "left of": r"\bleft\b", "right of": r"\bright\b", "above": r"\b(above|over|on top of)\b",
    "below": r"\b(below|under|beneath|underneath)\b",
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Choices between two texts about a picture; the right one is first."""

    pictures: Numbers
    texts: Numbers
    """(questions, 2)"""


@dataclass(frozen=True)
class World:
    texts: list[Text]
    """Those that are learned first, then those that are asked."""
    rows: Numbers
    """For each text that is learned, the row of its vector."""
    images: Vectors
    """Of each row's scene."""
    shown: Vectors
    trials: dict[str, Trial]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=600)
    parser.add_argument("--conversations", type=int, default=150)
    parser.add_argument("--pictures", type=int, default=300, help="to ask about")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=250, help="of each arm")
    parser.add_argument("--on", choices=[HEADLINE, CHOOSING], default=HEADLINE, help="the art to ask about")
    parser.add_argument("--arms", nargs="+", metavar="NAME[+NOISE]", default=DEFAULT)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--only-text", action="store_true", help="build the set, show its captions, train nothing")
    options = parser.parse_args()
    disable_progress_bars()
    clock = Clock()
    art = load_art((*TRAINED_ON, options.on))
    known = [concept for concept in things(art.concepts) if not art.concepts[concept].held_out]
    scenes = scenes_of(art, known, TRAINED_ON, SEEDS_PER_CAPTION * options.captions, seed=0)
    folder = cache_folder() / "emoji-scenes" / f"{options.recipe.stem}-{options.captions}-{options.conversations}"
    chosen = arms(options.arms)
    sets = built(options, art, scenes, {arm.name for arm in chosen} - {BLIND, IMAGES} | {PAPERS}, folder)
    clock.show("seeds, captions, conversations and vectors")
    show_text(sets[PAPERS], scenes, art)
    if options.only_text:
        return
    world = encode(options, art, known, scenes, sets[PAPERS])
    model = LanguageModel(world.texts, batch_size=BATCH_SIZE)
    clock.show("pictures, and the lower layers' states of texts")

    def run(job: tuple[Arm, int]) -> dict[str, Answers]:
        return answered(world, model, sets, *job, options.steps)

    answers = forked(run, [(arm, seed) for arm in chosen for seed in range(options.seeds)])
    right = {
        arm: {kind: np.stack([answers[arm, seed][kind] for seed in range(options.seeds)]) for kind in world.trials}
        for arm in chosen
    }
    clock.show("training and questions")
    print(f"\n{ENCODER}, {LLM}, {options.seeds} seeds, {options.steps} steps, "
          f"torch {torch.__version__}, {platform.machine()}")  # fmt: skip
    asked = ", ".join(f"{kind} {len(trial.pictures):,}" for kind, trial in world.trials.items())
    print(f"{len(world.images):,} rows, {len(world.rows):,} texts of them; questions about {options.on}: {asked}; "
          f"chance {100 * CHANCE:.0f} %; in brackets: share [95 %]\n")  # fmt: skip
    print("| trained on | " + " | ".join(world.trials) + " |\n|---|" + "--:|" * len(world.trials))
    for arm in chosen:
        cells = [cell(right[arm][kind], right[Arm(IMAGES, 0)][kind]) for kind in world.trials]
        print(f"| {arm.title} | " + " | ".join(cells) + " |")


def cell(accuracy: Answers, reference: Answers) -> str:
    """Accuracy, and the share of the image arm unless that one guesses, by two standard errors."""
    guesses = reference.mean() - CHANCE < 2 * CHANCE / reference.shape[1] ** 0.5
    return f"{100 * accuracy.mean():.1f} ({'-' if guesses else share(accuracy, reference, CHANCE)})"


class Clock:
    """Processor minutes between two calls of `show`."""

    def __init__(self) -> None:
        self._shown = processor_minutes()

    def show(self, what: str) -> None:
        used = processor_minutes()
        print(f"{used - self._shown:.1f} CPU minutes: {what}", flush=True)
        self._shown = used


# -- The set ----------------------------------------------------------------------------------------------------------


def scenes_of(art: Art, among: Sequence[int], artists: Sequence[str], num: int, seed: int) -> dict[str, Scene]:
    """Different scenes by their sentences, each of things that one of the artists drew both."""
    random = np.random.default_rng(seed)
    found: dict[str, Scene] = {}
    while len(found) < num:
        scene = random_scene(among, random)
        if artists_of(scene, art, artists):
            found[sentence(scene, art.concepts)] = scene
    return found


def artists_of(scene: Scene, art: Art, artists: Sequence[str]) -> list[str]:
    shown = [scene.first.concept, scene.second.concept]
    return [artist for artist in artists if np.isin(shown, art.sets[artist].concepts).all()]


def pictures_of(art: Art, scenes: Sequence[Scene], artists: Sequence[str]) -> list[Image.Image]:
    """Each scene by one of the artists that drew its things, in turn."""
    pictures = []
    for number, scene in enumerate(scenes):
        able = artists_of(scene, art, artists)
        pixels = picture(scene, art.sets[able[number % len(able)]])
        pictures.append(Image.fromarray(pixels, "RGBA").convert("RGB"))
    return pictures


def built(
    options: argparse.Namespace, art: Art, scenes: dict[str, Scene], transfers: set[str], folder: Path
) -> dict[str, Path]:
    """The published set by each transfer. Text and vectors before it are the same, and are made once."""
    seeds, pictures, statistics = folder / "seeds.txt", folder / "pictures", folder / "pictures.safetensors"
    pictures.mkdir(parents=True, exist_ok=True)
    seeds.write_text("\n".join(scenes) + "\n", encoding="utf-8")
    for number, image in enumerate(pictures_of(art, list(scenes.values()), TRAINED_ON)):
        image.save(pictures / f"{number:05}.png")
    source = PictureSource(str(pictures), limit=len(scenes))
    calibrate(source, ENCODER, statistics, Progress(), keep_vectors=len(scenes))
    sets = {}
    for transfer in sorted(transfers):
        recipe = load_recipe(options.recipe, {
            "seeds.sources": [{"kind": "file", "path": str(seeds), "name": "Scenes of emoji", "license": "cc0-1.0"}],
            "captions.num": options.captions, "instructions.num": options.conversations,
            "representations.transfer": transfer, "representations.image_statistics": str(statistics),
        })  # fmt: skip
        sets[transfer] = build(recipe, folder / transfer, work_dir=folder / "work").out
    return sets


def loaded(folder: Path, config: str) -> list[dict[str, Any]]:
    return list(load_dataset(str(folder), config, split="train").with_format("numpy", ["image_embedding"], True))


def show_text(folder: Path, scenes: dict[str, Scene], art: Art) -> None:
    """Which facts captions keep, some of them, and whether conversations teach to say no."""
    rows = loaded(folder, "pretrain")
    facts = [kept(row["seed"], scenes[row["seed"]], row["caption"], art) for row in rows]
    shares = {kind: [fact[kind] for fact in facts if kind in fact] for kind in FACTS}
    print(f"\n{len(rows):,} captions keep of their seeds: "
          + ", ".join(f"{kind} {100 * np.mean(found):.0f} %" for kind, found in shares.items()))  # fmt: skip
    for row in rows[:8]:
        print(f"- {row['seed']} -> {row['caption']}")
    turns = [text for row in loaded(folder, "instruction") for text in texts_of(row)]
    firsts = Counter(text.answer.split()[0].strip(",.").lower() for text in turns)
    print(f"{len(turns):,} answers of conversations; {firsts['yes']} begin with yes, {firsts['no']} with no")
    for text in turns[:8]:
        print(f"- {text.prompt.strip()} -> {text.answer}")
    print(flush=True)


def kept(seed: str, scene: Scene, caption: str, art: Art) -> dict[str, bool]:
    """Whether a caption keeps what its seed says of things, numbers, colours and the relation."""
    said_first, _, rest = seed.partition(f" {scene.relation} ")
    groups = [(scene.first, said_first), (scene.second, rest.rpartition(" on ")[0])]
    nouns = [rf"\b(?:{art.concepts[group.concept].label}|{phrase.split()[-1]})\b" for group, phrase in groups]
    numbers = [("a", "two", "three")[group.number - 1] for group, _ in groups]
    one, other = nouns
    found = {
        "presence": [one, other],
        "number": [
            rf"\b{'(?:an?|one|the)' if number == 'a' else number}\b(?: \w+)? {noun}"
            for number, noun in zip(numbers, nouns, strict=True)
        ],
        "colour": [rf"\b{group.colour} {noun}" for (group, _), noun in zip(groups, nouns, strict=True) if group.colour],
        "relation": [
            rf"{one}.*{_SAYS[scene.relation]}.*{other}|{other}.*{_SAYS[RELATIONS[scene.relation]]}.*{one}"
        ],
    }  # fmt: skip
    return {
        kind: all(re.search(pattern, caption, re.IGNORECASE) for pattern in patterns)
        for kind, patterns in found.items()
        if patterns
    }


def texts_of(row: dict[str, Any]) -> list[Text]:
    """Each answer of a row with its question, without the turns before."""
    turns = [turn["value"].removeprefix("<image>").strip() for turn in row["conversations"]]
    return [asked(question, answer) for question, answer in zip(turns[::2], turns[1::2], strict=True)]


def asked(question: str, answer: str) -> Text:
    return Text(f"{question}\n", answer)


# -- The world --------------------------------------------------------------------------------------------------------


def encode(
    options: argparse.Namespace, art: Art, known: Sequence[int], scenes: dict[str, Scene], folder: Path
) -> World:
    captions = loaded(folder, "pretrain")
    row_of = {row["id"]: number for number, row in enumerate(captions)}
    learned = [
        (text, row_of[row["id"]]) for row in (*captions, *loaded(folder, "instruction")) for text in texts_of(row)
    ]
    shown = scenes_of(art, known, [options.on], options.pictures, seed=1)
    tower = resolve_encoder(ENCODER, 256).open_images()
    pictures = dict(zip(scenes, pictures_of(art, list(scenes.values()), TRAINED_ON), strict=True))
    texts = Numbered(text for text, _ in learned)
    return World(
        rows=np.array([row for _, row in learned]),
        images=tower.encode([pictures[row["seed"]] for row in captions]),
        shown=tower.encode(pictures_of(art, list(shown.values()), [options.on])),
        trials=trials(art, list(shown.values()), [scenes[row["seed"]] for row in captions], texts),
        texts=texts.found,
    )


class Numbered:
    """Texts by number; the same text twice among those that are asked is one."""

    def __init__(self, texts: Iterable[Text]) -> None:
        self.found = list(texts)
        self._asked: dict[Text, int] = {}

    def number(self, text: Text) -> int:
        if text not in self._asked:
            self._asked[text] = len(self.found)
            self.found.append(text)
        return self._asked[text]


def trials(art: Art, shown: Sequence[Scene], learned: Sequence[Scene], texts: Numbered) -> dict[str, Trial]:
    random = np.random.default_rng(2)
    met = Counter(group.concept for scene in learned for group in (scene.first, scene.second))
    among, popular = sorted(met), [concept for concept, _ in met.most_common(NUM_POPULAR)]
    found: dict[str, list[tuple[int, Text, Text]]] = {kind: [] for kind in (*FACTS, YES_OR_NO)}
    for number, scene in enumerate(shown):
        for kind in FACTS:
            if false := altered(scene, kind, among, random):
                found[kind].append((number, statement(scene, art), statement(false, art)))
        present = [scene.first.concept, scene.second.concept]
        usable = [concept for concept in (among, popular)[number % 2] if concept not in present]
        for concept, answers in ((random.choice(present), ("Yes", "No")), (random.choice(usable), ("No", "Yes"))):
            question = f"Is there {with_article(art.concepts[concept].label)} in the picture?"
            found[YES_OR_NO].append((number, *(asked(question, answer) for answer in answers)))
    return {
        kind: Trial(
            np.array([number for number, _, _ in rows]),
            np.array([[texts.number(text) for text in pair] for _, *pair in rows]),
        )
        for kind, rows in found.items()
    }


def statement(scene: Scene, art: Art) -> Text:
    """`Two red apples are left of a dog on grass.`: in the words of captions."""
    verb = "is" if scene.first.number == 1 else "are"
    answer = sentence(scene, art.concepts).replace(f" {scene.relation} ", f" {verb} {scene.relation} ", 1)
    return asked(REQUEST, f"{answer[0].upper()}{answer[1:]}.")


# -- An arm -----------------------------------------------------------------------------------------------------------


def answered(world: World, model: Model, sets: dict[str, Path], arm: Arm, seed: int, steps: int) -> dict[str, Answers]:
    """Whether each question is answered rightly, by kind."""
    folder = sets.get(arm.name, sets[PAPERS])
    transfer = load_transfer(folder)
    vectors = np.stack([row["image_embedding"] for row in loaded(folder, "pretrain")]).astype(np.float32)
    if arm.name == IMAGES:
        vectors = transfer.apply_image(world.images)
    if arm.name == BLIND:
        vectors = np.random.default_rng(seed).permutation(vectors)
    rows = torch.from_numpy(vectors[world.rows])
    network = trained(model, rows, torch.arange(len(rows)), arm.noise, seed, steps)
    moved = torch.from_numpy(np.ascontiguousarray(transfer.apply_image(world.shown)))
    found = {}
    with torch.inference_mode():
        for kind, trial in world.trials.items():
            texts = torch.from_numpy(trial.texts)
            scores = said(model, network, moved[trial.pictures], texts)
            found[kind] = (scores[:, 0] > scores[:, 1]).numpy()
    return found


if __name__ == "__main__":
    main()
