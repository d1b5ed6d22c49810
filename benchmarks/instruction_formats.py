"""JSON under a grammar against tagged lines: kept conversations per second, on one engine with the same captions.

    python benchmarks/instruction_formats.py                                    # the demonstration's model and recipe
    python benchmarks/instruction_formats.py --recipe mine.yaml --captions 2000 --rounds 3

The captions are made first, by the recipe's prompt and seeds. Then each round asks for one conversation a caption in
each format, in turn, with seeds of its own. A conversation counts if it passes the parser and all filters of the
recipe. The last line is the ratio of the two rates; JSON is the reference.
"""

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.generation import Answer, Request, TextGenerator
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import CAPTION_PROMPTS, load_prompt
from unicorn_hf.core.recipe import Recipe, Tasks
from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.core.task import FormatName
from unicorn_hf.instructions.formats import FORMATS
from unicorn_hf.instructions.reading import Candidate, read_conversation
from unicorn_hf.instructions.step import load_prompts, task_in_round
from unicorn_hf.runtime.files import read_table
from unicorn_hf.seeds.step import prepare_seeds


@dataclass
class Measured:
    """What a format's answers came to."""

    rates: list[float] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    num_answers: int = 0
    num_tokens: int = 0
    seconds: float = 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="demo")
    options.add_argument("--captions", type=int, default=48)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--formats", nargs="+", default=["json", "tagged"], choices=list(FORMATS))
    options.add_argument("--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="of the recipe")
    options.add_argument("--show", type=int, default=0, help="conversations to print")
    arguments = options.parse_args()
    recipe = load_recipe(arguments.recipe, {key: _typed(value) for key, value in arguments.set})
    spec = resolve_generator(recipe.engine)
    os.environ.update(spec.environment(os.cpu_count() or 1))  # Before the engine is imported.
    generator = spec.open()
    captions = make_captions(recipe, generator, arguments.captions)
    print(f"{spec.engine.title}: {len(captions)} captions")
    measured = {name: Measured() for name in arguments.formats}
    for round_number in range(arguments.rounds):
        for name in arguments.formats:
            run_round(recipe, generator, name, captions, round_number, measured[name], arguments.show)
    for name, found in measured.items():
        print(
            f"{name:7} {statistics.median(found.rates):8.3f} kept conversations/s   "
            f"{found.num_tokens / found.seconds:9,.0f} output tokens/s   "
            f"{100 * found.kept.total() / found.num_answers:5.1f} % of {found.num_answers:,} kept {dict(found.kept)}"
        )
        print(
            f"        rejected {dict(found.rejected.most_common())}; pairs left out {dict(found.dropped.most_common())}"
        )
    if len(measured) > 1:
        first, second = (statistics.median(measured[name].rates) for name in arguments.formats[:2])
        ratio = second / first if first else float("inf")
        print(f"{arguments.formats[1]} / {arguments.formats[0]}: {ratio:.2f} (median of {arguments.rounds} rounds)")
    generator.close()


def make_captions(recipe: Recipe, generator: TextGenerator, number: int) -> list[tuple[str, str]]:
    """Ids and texts of finished captions of `number` seeds."""
    prompt = load_prompt(recipe.captions.prompt, CAPTION_PROMPTS)
    with TemporaryDirectory() as folder:
        shards, _ = prepare_seeds(recipe.model_copy(update={"partition_rows": number}), Path(folder))
        seeds = read_table(shards.paths[0], SEEDS, ["seed"]).column("seed").to_pylist()
    requests = [
        Request(str(place), seed, prompt.messages(seed), recipe.captions.sampling, place)
        for place, seed in enumerate(seeds[:number])
    ]
    answers = answered(generator, requests)
    return [
        (str(place), " ".join(answer.text.split()))
        for place, answer in enumerate(answers)
        if answer.finish_reason == "stop"
    ]


def answered(generator: TextGenerator, requests: Sequence[Request]) -> list[Answer]:
    """Answers in the order of the requests."""
    came = dict(generator.generate(requests))
    return [came[position] for position in range(len(requests))]


def run_round(
    recipe: Recipe,
    generator: TextGenerator,
    name: FormatName,
    captions: Sequence[tuple[str, str]],
    round_number: int,
    measured: Measured,
    show: int,
) -> None:
    written = {
        task: one.model_copy(update={"format": name}) for task, one in recipe.instructions.tasks.by_name().items()
    }
    config = recipe.instructions.model_copy(update={"tasks": Tasks(**written)})
    prompts, tasks = load_prompts(config), config.tasks.by_name()
    candidates = [
        Candidate(row_id, caption, row, task_in_round(config, row_id, round_number))
        for row, (row_id, caption) in enumerate(captions)
    ]
    requests = []
    for candidate in candidates:
        schema = tasks[candidate.task].json_schema()
        requests.append(
            Request(
                id=candidate.id,
                subject=candidate.caption,
                messages=prompts[candidate.task].asked.messages(candidate.caption),
                sampling=config.sampling,
                seed=stable_int("benchmark", candidate.id, str(round_number), bits=31),
                json_schema=schema if FORMATS[name].guided else None,
                tagged_schema=None if FORMATS[name].guided else schema,
            )
        )
    started = time.perf_counter()
    answers = answered(generator, requests)
    read = [
        read_conversation(candidate, answer, config, prompts[candidate.task].source)
        for candidate, answer in zip(candidates, answers, strict=True)
    ]
    seconds = time.perf_counter() - started
    kept = 0
    for candidate, made in zip(candidates, read, strict=True):
        if isinstance(made, Rejected):
            measured.rejected[made.reason] += 1
            continue
        kept += 1
        measured.kept[candidate.task] += 1
        measured.dropped.update(part.reason for part in made.dropped)
        if kept <= show:
            print(f"[{name}] {candidate.caption}\n" + "\n".join(f"    {turn}" for turn in made.turns))
    measured.rates.append(kept / seconds)
    measured.seconds += seconds
    measured.num_answers += len(answers)
    measured.num_tokens += sum(answer.num_output_tokens for answer in answers)


def _typed(value: str) -> object:
    import yaml

    parsed: object = yaml.safe_load(value)
    return parsed


if __name__ == "__main__":
    main()
