"""Imitated sets on the Hub of the tests, for the board; some are broken, huge or hostile."""

import json
from itertools import cycle, islice
from random import Random

import numpy as np
import yaml

from tests.cards.samples import HOSTILE, Texts, recipe, statistics
from tests.hub.server import HubServer
from tests.views.hostile import SCRIPTS
from unicorn_hf.builders.sketch import NUM_KEPT, Sketch
from unicorn_hf.cards.scores import Score
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import dump_recipe
from unicorn_hf.representations.figures import Gap, GapFacts

CARD = b"---\ntags: [unicorn, unicorn-hf]\n---\n# A set\n"
LLMS = ("Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct")
ENCODERS = (
    "open_clip:ViT-L-14/datacomp_xl_s13b_b90k",
    "clip:openai/clip-vit-large-patch14",
    "siglip:google/siglip-base",
)
TRANSFERS = ("mean_shift", "gaussian_ot", "aniso_align", "none")
SOURCES = ("PartiPrompts", "Street scenes", "Kitchen utensils", "Birds of Europe")
LANGUAGES = (("en",), ("en",), ("de",), ("zh",), ("en", "ar"))
SETTINGS = (("emoji", "aaaaaa", "clip"), ("POPE", "bbbbbb", "clip"))
TEXTS = (*SCRIPTS, *(text for text in HOSTILE if len(text) < 10_000), "endless " + "x" * 20_000)


def publish(hub: HubServer, number: int) -> tuple[list[str], list[str]]:
    """Publish `number` sets; return the names of those that can be read, hostile ones included, and of the others."""
    well = [*_hostile(hub), *_families(hub, number - len(TEXTS) - len(_BROKEN) - 1)]
    for name, files in _BROKEN.items():
        hub.add_repository(f"broken/{name}", {"README.md": CARD, **files})
    hub.add_repository("broken/gated", files_of(statistics(), recipe())).gated = True
    # Neither is on the board.
    hub.add_repository("maker/private", files_of(statistics(), recipe()), private=True)
    hub.add_repository(
        "maker/others", {**files_of(statistics(), recipe()), "README.md": b"---\ntags: [unicorn]\n---\n"}
    )
    return well, [f"broken/{name}" for name in (*_BROKEN, "gated")]


def files_of(figures: Statistics, recipe: Recipe) -> dict[str, bytes]:
    """A published folder, with a file of rows that nobody may ask for."""
    return {
        "README.md": CARD,
        "recipe.yaml": dump_recipe(recipe).encode(),
        "statistics.json": figures.model_dump_json(indent=1).encode(),
        "pretrain/train-00000-of-00001.parquet": b"rows",
    }


def _families(hub: HubServer, number: int) -> list[str]:
    """Sets of which two in three were made again from an earlier one, and have half of its captions."""
    draw, names = Random(7), [f"maker-{at % 9}/unicorn-{at}" for at in range(number)]
    sketches: dict[str, Sketch] = {}
    for at, name in enumerate(names):
        parent = names[draw.randrange(max(at - 6, 0), at)] if at and draw.random() < 0.66 else None
        changed = draw.sample(["representations.encoder", "representations.transfer", "engine.model"], 2)
        text = {
            "title": f"Captions of {draw.choice(SOURCES).lower()}",
            "language": list(draw.choice(LANGUAGES)),
            "price": {"per_million_output_tokens": 0.6},
            "parent": {"dataset": parent, "changed": changed, "text": "written"} if parent else None,
        }
        sketches[name] = _sketch(at, sketches[parent] if parent else None)
        figures = _figures(draw).model_copy(update={"sketch": sketches[name]})
        hub.add_repository(name, files_of(figures, recipe(**text)))
    return names


def _sketch(seed: int, parent: Sketch | None) -> Sketch:
    """The sketch of many captions; every other hash is the parent's."""
    draw = np.random.default_rng(seed)

    def sample(inherited: bytes) -> bytes:
        theirs = np.frombuffer(inherited, "<u8")[::2]
        own = draw.integers(0, 1 << 50, NUM_KEPT - len(theirs), np.uint64)
        return np.unique(np.concatenate([theirs, own])).astype("<u8").tobytes()

    return Sketch(captions=sample(parent.captions if parent else b""), runs=sample(parent.runs if parent else b""))


