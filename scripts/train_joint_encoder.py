"""Trains the demonstration encoder's image tower on emoji art, against the frozen text vectors of all-MiniLM-L6-v2.

    python -m scripts.train_joint_encoder [--steps 3300] [--threads 1] [--seed 0] [--only-scores]

It fetches and draws the art itself (see scripts/emoji_art.py, which names data, versions and licences; it needs npm and
`pip install resvg-py`), trains a small ResNet of open_clip with InfoNCE, and writes the weights in half precision with
open_clip's configuration. It encodes held-out pictures by the tower that was there before and by the new one, and fills
the model card with the scores of both. A quarter of each batch are scenes (see scripts/emoji_scenes.py), with sentences
that say something else of the same things among the wrong ones. The same seed gives the same weights on the same
machine with the same number of threads and version of torch; elsewhere sums are rounded in another order.

Never trained on: a tenth of the concepts, by a hash, and all of OpenMoji, Streamline and EmojiOne. Nothing was chosen
by looking at them.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from scripts.emoji_art import SIZE, TRAINED_ON, UNSEEN, Art, ArtSet, Concept, load_art, packages_of
from scripts.emoji_scenes import FACTS, Scene, altered, picture, random_scene, sentence, things
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.models.demo_models import IMAGE_TOWER

ENCODER = "open_clip:demo:minilm"
BATCH_SIZE, SCENES_PER_BATCH = 128, 32
NUM_SCENES, NUM_TRIED_SCENES = 4000, 1000
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
WARM_UP = 0.1
"""Share of the steps."""
SMOOTHING = 0.1
_WEIGHTS = "image_tower.safetensors"
VISION = {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
"""open_clip's ModifiedResNet: 1.5 M parameters."""
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "shortest"}
PHRASES = 6
NEVER_MIRRORED = ("flags", "symbols")
"""Groups of emoji in which left is not right."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3300, help=f"of {BATCH_SIZE} pictures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-scores", action="store_true", help="measure the tower of the package, train none")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    art = load_art()
    path = IMAGE_TOWER / "scores.json"
    facts = json.loads(path.read_text(encoding="utf-8")) if arguments.only_scores else {"before": scores(art)}
    if not arguments.only_scores:
        started = time.process_time()
        ship(train(art, arguments.steps, arguments.seed), IMAGE_TOWER)
        facts["training"] = {
            "steps": arguments.steps, "batch_size": BATCH_SIZE, "seed": arguments.seed, "threads": arguments.threads,
            "torch": torch.__version__, "processor_minutes": round((time.process_time() - started) / 60, 1),
        }  # fmt: skip
    facts |= {"data": data(art), "recall": scores(art)}
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    card = (Path(__file__).parent / "joint_encoder_card.md").read_text(encoding="utf-8")
    (IMAGE_TOWER / "README.md").write_text(filled(card, facts), encoding="utf-8")


# -- Training ---------------------------------------------------------------------------------------------------------


def phrases(concept: Concept, random: np.random.Generator) -> list[str]:
    """The label, and ways to say the same with some of the tags."""
    tags = [tag for tag in concept.tags if tag != concept.label] or [concept.label]
    one, two, three = (tags[number] for number in random.integers(0, len(tags), 3))
    return [
        concept.label,
        f"a picture of {concept.label}",
        f"{concept.label}, {one}",
        f"{one}, {two}, {three}",
        f"The image shows {concept.label}, with a touch of {one} and {two}.",
        f"{concept.label}: {concept.subgroup}",
    ]


def text_vectors(texts: list[str]) -> torch.Tensor:
    """Unit vectors of the texts: (texts, dimensions)."""
    tower = resolve_encoder(ENCODER, 256).open()
    try:
        return torch.from_numpy(tower.encode(texts).vectors)
    finally:
        tower.close()


@dataclass(frozen=True)
class Scenes:
    pixels: torch.Tensor
    """(NUM_SCENES, SIZE, SIZE, 4)"""
    sentences: torch.Tensor
    """(NUM_SCENES, 1 + len(FACTS), dimensions): the right one first."""


def scenes_of(art: Art, seed: int) -> Scenes:
    """Random scenes, each by one of the artists that are trained on."""
    random = np.random.default_rng(seed)
    known = [number for number in things(art.concepts) if not art.concepts[number].held_out]
    pixels, texts = [], []
    for number in range(NUM_SCENES):
        part = art.sets[TRAINED_ON[number % len(TRAINED_ON)]]
        scene, among = drawn_scene(part, known, random)
        pixels.append(picture(scene, part))
        others = (altered(scene, kind, among, random) or altered(scene, "ground", among, random) for kind in FACTS)
        texts += [sentence(one, art.concepts) for one in (scene, *others)]
    vectors = text_vectors(texts).reshape(NUM_SCENES, 1 + len(FACTS), -1)
    return Scenes(torch.from_numpy(np.stack(pixels)), vectors)


def drawn_scene(part: ArtSet, known: list[int], random: np.random.Generator) -> tuple[Scene, list[int]]:
    """A scene of what this artist drew, and the concepts that it could have been of."""
    among = sorted(set(known) & set(part.concepts.tolist()))
    return random_scene(among, random), among


def train(art: Art, steps: int, seed: int) -> Any:
    """The trained tower."""
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    phrased = [text for concept in art.concepts for text in phrases(concept, random)]
    texts = text_vectors(phrased).reshape(len(art.concepts), PHRASES, -1)
    scenes = scenes_of(art, seed)
    shown = art.held_out
    parts = [art.sets[name] for name in TRAINED_ON]
    keep = [~shown[part.concepts] for part in parts]
    pixels = torch.from_numpy(np.concatenate([part.pixels[kept] for part, kept in zip(parts, keep, strict=True)]))
    of = torch.from_numpy(np.concatenate([part.concepts[kept] for part, kept in zip(parts, keep, strict=True)]))
    known = torch.from_numpy(np.flatnonzero(~shown))
    place = torch.full((len(shown),), -1)
    place[known] = torch.arange(len(known))
    fixed = torch.tensor([concept.group in NEVER_MIRRORED for concept in art.concepts])

    tower = _build_vision_tower(texts.shape[2], CLIPVisionCfg(**VISION)).to(memory_format=torch.channels_last)
    log_scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
    decayed = [weight for weight in tower.parameters() if weight.ndim > 1]
    others = [weight for weight in tower.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": [*others, log_scale], "weight_decay": 0}]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP)
    emoji_order, scene_order = Order(len(pixels)), Order(NUM_SCENES)
    for step in range(steps):
        chosen, composed = emoji_order.next(BATCH_SIZE - SCENES_PER_BATCH), scene_order.next(SCENES_PER_BATCH)
        concepts = of[chosen]
        batch = torch.cat([pixels[chosen], scenes.pixels[composed]])
        mirrored_never = torch.cat([fixed[concepts], torch.ones(SCENES_PER_BATCH, dtype=torch.bool)])
        images = augmented(batch, mirrored_never).contiguous(memory_format=torch.channels_last)
        # A phrase for each concept: the label as often as all others together. Then the scenes' sentences, right ones
        # first, and what is not so of them.
        said = torch.randint(-PHRASES + 2, PHRASES, (len(known),)).clamp(min=0)
        bank = torch.cat([texts[known, said], *scenes.sentences[composed].unbind(dim=1)])
        right = torch.cat([place[concepts], len(known) + torch.arange(SCENES_PER_BATCH)])
        with torch.autocast("cpu", torch.bfloat16):
            features = tower(images)
        loss = info_nce(functional.normalize(features.float(), dim=-1), bank, right, log_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            log_scale.clamp_(max=np.log(100))
        if step % 25 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.3f}  scale {log_scale.exp().item():.1f}", flush=True)
    return tower.eval()


class Order:
    """Row numbers in random order, all before any again."""

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows
        self._left = torch.empty(0, dtype=torch.int64)

    def next(self, number: int) -> torch.Tensor:
        if len(self._left) < number:
            self._left = torch.cat([self._left, torch.randperm(self._num_rows)])
        chosen, self._left = self._left[:number], self._left[number:]
        return chosen


def info_nce(images: torch.Tensor, bank: torch.Tensor, place: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """InfoNCE both ways: each picture among the texts of all concepts, each text of the batch among its pictures.

    Several pictures of the batch may show the same concept: all are right then.
    """
    to_text = functional.cross_entropy(scale * images @ bank.T, place, label_smoothing=SMOOTHING)
    right = place[:, None] == place[None, :]
    logits = scale * bank[place] @ images.T
    to_image = logits.logsumexp(dim=1) - logits.masked_fill(~right, -torch.inf).logsumexp(dim=1)
    return (to_text + to_image.mean()) / 2


def augmented(pixels: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """Pictures as the tower takes them, (n, 3, SIZE, SIZE) in -1..1, turned, scaled, moved, tinted, on some ground."""
    n = len(pixels)
    rgba = pixels.permute(0, 3, 1, 2).float() / 255
    rgba[:, :3] *= rgba[:, 3:]

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(n, *shape) * (high - low) + low

    angle, zoom, stretch = uniform(-0.25, 0.25), uniform(0.9, 1.5), uniform(0.9, 1.1)
    mirror = torch.where((torch.rand(n) < 0.5) & ~fixed, -1.0, 1.0)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    matrix = torch.stack([
        torch.stack([cos * stretch * mirror, -sin, uniform(-0.15, 0.15)], 1),
        torch.stack([sin * stretch * mirror, cos, uniform(-0.15, 0.15)], 1),
    ], 1)  # fmt: skip
    grid = functional.affine_grid(matrix, [n, 4, SIZE, SIZE], align_corners=False)
    rgba = functional.grid_sample(rgba, grid, align_corners=False)
    colour, opacity = rgba[:, :3], rgba[:, 3:]
    grey = colour.mean(1, keepdim=True)
    vivid = torch.where(torch.rand(n) < 0.1, torch.zeros(n), uniform(0.5, 1.5))[:, None, None, None]
    colour = grey + (colour - grey) * vivid
    colour = colour * uniform(0.75, 1.25, 3, 1, 1)
    ground = torch.where((torch.rand(n) < 0.7)[:, None, None, None], torch.ones(n, 3, 1, 1), torch.rand(n, 3, 1, 1))
    return ((colour + ground * (1 - opacity)).clamp(0, 1) - 0.5) / 0.5


def ship(tower: Any, folder: Path) -> None:
    """Write the weights in half precision, and what open_clip needs to know of the tower."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (weight.half() if weight.is_floating_point() else weight).contiguous()
        for name, weight in tower.state_dict().items()
    }
    path = folder / _WEIGHTS
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    config = {"vision_cfg": VISION, "preprocess_cfg": PREPROCESS}
    (folder / "image_tower.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


# -- Scores -----------------------------------------------------------------------------------------------------------


def scores(art: Art) -> list[dict[str, Any]]:
    """Recall of labels and pictures by the shipped encoder, where it never saw concept, art, or both; and of scenes."""
    choice = resolve_encoder(ENCODER, 256)
    image_tower = choice.open_images()
    labels = text_vectors([concept.label for concept in art.concepts]).numpy()
    rows = []

    def row(name: str, concepts: str, images: NDArray[np.float32], texts: NDArray[np.float32]) -> None:
        near = images @ texts.T
        measured = {"art": name, "concepts": concepts, "num": len(images)}
        measured |= {f"image_to_text_{k}": recall(near, k) for k in (1, 10)}
        measured |= {f"text_to_image_{k}": recall(near.T, k) for k in (1, 10)}
        rows.append(measured)
        print(measured, flush=True)

    for name, part in art.sets.items():
        for unseen in (True, False):
            if unseen or name == UNSEEN:
                chosen = art.held_out[part.concepts] == unseen
                vectors = image_tower.encode(part.on_white(chosen))
                row(name, "unseen" if unseen else "seen", vectors, labels[part.concepts[chosen]])
    random = np.random.default_rng(0)
    part, known = art.sets[UNSEEN], [n for n in things(art.concepts) if not art.concepts[n].held_out]
    scenes = [drawn_scene(part, known, random)[0] for _ in range(NUM_TRIED_SCENES)]
    pictures = [Image.fromarray(picture(scene, part)).convert("RGB") for scene in scenes]
    texts = text_vectors([sentence(scene, art.concepts) for scene in scenes]).numpy()
    row(UNSEEN, "scenes of seen", image_tower.encode(pictures), texts)
    return rows


def recall(near: NDArray[np.float32], k: int) -> float:
    """Share of the rows whose own column is among the `k` nearest."""
    own = np.diag(near)
    return round(float(((near > own[:, None]).sum(axis=1) < k).mean()), 4)


def data(art: Art) -> dict[str, Any]:
    shown = {name: int((~art.held_out[art.sets[name].concepts]).sum()) for name in TRAINED_ON}
    return {
        "packages": packages_of((*TRAINED_ON, UNSEEN)),
        "num_concepts": len(art.concepts),
        "num_held_out": int(art.held_out.sum()),
        "pictures_trained_on": shown,
        "num_parameters": sum(weight.numel() for weight in load_file(IMAGE_TOWER / _WEIGHTS).values()),
    }


def filled(card: str, facts: dict[str, Any]) -> str:
    """The model card with the figures in the places named by double braces."""
    before = {(row["art"], row["concepts"]): row for row in facts["before"]}

    def cell(row: dict[str, Any], name: str) -> str:
        return f"{100 * before[row['art'], row['concepts']][name]:.1f} → {100 * row[name]:.1f}"

    names = [f"{way}_{k}" for way in ("image_to_text", "text_to_image") for k in (1, 10)]
    table = "\n".join(
        f"| {row['art']} | {row['concepts']} | {row['num']:,} | " + " | ".join(cell(row, name) for name in names) + " |"
        for row in facts["recall"]
    )
    shown, made = facts["data"]["pictures_trained_on"], facts["training"]
    values = facts["data"] | {
        "training": f"{made['steps']:,} steps, seed {made['seed']}, {made['processor_minutes']} minutes of processor"
        f" time with --threads {made['threads']}, torch {made['torch']}",
        "batch_size": made["batch_size"],
        "scenes_per_batch": SCENES_PER_BATCH,
        "num_scenes": f"{NUM_SCENES:,}",
        "num_parameters": f"{facts['data']['num_parameters'] / 1e6:.1f} M",
        "pictures": f"{sum(shown.values()):,} ({', '.join(f'{name} {number:,}' for name, number in shown.items())})",
        "num_concepts": f"{facts['data']['num_concepts']:,}",
        "packages": ", ".join(facts["data"]["packages"]),
        "table": table,
    }  # fmt: skip
    for name, value in values.items():
        card = card.replace("{{" + name + "}}", str(value))
    assert "{{" not in card, card
    return card


if __name__ == "__main__":
    main()
