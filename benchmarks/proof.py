"""Does data from text alone train a model that reads real pictures? Every transfer, beside real images.

    pip install resvg-py
    python -m benchmarks.proof --quick [--seeds 3] [--steps 300]

The model learns to name emoji from vectors of the demonstration encoder, and is asked about pictures by artists that
neither it nor the encoder has seen. An arm is what the model is trained on:

- a transfer: the vectors of phrases about an emoji, moved by it, with and without noise that is new in each step;
- blind: the same vectors, each with the label of another emoji, which is what guessing gives;
- images: vectors of real pictures of the same emoji, in the art that the encoder was trained on.

`--quick` uses a proxy of a language model: two layers that say the words of the label, whatever their order. It is
asked which of four labels suits a picture best, by the mean log probability of the label's words less that for the mean
vector; the other three labels are drawn from all (`any`) or from the same subgroup (`near`). Settings may be chosen by
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
from numpy.typing import NDArray
from torch.nn import functional

from scripts.emoji_art import CHOOSING, HEADLINE, TRAINED_ON, Art, Concept, load_art
from scripts.train_joint_encoder import ENCODER, phrases
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.words import words
from unicorn_hf.representations.transfers import Transfer, fit_to_rows

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
NUM_CHOICES = 4
CHANCE = 1 / NUM_CHOICES
NOISE = 1.0
WIDTH, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 512, 256, 2e-3, 0.05
NUM_BOOTSTRAPS = 2000
IMAGES, BLIND, BEST_KNOWN = "images", "blind", "mean_shift"


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
    bags: torch.Tensor
    """(concepts, words): the share of each word in the concept's label."""
    tried: dict[str, Pictures]


@dataclass(frozen=True)
class Arm:
    name: str
    noise: float

    @property
    def title(self) -> str:
        return f"{self.name}, noise {self.noise:g}" if self.noise else self.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="with a proxy of a language model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    started = time.monotonic()
    world = encode(load_art((*TRAINED_ON, CHOOSING, HEADLINE)))
    kinds = [(art, kind) for art in world.tried for kind in world.tried[art].offered]
    print(f"{ENCODER}, {options.seeds} seeds, {options.steps} steps, torch {torch.__version__}, {platform.machine()}")
    print(f"{len(np.unique(world.text_concepts))} emoji; pictures: {counts(world)}; chance {100 * CHANCE:.0f} %\n")
    right: dict[Arm, dict[tuple[str, str], list[NDArray[np.bool_]]]]
    right = {arm: {kind: [] for kind in kinds} for arm in arms()}
    for seed in range(options.seeds):
        for arm in right:
            for kind, answers in answered(world, arm, seed, options.steps):
                right[arm][kind].append(answers)
    print("| trained on | " + " | ".join(f"{art}, {kind}" for art, kind in kinds) + " | share [95 %] |")
    print("|---|" + "--:|" * (len(kinds) + 1))
    reference = np.stack(right[Arm(IMAGES, 0)][HEADLINE, "any"])
    for arm, found in right.items():
        cells = [f"{100 * np.mean(found[kind]):.1f}" for kind in kinds]
        print(f"| {arm.title} | " + " | ".join(cells) + f" | {share(np.stack(found[HEADLINE, 'any']), reference)} |")
    print(f"\n{time.monotonic() - started:.0f} s")


def arms() -> Iterator[Arm]:
    yield Arm(BLIND, 0)
    for name in TRANSFERS.own_names:
        yield Arm(name, 0)
        yield Arm(name, NOISE)
    yield Arm(IMAGES, 0)
    yield Arm(IMAGES, NOISE)


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
        bags=bags_of(art.concepts),
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


def bags_of(concepts: Sequence[Concept]) -> torch.Tensor:
    said = [words(concept.label) for concept in concepts]
    vocabulary = {word: number for number, word in enumerate(sorted({word for label in said for word in label}))}
    bags = torch.zeros(len(said), len(vocabulary))
    for number, label in enumerate(said):
        for word in label:
            bags[number, vocabulary[word]] += 1 / len(label)
    return bags


# -- An arm -----------------------------------------------------------------------------------------------------------


def answered(world: World, arm: Arm, seed: int, steps: int) -> Iterator[tuple[tuple[str, str], NDArray[np.bool_]]]:
    """Whether each picture is named rightly, by art and kind of the other labels."""
    vectors, concepts, transfer = trained_on(world, arm, seed)
    model = train(vectors, world.bags[torch.from_numpy(concepts)], arm.noise, seed, steps)
    with torch.inference_mode():
        prior = said(model, torch.from_numpy(vectors).mean(dim=0, keepdim=True)) @ world.bags.T
        for art, pictures in world.tried.items():
            moved = torch.from_numpy(np.ascontiguousarray(transfer.apply_image(pictures.vectors)))
            scores = said(model, moved) @ world.bags.T - prior
            for kind, labels in pictures.offered.items():
                best = scores.gather(1, torch.from_numpy(labels)).argmax(dim=1)
                yield (art, kind), (best == 0).numpy()


def trained_on(world: World, arm: Arm, seed: int) -> tuple[Vectors, Numbers, Transfer]:
    name = BEST_KNOWN if arm.name in (IMAGES, BLIND) else arm.name
    transfer = fit_to_rows(name, world.texts, world.images, seed)
    if arm.name == IMAGES:
        return transfer.apply_image(world.images), world.image_concepts, transfer
    ids = [f"{number} {concept}" for number, concept in enumerate(world.text_concepts)]
    concepts = world.text_concepts
    if arm.name == BLIND:
        concepts = np.random.default_rng(seed).permutation(concepts)
    return transfer.apply_text(world.texts, ids), concepts, transfer


def train(vectors: Vectors, bags: torch.Tensor, noise: float, seed: int, steps: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    rows = torch.from_numpy(np.ascontiguousarray(vectors))
    model = torch.nn.Sequential(
        torch.nn.Linear(rows.shape[1], WIDTH), torch.nn.GELU(), torch.nn.Linear(WIDTH, bags.shape[1])
    )
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(rows), (BATCH_SIZE,))
        batch = rows[chosen]
        if noise:
            drawn = torch.randn_like(batch) * (noise / batch.shape[1] ** 0.5)
            batch = functional.normalize(batch + drawn, dim=1)
        loss = -(said(model, batch) * bags[chosen]).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def said(model: torch.nn.Module, vectors: torch.Tensor) -> torch.Tensor:
    """Log probability of each word."""
    return functional.log_softmax(model(vectors), dim=1)


def share(arm: NDArray[np.bool_], reference: NDArray[np.bool_]) -> str:
    """Of arrays of the shape (seeds, pictures)."""
    random = np.random.default_rng(2)
    num_seeds, num_pictures = arm.shape

    def of(seeds: Numbers, pictures: Numbers) -> float:
        one, other = (answers[np.ix_(seeds, pictures)].mean() for answers in (arm, reference))
        return 100 * (one - CHANCE) / (other - CHANCE)

    drawn = [
        of(random.integers(num_seeds, size=num_seeds), random.integers(num_pictures, size=num_pictures))
        for _ in range(NUM_BOOTSTRAPS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{of(np.arange(num_seeds), np.arange(num_pictures)):.0f} % [{low:.0f}, {high:.0f}]"


if __name__ == "__main__":
    main()