def _figures(draw: Random) -> Statistics:
    rows = round(10 ** draw.uniform(2, 6))
    base = statistics(Texts(source=draw.choice(SOURCES), model=draw.choice(LLMS)))
    vectors = {"encoder": draw.choice(ENCODERS), "transfer": draw.choice(TRANSFERS), "dim": draw.choice((512, 768))}
    middle, spread = draw.uniform(40, 160), draw.uniform(8, 40)
    words = [min(max(round(draw.gauss(middle, spread)), 5), 300) for _ in range(400)]
    bins = [{"first": 10 * at, "last": 10 * at + 9, "num": sum(w // 10 == at for w in words)} for at in range(31)]
    return base.model_copy(
        update={
            "engine": draw.choice(LLMS),
            "seeds": base.seeds.model_copy(update={"num_seeds": draw.randrange(100, 50_000)}),
            "pretrain": base.pretrain.model_copy(update={"num_rows": rows}),
            "instruction": base.instruction.model_copy(update={"num_rows": rows * draw.randrange(3) // 3}),
            "captions": base.captions.model_copy(
                update={
                    "rejected": {"too_short": draw.randrange(900), "near_duplicate": draw.randrange(300)},
                    "num_prompt_tokens": rows * 310,
                    "num_output_tokens": rows * 150,
                }
            ),
            "caption_words": base.caption_words.model_validate(
                {**base.caption_words.model_dump(), "median": sorted(words)[200], "histogram": bins}
            ),
            "diversity": base.diversity and base.diversity.model_copy(update={"distinct_2": draw.uniform(0.1, 0.9)}),
            "representations": base.representations.model_copy(update=vectors),
            "gap": _gap(draw) if draw.random() < 0.5 else None,
            "proof": tuple(_score(draw, setting) for setting in SETTINGS if draw.random() < 0.4),
        }
    )


def _gap(draw: Random) -> GapFacts:
    measures = ("mean_gap", "cosine_to_text_mean", "cosine_to_image_mean", "mean_share", "mmd", "frechet")
    before, after = (
        Gap.model_validate({**dict.fromkeys(measures, draw.uniform(0, most)), "paired_cosine": None})
        for most in (1, 0.3)
    )
    return GapFacts(
        images="photos", num_images=500, num_texts=500, num_pairs=0, before=before, after=after,
        direction_kept=0.9, neighbours_kept=0.8, num_neighbours=10,
    )  # fmt: skip


def _score(draw: Random, setting: tuple[str, str, str]) -> Score:
    on, on_id, encoder = setting
    accuracy = draw.uniform(30, 80)
    return Score(
        on=on, on_id=on_id, num_pictures=100, num_questions=300, encoder=encoder, trained="a proxy",
        accuracy=accuracy, lower=accuracy - 3, upper=accuracy + 3, blind=30.1, most_common=28.2, chance=25.0,
    )  # fmt: skip


def _hostile(hub: HubServer) -> list[str]:
    names = [f"hostile/set-{at}" for at in range(len(TEXTS))]
    # Each names the next as its parent: a circle.
    for name, parent, text in zip(names, islice(cycle(names), 1, None), TEXTS, strict=False):
        figures = statistics(Texts.all(text), engine=text, proof=[_score(Random(1), (text, text, text))])
        figures = figures.model_copy(
            update={"representations": figures.representations.model_copy(update={"transfer": text, "encoder": text})}
        )
        # A recipe's own rules are for those who build from it.
        made = recipe().model_dump(mode="json") | {"title": text, "language": [text]}
        made["parent"] = {"dataset": parent, "changed": [text], "text": "kept"}
        files = files_of(figures, recipe()) | {"recipe.yaml": yaml.safe_dump(made).encode()}
        hub.add_repository(name, files)
    return names


def _broken() -> dict[str, dict[str, bytes]]:
    well = files_of(statistics(Texts(version="0.1.0")), recipe())
    figures, made = json.loads(well["statistics.json"]), well["recipe.yaml"]
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

    def with_figures(content: object) -> dict[str, bytes]:
        return {**well, "statistics.json": content if isinstance(content, bytes) else json.dumps(content).encode()}

    invisible = [_score(Random(at), (f"{at} " + "\u202e" * 300, "", "")) for at in range(12)]
    return {
        "text": files_of(statistics(proof=invisible, engine="\u202e" * 300), recipe()),
        "no-statistics": {"recipe.yaml": made},
        "no-recipe": {"statistics.json": well["statistics.json"]},
        "no-json": with_figures(b"\xff{ not json"),
        "other-json": with_figures([1, 2]),
        "sketch": with_figures(figures | {"sketch": {"form": 1, "captions": "A" * 100_000, "runs": ""}}),
        "deep": with_figures(b"[" * 100_000),
        "not-a-number": with_figures(figures | {"caption_words": figures["caption_words"] | {"mean": float("nan")}}),
        "number": with_figures(figures | {"captions": figures["captions"] | {"num_requests": 10**400}}),
        "negative": with_figures(figures | {"pretrain": figures["pretrain"] | {"num_rows": -5}}),
        "more-than-all": with_figures(figures | {"captions": figures["captions"] | {"rejected": {"x": 10**9}}}),
        "score": with_figures(figures | {"proof": [_score(Random(1), SETTINGS[0]).model_dump() | {"accuracy": 150}]}),
        "huge": with_figures(figures | {"engine": "x" * 3_000_000}),
        "newer": with_figures(figures | {"new_figure": 1, "versions": {"unicorn-hf": "99.0"}}),
        "recipe-list": {**well, "recipe.yaml": b"- a list"},
        "recipe-bomb": {**well, "recipe.yaml": bomb.encode()},
        "recipe-huge": {**well, "recipe.yaml": b"# " + b"x" * 300_000 + b"\n" + made},
        "recipe-code": {**well, "recipe.yaml": b"title: !!python/object/apply:os.system ['true']\n"},
    }


_BROKEN = _broken()
