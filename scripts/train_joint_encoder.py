"""Trains the demonstration encoder's image tower on emoji art, against the frozen text vectors of all-MiniLM-L6-v2.

    python -m scripts.train_joint_encoder [--steps 1000] [--threads 2] [--seed 0] [--more | --only-scores]

It fetches and draws the art itself (see scripts/emoji_art.py, which names data, versions and licences; it needs npm and
`pip install resvg-py`), trains a small ResNet of open_clip's with InfoNCE, writes the weights in half precision with
open_clip's configuration, encodes the held-out pictures with what it wrote, and fills the model card with the scores.
`--more` goes on from the tower of the package with another round of steps. The same seed gives the same weights on the
same machine with the same number of threads and version of torch; elsewhere sums are rounded in another order.

Never trained on: a tenth of the concepts, by a hash, and all of OpenMoji. Nothing was chosen by looking at them.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn import functional

from scripts.emoji_art import SIZE, TRAINED_ON, UNSEEN, Art, Concept, load_art, packages_of
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.models.demo_models import IMAGE_TOWER

ENCODER = "open_clip:demo:minilm"
BATCH_SIZE = 128
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
    parser.add_argument("--steps", type=int, default=1000, help=f"of {BATCH_SIZE} pictures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--more", action="store_true", help="go on from the tower of the package: another round")
    choice.add_argument("--only-scores", action="store_true", help="measure the tower of the package, train none")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    art = load_art()
    path = IMAGE_TOWER / "scores.json"
    rounds = json.loads(path.read_text(encoding="utf-8"))["training"] if arguments.more or arguments.only_scores else []
    if not arguments.only_scores:
        started = time.process_time()
        start = load_file(IMAGE_TOWER / _WEIGHTS) if arguments.more else None
        tower = train(art, text_vectors(art.concepts, arguments.seed), arguments.steps, arguments.seed, start)
        ship(tower, IMAGE_TOWER)
        round_ = {"steps": arguments.steps, "batch_size": BATCH_SIZE, "seed": arguments.seed}
        round_ |= {"threads": arguments.threads, "torch": torch.__version__}
        rounds.append(round_ | {"processor_minutes": round((time.process_time() - started) / 60, 1)})
    facts = {"training": rounds, "data": data(art), "recall": scores(art)}
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


def text_vectors(concepts: list[Concept], seed: int) -> torch.Tensor:
    """Unit vectors of each concept's phrases: (concepts, PHRASES, dimensions)."""
    random = np.random.default_rng(seed)
    texts = [text for concept in concepts for text in phrases(concept, random)]
    tower = resolve_encoder(ENCODER, 256).open()
    try:
        vectors = tower.encode(texts).vectors
    finally:
        tower.close()
    return torch.from_numpy(vectors).reshape(len(concepts), PHRASES, -1)


def train(art: Art, texts: torch.Tensor, steps: int, seed: int, start: dict[str, torch.Tensor] | None = None) -> Any:
    """The trained tower; `start` are the weights of the round before."""
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    torch.manual_seed(seed)
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
    if start:
        tower.load_state_dict(start)
    log_scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
    decayed = [weight for weight in tower.parameters() if weight.ndim > 1]
    others = [weight for weight in tower.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": [*others, log_scale], "weight_decay": 0}]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < BATCH_SIZE:
            order = torch.cat([order, torch.randperm(len(pixels))])
        chosen, order = order[:BATCH_SIZE], order[BATCH_SIZE:]
        concepts = of[chosen]
        images = augmented(pixels[chosen], fixed[concepts]).contiguous(memory_format=torch.channels_last)
        # A phrase for each concept: the label as often as all others together.
        said = torch.randint(-PHRASES + 2, PHRASES, (len(known),)).clamp(min=0)
        bank = texts[known, said]
        with torch.autocast("cpu", torch.bfloat16):
            features = tower(images)
        loss = info_nce(functional.normalize(features.float(), dim=-1), bank, place[concepts], log_scale.exp())
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
    """Recall of labels and pictures by the shipped encoder, where it never saw concept, art, or both."""
    choice = resolve_encoder(ENCODER, 256)
    text_tower, image_tower = choice.open(), choice.open_images()
    labels = text_tower.encode([concept.label for concept in art.concepts]).vectors
    rows = []
    for name, part in art.sets.items():
        for unseen in (True, False):
            if not unseen and name != UNSEEN:
                continue
            chosen = art.held_out[part.concepts] == unseen
            images, texts = image_tower.encode(part.on_white(chosen)), labels[part.concepts[chosen]]
            near = images @ texts.T
            row = {"art": name, "concepts": "unseen" if unseen else "seen", "num": int(chosen.sum())}
            row |= {f"image_to_text_{k}": recall(near, k) for k in (1, 10)}
            row |= {f"text_to_image_{k}": recall(near.T, k) for k in (1, 10)}
            rows.append(row)
            print(row, flush=True)
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
    table = "\n".join(
        f"| {row['art']} | {row['concepts']} | {row['num']:,} | "
        + " | ".join(f"{100 * row[f'{way}_{k}']:.1f}" for way in ("image_to_text", "text_to_image") for k in (1, 10))
        + " |"
        for row in facts["recall"]
    )
    shown = facts["data"]["pictures_trained_on"]
    rounds = "; ".join(
        f"{made['steps']:,} steps, seed {made['seed']}, {made['processor_minutes']} minutes of processor time with"
        f" --threads {made['threads']}, torch {made['torch']}"
        for made in facts["training"]
    )
    values = facts["data"] | {
        "rounds": rounds,
        "batch_size": BATCH_SIZE,
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
