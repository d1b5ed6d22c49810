"""Does data from text alone train a model that reads real pictures? Every transfer, beside real images.

    pip install resvg-py
    python -m benchmarks.proof --quick [--seeds 3] [--steps 300]
    python -m benchmarks.proof [--seeds 3] [--steps 500] [--arms blind mean_shift gaussian_ot+noise images ...]

The model learns to name emoji from vectors of the demonstration encoder, and is asked about pictures by artists that
neither it nor the encoder has seen. An arm is what the model is trained on:

- a transfer: the vectors of phrases about an emoji, moved by it, with and without noise that is new in each step;
- blind: the same vectors, each with the label of another emoji, which is what guessing gives;
- images: vectors of real pictures of the same emoji, in the art that the encoder was trained on.

The model is the demonstration's language model, frozen, in front of which a small network turns a vector into two
tokens that enter at layer 24 of 30; what the lower layers make of the labels is computed once. `--quick` uses a proxy,
which takes seconds: two layers that say the words of the label, whatever their order.

Each picture is named by the best of four labels: the mean log probability of the label's tokens, less that for the mean
vector. The other three labels are drawn from all (`any`) or from the same subgroup (`near`). Settings may be chosen by
the columns of Streamline's art; EmojiOne's art is for the last word and chooses nothing. Emoji that the encoder never
saw are left out. Transfers are fitted to the pictures that `images` is trained on, as a set: which text goes with which
picture is not used.

`share` is (arm - chance) / (images - chance), of EmojiOne's `any`, with a 95 % interval of a bootstrap over
pictures and seeds, paired between the arms.
"""

import argparse
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.arms import (
    BLIND,
    IMAGES,
    PAPERS,
    Answers,
    Arm,
    Bags,
    LanguageModel,
    Model,
    Numbers,
    Text,
    Vectors,
    arms,
    said,
    share,
    trained,
)
from scripts.emoji_art import CHOOSING, HEADLINE, TRAINED_ON, Art, Concept, load_art
from scripts.train_joint_encoder import ENCODER, phrases
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.representations.transfers import Transfer, fit_to_rows

NUM_CHOICES = 4
CHANCE = 1 / NUM_CHOICES
ALL = (BLIND, *(f"{name}{noise}" for name in (*TRANSFERS.own_names, IMAGES) for noise in ("", "+noise")))
SIX = (BLIND, "none", PAPERS, f"{PAPERS}+noise", "gaussian_ot+noise", IMAGES)


@dataclass(frozen=True)
class Pictures:
    """Pictures of known concepts by an unseen artist, with the labels that are offered for each."""

    vectors: Vectors
    offered: dict[str, Numbers]
    """By kind of the others: concepts of the shape (pictures, NUM_CHOICES), the right one first."""


@dataclass(frozen=True)
class World:
    """What all arms share."""

    texts: Vectors
    text_concepts: Numbers
    images: Vectors
    image_concepts: Numbers
    labels: list[str]
    """Of each concept."""
    tried: dict[str, Pictures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="with a proxy of a language model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of each arm; 300 with --quick, else 500")
    parser.add_argument("--arms", nargs="+", metavar="NAME[+noise]", help="all with --quick, else six")
    options = parser.parse_args()
    started = time.monotonic()
    world = encode(load_art((*TRAINED_ON, CHOOSING, HEADLINE)))
    texts = [Text("The picture shows", f" {label}") for label in world.labels]
    model: Model = Bags(texts) if options.quick else LanguageModel(texts)
    steps = options.steps or (300 if options.quick else 500)
    kinds = [(art, kind) for art in world.tried for kind in world.tried[art].offered]
    print(
        f"{ENCODER}, {model.name}, {options.seeds} seeds, {steps} steps, torch {torch.__version__}, "
        f"{platform.machine()}"
    )
    print(f"{len(np.unique(world.text_concepts))} emoji; pictures: {counts(world)}; chance {100 * CHANCE:.0f} %\n")
    right: dict[Arm, dict[tuple[str, str], list[Answers]]]
    right = {arm: {kind: [] for kind in kinds} for arm in arms(options.arms or (ALL if options.quick else SIX))}
    for seed in range(options.seeds):
        for arm in right:
            for kind, answers in answered(world, model, arm, seed, steps):
                right[arm][kind].append(answers)
    print("| trained on | " + " | ".join(f"{art}, {kind}" for art, kind in kinds) + " | share [95 %] |")
    print("|---|" + "--:|" * (len(kinds) + 1))
    reference = np.stack(right[Arm(IMAGES, 0)][HEADLINE, "any"])
    for arm, found in right.items():
        cells = [f"{100 * np.mean(found[kind]):.1f}" for kind in kinds]
        print(
            f"| {arm.title} | "
            + " | ".join(cells)
            + f" | {share(np.stack(found[HEADLINE, 'any']), reference, CHANCE)} |"
        )
    print(f"\n{time.monotonic() - started:.0f} s")


