"""Does data from text alone train a model that reads real pictures? Every transfer, beside real images.

    pip install resvg-py
    python -m benchmarks.proof --quick [--seeds 1] [--steps 300]
    python -m benchmarks.proof [--seeds 3] [--steps 500] [--arms blind mean_shift barycentric+1 ... | --all]

The model learns to name emoji from vectors of the demonstration encoder, and is asked about pictures by artists that
neither it nor the encoder has seen. An arm is what the model is trained on:

- a transfer: the vectors of phrases about an emoji, moved by it, with and without noise that is new in each step;
- blind: the same vectors, each with the label of another emoji, which is what guessing gives;
- images: vectors of real pictures of the same emoji, in the art that the encoder was trained on.

The model is the demonstration's language model, frozen, in front of which a small network turns a vector into two
tokens that enter at layer 24 of 30, before the label; what the lower layers make of the labels is computed once.
`--quick` uses a proxy, which takes seconds: two layers that say the words of the label, whatever their order.

A label's score for a picture is the mean log probability of its tokens; with the proxy, less that for the mean vector,
which tells frequent words from right ones. (To the language model the mean vector is like none that it learned: without
it, 68 % of Streamline's pictures are named rightly, with it 49 %.) Three questions are asked of each picture, beside
labels drawn from all (`any`) or from the same subgroup (`near`):

- four: which of four labels is right?
- pair: which of two?
- yes/no: is it this one, asked once of the right label and once of a wrong one (as in POPE, 2305.10355)? Yes means a
  score above that which is best for Streamline's pictures.

Streamline's art chooses settings and thresholds; EmojiOne's art is for the last word and chooses nothing. Emoji that
the encoder never saw are left out. Transfers are fitted to the pictures that `images` is trained on, as a set: which
text goes with which picture is not used. `--other-emoji` fits them to pictures of half of the emoji, and asks about the
other half.

`share` is (arm - chance) / (images - chance) of `four` on EmojiOne, with a 95 % interval of a bootstrap over pictures
and seeds, paired between the arms.
"""

