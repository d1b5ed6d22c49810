"""Every transfer on held-out pictures, with the demonstration encoder: gap, retrieval, and a probe that saw text alone.

    pip install resvg-py
    python -m benchmarks.held_out [--seeds 5] [--no-probe] [--emoji 500]

The pictures, of OpenMoji and of held-out emoji in the art that the encoder was trained on, had no part in its training
(see scripts/train_joint_encoder.py; the art is fetched by npm once, into unicorn-hf's cache). For each seed the emoji
that it was trained on are cut in two halves: the phrases of the one half are the texts that a transfer is fitted to and
applied to; the pictures of the other half (of the art that was trained on) are the unpaired images of the transfers
that need some. Nothing is fitted to a held-out picture, nor chosen by one.

- gap: norm of the difference of the means of OpenMoji's labels and pictures, both sides transferred; MMD: theirs.
- recall: right label among the first ten of N for a picture, and right picture for a label, in OpenMoji, of emoji that
  the encoder never saw.
- probe: accuracy, on real pictures, of logistic regression trained on transferred texts to tell the emoji's groups
  (9 classes). Its weight decay is the best of six on a fifth of the texts. `images` is the same probe trained on the
  unpaired images: what text stands in for; `largest` always says the most frequent group of the training texts.

A second table has the measures of AnisoAlign (2605.07825), of labels and pictures of OpenMoji's unseen emoji, which
neither the encoder nor a transfer saw (see `unicorn_hf.representations.gap`):

- kept: mean cosine of a text before and after, correlation of the cosines of pairs of texts, share of the 20 nearest;
- centres: distance of the means; mixing around texts and around pictures, 1 as in a random mixture; cosine of a pair;
- residual: anisotropy and effective dimension of picture less text.

Printed are mean and standard deviation over the seeds.
"""

import argparse
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from scripts.emoji_art import TRAINED_ON, UNSEEN, Art, ArtSet, load_art
from scripts.train_joint_encoder import ENCODER, phrases, recall
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.representations.gap import mixing, mmd, neighbours_kept, residual, row_cosines, similarities_kept
from unicorn_hf.representations.transfers import Transfer, fit_to_rows

DECAYS = tuple(10.0**-power for power in range(2, 8))
TENTH = 10
Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Row = dict[str, float]


@dataclass(frozen=True)
class Pictures:
    vectors: Vectors
    concepts: Numbers


@dataclass(frozen=True)
class Encoded:
    """What all seeds share."""

    groups: Numbers
    """Of each concept."""
    held_out: NDArray[np.bool_]
    labels: Vectors
    phrases: NDArray[np.float32]
    """(concepts, phrases, dimensions)."""
    trained_art: Pictures
    openmoji: Pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-probe", action="store_true", help="gap, retrieval and measures alone, in a few minutes")
    parser.add_argument("--emoji", type=int, help="fit to so many emoji, drawn at random, instead of all")
    options = parser.parse_args()
    seeds = range(options.seeds)
    encoded = encode(some_of(load_art(), options.emoji) if options.emoji else load_art())
    num = int(encoded.held_out[encoded.openmoji.concepts].sum())
    print(f"{ENCODER}, {len(seeds)} seeds, torch {torch.__version__}, {platform.machine()}\n")
    print(f"N = {num} for recall and measures\n")
    names = TRANSFERS.own_names if options.no_probe else ("largest", *TRANSFERS.own_names, "images")
    found: dict[str, list[Row]] = {name: [] for name in names}
    measures: dict[str, list[Row]] = {name: [] for name in TRANSFERS.own_names}
    for name, seed in product(names, seeds):
        if name not in measures:
            found[name].append(reference(encoded, name, seed))
            continue
        part = Half.of(encoded, seed)
        transfer = fit_to_rows(name, part.texts, part.images, seed)
        found[name].append(gap_and_recall(encoded, transfer))
        measures[name].append(authors_measures(encoded, transfer))
        if not options.no_probe:
            found[name][-1] |= probed(part.moved(transfer), part.groups, held_out(encoded, transfer), seed)
    print_table(found)
    print_table(measures)