def counts(world: World) -> str:
    return ", ".join(f"{name} {len(part.vectors):,}" for name, part in world.tried.items())


# -- The world --------------------------------------------------------------------------------------------------------


def encode(art: Art) -> World:
    choice = resolve_encoder(ENCODER, 256)
    text_tower, image_tower = choice.open(), choice.open_images()
    trained_art = [art.sets[name] for name in TRAINED_ON]
    drawn = np.concatenate([part.concepts for part in trained_art])
    chosen = np.setdiff1d(np.unique(drawn), np.flatnonzero(art.held_out))
    random = np.random.default_rng(0)
    said = {concept: phrases(art.concepts[concept], random) for concept in chosen.tolist()}
    known = np.isin(drawn, chosen)
    images = np.concatenate([image_tower.encode(part.on_white()) for part in trained_art])
    tried = {}
    for name in (CHOOSING, HEADLINE):
        part = art.sets[name]
        shown = np.isin(part.concepts, chosen)
        vectors = image_tower.encode(part.on_white(shown))
        tried[name] = Pictures(vectors, offered(art.concepts, chosen, part.concepts[shown]))
    return World(
        texts=text_tower.encode([phrase for row in said.values() for phrase in row]).vectors,
        text_concepts=np.repeat(chosen, [len(row) for row in said.values()]),
        images=images[known],
        image_concepts=drawn[known],
        labels=[concept.label for concept in art.concepts],
        tried=tried,
    )


def offered(concepts: Sequence[Concept], chosen: Numbers, right: Numbers) -> dict[str, Numbers]:
    random = np.random.default_rng(1)
    groups: dict[str, list[int]] = {}
    for concept in chosen.tolist():
        groups.setdefault(concepts[concept].subgroup, []).append(concept)

    def others(one: int, among: Sequence[int]) -> list[int]:
        usable = [other for other in among if concepts[other].label != concepts[one].label]
        drawn = random.choice(usable if len(usable) >= NUM_CHOICES - 1 else chosen, NUM_CHOICES - 1, replace=False)
        return list(map(int, drawn))

    return {
        "any": np.array([[one, *others(one, chosen.tolist())] for one in right.tolist()]),
        "near": np.array([[one, *others(one, groups[concepts[one].subgroup])] for one in right.tolist()]),
    }


# -- An arm -----------------------------------------------------------------------------------------------------------


def answered(world: World, model: Model, arm: Arm, seed: int, steps: int) -> Iterator[tuple[tuple[str, str], Answers]]:
    """Whether each picture is named rightly, by art and kind of the other labels."""
    vectors, concepts, transfer = trained_on(world, arm, seed)
    rows = torch.from_numpy(np.ascontiguousarray(vectors))
    network = trained(model, rows, torch.from_numpy(concepts), arm.noise, seed, steps)
    everything = torch.arange(len(world.labels))[:, None]
    with torch.inference_mode():
        prior = said(model, network, rows.mean(dim=0).expand(len(everything), -1), everything)[:, 0]
        for art, pictures in world.tried.items():
            moved = torch.from_numpy(np.ascontiguousarray(transfer.apply_image(pictures.vectors)))
            for kind, labels in pictures.offered.items():
                offered = torch.from_numpy(labels)
                scores = said(model, network, moved, offered) - prior[offered]
                yield (art, kind), (scores.argmax(dim=1) == 0).numpy()


def trained_on(world: World, arm: Arm, seed: int) -> tuple[Vectors, Numbers, Transfer]:
    name = PAPERS if arm.name in (IMAGES, BLIND) else arm.name
    transfer = fit_to_rows(name, world.texts, world.images, seed)
    if arm.name == IMAGES:
        return transfer.apply_image(world.images), world.image_concepts, transfer
    ids = [f"{number} {concept}" for number, concept in enumerate(world.text_concepts)]
    concepts = world.text_concepts
    if arm.name == BLIND:
        concepts = np.random.default_rng(seed).permutation(concepts)
    return transfer.apply_text(world.texts, ids), concepts, transfer


if __name__ == "__main__":
    main()