import argparse
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.arms import (
    BLIND,
    IMAGES,
    LLM,
    PAPERS,
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
from scripts.emoji_art import CHOOSING, HEADLINE, TRAINED_ON, Art, Concept, load_art
from scripts.train_joint_encoder import ENCODER, phrases
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.evaluation.proxy import Bags, Model, prior, said, trained
from unicorn_hf.representations.transfers import Transfer, fit_to_rows

KINDS = ("any", "near")
NUM_CHOICES = 4
ALL = (BLIND, *(f"{name}{noise}" for name in (*TRANSFERS.own_names, IMAGES) for noise in ("", "+1")))
SIX = (BLIND, "none", PAPERS, "gaussian_ot+1", "barycentric+1", IMAGES)
"""The fourth and fifth: the proxy's best two on Streamline."""
QUESTIONS = {"four": 1 / NUM_CHOICES, "pair": 1 / 2, "yes/no": 1 / 2}
"""With what guessing gives."""


Scores = dict[tuple[str, str], Vectors]
"""By art and kind of the other labels: (pictures, NUM_CHOICES), the right label first."""
Found = dict[tuple[str, str, str], NDArray[np.float64]]
"""By art, kind of the other labels and question: (pictures)."""


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
    fitted_to: Vectors
    """The images to which transfers are fitted."""
    labels: list[str]
    """Of each concept."""
    tried: dict[str, Pictures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="with a proxy of a language model")
    parser.add_argument("--seeds", type=int, help="1 with --quick, else 3")
    parser.add_argument("--steps", type=int, help="of each arm; 300 with --quick, else 500")
    parser.add_argument("--arms", nargs="+", metavar="NAME[+NOISE]", help="all with --quick, else six")
    parser.add_argument("--all", action="store_true", help="all arms, with the language model too")
    parser.add_argument("--other-emoji", action="store_true", help="ask about emoji that transfers are not fitted to")
    parser.add_argument("--picture", type=Path, help="also draw the accuracy of each arm, as PNG or SVG")
    options = parser.parse_args()
    started = time.monotonic()
    world = encode(load_art((*TRAINED_ON, CHOOSING, HEADLINE)), other_emoji=options.other_emoji)
    model: Model = (
        Bags(world.labels) if options.quick else LanguageModel([Text("A", f" {label}") for label in world.labels])
    )
    steps, num_seeds = options.steps or (300 if options.quick else 500), options.seeds or (1 if options.quick else 3)
    what = "a proxy of words" if options.quick else LLM
    print(f"{ENCODER}, {what}, {num_seeds} seeds, {steps} steps, torch {torch.__version__}, {platform.machine()}")
    print(f"{len(np.unique(world.text_concepts))} emoji; pictures: {counts(world)}\n")
    chosen, seeds = arms(options.arms or (ALL if options.quick or options.all else SIX)), range(num_seeds)

    def run(job: tuple[Arm, int]) -> Found:
        return answered(scored(world, model, *job, steps))

    answers = forked(run, [(arm, seed) for arm in chosen for seed in seeds])
    found = {arm: stacked([answers[arm, seed] for seed in seeds]) for arm in chosen}
    print(table(found))
    print(f"\n{time.monotonic() - started:.0f} s, {processor_minutes():.0f} minutes of processor time")
    if options.picture:
        draw(found, options.picture)


def counts(world: World) -> str:
    return ", ".join(f"{name} {len(part.vectors):,}" for name, part in world.tried.items())


# -- The world --------------------------------------------------------------------------------------------------------


def encode(art: Art, *, other_emoji: bool = False) -> World:
    choice = resolve_encoder(ENCODER, 256)
    text_tower, image_tower = choice.open(), choice.open_images()
    trained_art = [art.sets[name] for name in TRAINED_ON]
    drawn = np.concatenate([part.concepts for part in trained_art])
    chosen = np.setdiff1d(np.unique(drawn), np.flatnonzero(art.held_out))
    random = np.random.default_rng(0)
    said = {concept: phrases(art.concepts[concept], random) for concept in chosen.tolist()}
    known = np.isin(drawn, chosen)
    fitted_to, asked = (chosen[::2], chosen[1::2]) if other_emoji else (chosen, chosen)
    images = np.concatenate([image_tower.encode(part.on_white()) for part in trained_art])
    tried = {}
    for name in (CHOOSING, HEADLINE):
        part = art.sets[name]
        shown = np.isin(part.concepts, asked)
        vectors = image_tower.encode(part.on_white(shown))
        tried[name] = Pictures(vectors, offered(art.concepts, chosen, part.concepts[shown]))
    return World(
        texts=text_tower.encode([phrase for row in said.values() for phrase in row]).vectors,
        text_concepts=np.repeat(chosen, [len(row) for row in said.values()]),
        images=images[known],
        image_concepts=drawn[known],
        fitted_to=images[np.isin(drawn, fitted_to)],
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


def scored(world: World, model: Model, arm: Arm, seed: int, steps: int) -> Scores:
    """The score of each label that is offered."""
    vectors, concepts, transfer = trained_on(world, arm, seed)
    rows = torch.from_numpy(np.ascontiguousarray(vectors))
    network = trained(model, rows, torch.from_numpy(concepts), arm.noise, seed, steps)
    scores = {}
    with torch.inference_mode():
        labels = torch.arange(len(world.labels))
        before = prior(model, network, rows, labels) if isinstance(model, Bags) else torch.zeros(len(labels))
        for art, pictures in world.tried.items():
            moved = torch.from_numpy(np.ascontiguousarray(transfer.apply_image(pictures.vectors)))
            for kind, labels in pictures.offered.items():
                offered = torch.from_numpy(labels)
                scores[art, kind] = (said(model, network, moved, offered) - before[offered]).numpy()
    return scores


def answered(scores: Scores) -> Found:
    """How right the answers to each picture are, 0 to 1."""
    found = {}
    for (art, kind), of in scores.items():
        threshold = best_threshold(scores[CHOOSING, kind])
        found[art, kind, "four"] = of.argmax(axis=1) == 0
        found[art, kind, "pair"] = of[:, 0] > of[:, 1]
        found[art, kind, "yes/no"] = ((of[:, 0] > threshold) + (of[:, 1] <= threshold).astype(float)) / 2
    return {key: value.astype(float) for key, value in found.items()}


def best_threshold(scores: Vectors) -> float:
    """That which parts right labels (column 0) from wrong ones (column 1) best."""
    tried = np.sort(scores[:, :2].ravel())
    right = [(scores[:, 0] > threshold).mean() - (scores[:, 1] > threshold).mean() for threshold in tried]
    return float(tried[int(np.argmax(right))])


def stacked(seeds: list[Found]) -> Found:
    """Arrays of the shape (seeds, pictures)."""
    return {key: np.stack([found[key] for found in seeds]) for key in seeds[0]}


def trained_on(world: World, arm: Arm, seed: int) -> tuple[Vectors, Numbers, Transfer]:
    name = PAPERS if arm.name in (IMAGES, BLIND) else arm.name
    transfer = fit_to_rows(name, world.texts, world.fitted_to, seed)
    if arm.name == IMAGES:
        return transfer.apply_image(world.images), world.image_concepts, transfer
    ids = [f"{number} {concept}" for number, concept in enumerate(world.text_concepts)]
    concepts = world.text_concepts
    if arm.name == BLIND:
        concepts = np.random.default_rng(seed).permutation(concepts)
    return transfer.apply_text(world.texts, ids), concepts, transfer


# -- What comes out ---------------------------------------------------------------------------------------------------


def table(found: Mapping[Arm, Found]) -> str:
    columns = [(CHOOSING, kind, "four") for kind in KINDS] + [
        (HEADLINE, kind, question) for question in QUESTIONS for kind in KINDS
    ]
    heads = ["trained on", *(f"{art}, {question}, {kind}" for art, kind, question in columns)]
    heads += [f"share, {kind} [95 %]" for kind in KINDS]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for arm, answers in found.items():
        cells = [f"{100 * answers[column].mean():.1f}" for column in columns]
        cells += [
            share(answers[HEADLINE, kind, "four"], found[Arm(IMAGES, 0)][HEADLINE, kind, "four"], QUESTIONS["four"])
            for kind in KINDS
        ]
        lines.append(f"| {arm.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(found: Mapping[Arm, Found], path: Path) -> None:
    """A bar for each arm, in order of accuracy, beside guessing and real images."""
    from matplotlib.figure import Figure

    accuracy = {arm: 100 * answers[HEADLINE, "any", "four"].mean() for arm, answers in found.items()}
    ordered = sorted(accuracy, key=accuracy.__getitem__)
    figure = Figure(figsize=(7, 0.6 + 0.4 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    names = {IMAGES: "real images", BLIND: "blind"}
    titles = [arm.title.replace(arm.name, names.get(arm.name, f"text, {arm.name}")) for arm in ordered]
    colours = ["#888888" if arm.name in (IMAGES, BLIND) else "#2a78c2" for arm in ordered]
    bars = axes.barh(titles, [accuracy[arm] for arm in ordered], color=colours)
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.axvline(100 * QUESTIONS["four"], color="black", linewidth=1, linestyle=":")
    axes.set(xlim=(0, 100), xlabel="pictures by an unseen artist named rightly, %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