def print_table(found: dict[str, list[Row]]) -> None:
    columns = list(found["none"][0])
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "--:|" * len(columns))
    for name, rows in found.items():
        cells = [shown([row[column] for row in rows if column in row], column) for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def shown(values: list[float], column: str) -> str:
    if not values:
        return ""
    factor, digits = (100, 1) if "%" in column else (1, 3)
    mean, deviation = factor * np.mean(values), factor * np.std(values, ddof=min(1, len(values) - 1))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def some_of(art: Art, number: int) -> Art:
    """All held-out emoji, and `number` of the others."""
    others = np.random.default_rng(0).permutation(np.flatnonzero(~art.held_out))[:number]
    kept = np.sort(np.concatenate([np.flatnonzero(art.held_out), others]))
    sets = {}
    for name, part in art.sets.items():
        shown = np.isin(part.concepts, kept)
        sets[name] = ArtSet(name, np.searchsorted(kept, part.concepts[shown]), part.pixels[shown])
    return Art([art.concepts[place] for place in kept], sets)


def encode(art: Art) -> Encoded:
    choice = resolve_encoder(ENCODER, 256)
    random = np.random.default_rng(0)
    texts = [phrases(concept, random) for concept in art.concepts]
    text_tower, image_tower = choice.open(), choice.open_images()
    vectors = text_tower.encode([phrase for row in texts for phrase in row]).vectors

    def pictures(names: Sequence[str]) -> Pictures:
        parts = [art.sets[name] for name in names]
        encoded = np.concatenate([image_tower.encode(part.on_white()) for part in parts])
        return Pictures(encoded, np.concatenate([part.concepts for part in parts]))

    names = sorted({concept.group for concept in art.concepts})
    by_concept = vectors.reshape(len(texts), len(texts[0]), -1)
    return Encoded(
        groups=np.array([names.index(concept.group) for concept in art.concepts]),
        held_out=art.held_out,
        labels=by_concept[:, 0],
        phrases=by_concept,
        trained_art=pictures(TRAINED_ON),
        openmoji=pictures([UNSEEN]),
    )


@dataclass(frozen=True)
class Half:
    """What a seed's transfers are fitted to."""

    texts: Vectors
    ids: list[str]
    groups: Numbers
    images: Vectors
    image_groups: Numbers

    @classmethod
    def of(cls, encoded: Encoded, seed: int) -> "Half":
        random, num_phrases = np.random.default_rng(seed), encoded.phrases.shape[1]
        half, other = np.array_split(random.permutation(np.flatnonzero(~encoded.held_out)), 2)
        known = np.isin(encoded.trained_art.concepts, other)
        return cls(
            texts=encoded.phrases[half].reshape(-1, encoded.phrases.shape[2]),
            ids=[f"{concept} {phrase}" for concept, phrase in product(half, range(num_phrases))],
            groups=np.repeat(encoded.groups[half], num_phrases),
            images=encoded.trained_art.vectors[known],
            image_groups=encoded.groups[encoded.trained_art.concepts[known]],
        )

    def moved(self, transfer: Transfer) -> Vectors:
        return transfer.apply_text(self.texts, self.ids)


def reference(encoded: Encoded, name: str, seed: int) -> Row:
    """What a guess, or a probe that is trained on images, reaches with one seed."""
    part = Half.of(encoded, seed)
    if name == "images":
        return probed(part.images, part.image_groups, held_out(encoded, "none"), seed)
    largest = np.bincount(part.groups).argmax()
    return {column: float((right == largest).mean()) for column, (_, right) in held_out(encoded, "none").items()}


def held_out(encoded: Encoded, transfer: "Transfer | str") -> dict[str, tuple[Vectors, Numbers]]:
    """Pictures that the probe is tried on, as the transfer takes them, and their groups."""
    tried = {}
    for name, pictures in (("OpenMoji", encoded.openmoji), ("trained art", encoded.trained_art)):
        unseen = encoded.held_out[pictures.concepts]
        for kind, chosen in (("unseen", unseen), ("seen", ~unseen)):
            if (name, kind) != ("trained art", "seen"):
                vectors = pictures.vectors[chosen]
                moved = vectors if isinstance(transfer, str) else transfer.apply_image(vectors)
                tried[f"probe %, {name}, {kind} emoji"] = moved, encoded.groups[pictures.concepts[chosen]]
    return tried


def gap_and_recall(encoded: Encoded, transfer: Transfer) -> Row:
    concepts = encoded.openmoji.concepts
    texts = transfer.apply_text(encoded.labels[concepts], [f"label {concept}" for concept in concepts])
    images = transfer.apply_image(encoded.openmoji.vectors)
    unseen = encoded.held_out[concepts]
    near = unit(images[unseen]) @ unit(texts[unseen]).T
    return {
        "gap": float(np.linalg.norm(images.mean(axis=0, dtype=np.float64) - texts.mean(axis=0, dtype=np.float64))),
        "MMD": mmd(texts.astype(np.float64), images.astype(np.float64)),
        "label in first 10 %": recall(near, TENTH),
        "picture in first 10 %": recall(near.T, TENTH),
    }


def authors_measures(encoded: Encoded, transfer: Transfer) -> Row:
    unseen = encoded.held_out[encoded.openmoji.concepts]
    concepts = encoded.openmoji.concepts[unseen]
    before = encoded.labels[concepts].astype(np.float64)
    texts = transfer.apply_text(encoded.labels[concepts], [f"label {concept}" for concept in concepts])
    images = transfer.apply_image(encoded.openmoji.vectors[unseen])
    after, pictures = texts.astype(np.float64), images.astype(np.float64)
    anisotropy, dimension = residual(after, pictures)
    return {
        "texts kept": float(row_cosines(before, after).mean()),
        "similarities kept": similarities_kept(before, after),
        "neighbours kept": neighbours_kept(before, after),
        "centres": float(np.linalg.norm(pictures.mean(axis=0) - after.mean(axis=0))),
        "mixing, texts": mixing(after, pictures),
        "mixing, pictures": mixing(pictures, after),
        "cosine of a pair": float(row_cosines(after, pictures).mean()),
        "residual anisotropy": anisotropy,
        "residual dimension": dimension,
    }


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# -- The probe --------------------------------------------------------------------------------------------------------


def probed(vectors: Vectors, groups: Numbers, tried: dict[str, tuple[Vectors, Numbers]], seed: int) -> Row:
    """Accuracy on each set of pictures, of a probe trained on `vectors`."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    last, first = np.array_split(order, [len(order) // 5])

    def right_of_last(decay: float) -> float:
        return accuracy(trained(vectors[first], groups[first], decay), vectors[last], groups[last])

    probe = trained(vectors, groups, max(DECAYS, key=right_of_last))
    return {name: accuracy(probe, *pictures) for name, pictures in tried.items()}


def trained(vectors: Vectors, groups: Numbers, decay: float) -> torch.nn.Linear:
    """Logistic regression, by L-BFGS to where it no longer moves."""
    rows, right = torch.from_numpy(np.ascontiguousarray(vectors)), torch.from_numpy(groups)
    probe = torch.nn.Linear(rows.shape[1], int(right.max()) + 1)
    torch.nn.init.zeros_(probe.weight)
    torch.nn.init.zeros_(probe.bias)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(probe(rows), right) + decay * probe.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return probe


def accuracy(probe: torch.nn.Linear, vectors: Vectors, groups: Numbers) -> float:
    with torch.inference_mode():
        said = probe(torch.from_numpy(np.ascontiguousarray(vectors))).argmax(dim=1).numpy()
    return float((said == groups).mean())


if __name__ == "__main__":
    main()
