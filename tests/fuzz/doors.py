"""The functions that the commands call to read what others wrote. Each takes the folder of a case.

A build goes up to where a worker would start.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tests.fuzz.corpus import ENCODER
from tests.stages import read_source
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.pipeline import run
from unicorn_hf.pipeline.measure import measure_overlap
from unicorn_hf.pipeline.publish import write_card
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.seeds.sources.file import FileSource
from unicorn_hf.seeds.sources.labels import LabelSource

Door = Callable[[Path], None]
SET, OUT = "published/set", "out"


class _WorkerStarts(BaseException):
    """A build has come to where its first worker starts."""


@contextmanager
def up_to_the_workers() -> Iterator[Callable[[], bool]]:
    """Builds end where their first worker would start, as if well; the function tells whether one came there."""
    reached = False

    class NoPool:
        def run(self, *_: Any, **__: Any) -> NoReturn:
            nonlocal reached
            reached = True
            raise _WorkerStarts

    @contextmanager
    def no_pool(*_: Any, **__: Any) -> Iterator[NoPool]:
        yield NoPool()

    real = run.open_pool
    run.open_pool = no_pool  # type: ignore[assignment]
    try:
        yield lambda: reached
    except _WorkerStarts:
        pass
    finally:
        run.open_pool = real


def _built(recipe: Recipe, folder: Path) -> None:
    with up_to_the_workers():
        run.build(recipe, folder / OUT)


def child(changes: dict[str, object], folder: Path) -> None:
    """`build --from`."""
    from unicorn_hf.hub.regenerate import child_recipe, read_published

    _built(child_recipe(read_published(str(folder / SET)), changes), folder)


def own_recipe(folder: Path) -> None:
    """`build RECIPE`."""
    from unicorn_hf.core.recipe_file import load_recipe

    recipe = load_recipe(folder / "own" / "recipe.yaml")
    for source in recipe.seeds.sources:
        assert not source.is_remote or not Path(source.place).exists()
    if recipe.engine.kind == "echo" and recipe.representations.encoder.startswith("hashing:"):
        _built(recipe.model_copy(update={"cluster": type(recipe.cluster)(workers=1)}), folder)


def _from_seeds(source: SeedSource, folder: Path, **changes: object) -> None:
    from unicorn_hf.core.recipe_file import load_recipe

    sources = [source.model_dump(mode="json")]
    options = {"captions.num": 4, "instructions.num": 2, "engine": {"kind": "echo"}, "representations.encoder": ENCODER}
    _built(load_recipe("demo", {"seeds.sources": sources, **options, **changes}), folder)


def seeds(name: str, column: str | None, folder: Path) -> None:
    """`build --seeds`."""
    _from_seeds(FileSource(path=str(folder / "own" / name), column=column), folder)


def labels(folder: Path) -> None:
    path = str(folder / "own" / "labels.txt")
    _from_seeds(LabelSource(kind="labels", path=path, templates=("a photo of {label}",), domain="things"), folder)


def prompt(folder: Path) -> None:
    good = FileSource(path=str(folder / "own" / "seeds.txt"))
    _from_seeds(good, folder, **{"captions.prompt": str(folder / "own" / "prompt.yaml")})


def image_statistics(folder: Path) -> None:
    good, path = FileSource(path=str(folder / "own" / "seeds.txt")), folder / "own" / "image_statistics.safetensors"
    _from_seeds(good, folder, **{"representations.transfer": "realign", "representations.image_statistics": str(path)})


def imported(names: tuple[str, ...], encoder: str | None, column: str | None, folder: Path) -> None:
    """`import`."""
    from unicorn_hf.interchange.recipe import import_recipe

    _built(import_recipe([folder / name for name in names], encoder=encoder, column=column), folder)


def compared(folder: Path, one: str = SET, other: str = "published/other") -> None:
    from rich.console import Console

    from unicorn_hf.views.compare import compare
    from unicorn_hf.views.compare_tables import markdown, show

    found = compare([folder / one, folder / other], ["one", "other"], Progress())
    markdown(found)
    found.model_dump_json()
    show(found, Console(file=StringIO()))


def inspected(having: str | None, folder: Path) -> None:
    from rich.console import Console

    from unicorn_hf.views.inspect import look, show

    show(look(folder / SET, having=having), Console(file=StringIO()))


def reported(folder: Path) -> None:
    from unicorn_hf.views.report import write_report

    write_report(folder / SET, folder / f"{OUT}.html", number=20)


def validated(folder: Path, place: str = SET) -> None:
    from unicorn_hf.builders.validate import validate_folder

    assert list(validate_folder(folder / place).lines())


def card(folder: Path) -> None:
    write_card(folder / SET)


def overlap(folder: Path) -> None:
    """`overlap`, which writes the set's card again."""
    measure_overlap(folder / SET, FileSource(path=str(folder / "own" / "seeds.txt")))


def evaluation(name: str, column: str | None, folder: Path) -> None:
    """What `overlap` reads, without the card."""
    from unicorn_hf.builders.overlap import EvaluationTexts, overlapping

    texts = EvaluationTexts(iter(read_source(FileSource(path=str(folder / "own" / name), column=column))))
    overlapping(folder / SET, "texts", texts, Progress())


def transfer(folder: Path) -> None:
    from unicorn_hf.representations.transfer_file import load_transfer

    found = load_transfer(folder / SET)
    found.apply_image(np.ones((2, 16), np.float32))


def exported(form: Any, folder: Path) -> None:
    from unicorn_hf.interchange.export import export

    export(folder / SET, form, folder / OUT)


def by_number(config: str, folder: Path) -> None:
    from unicorn_hf.torch import UnicornDataset

    rows = UnicornDataset(folder / SET, tokenizer(), config=config)
    rows.__getitems__(list(range(len(rows)))[:4])


def as_stream(config: str, folder: Path) -> None:
    from unicorn_hf.torch import UnicornIterableDataset

    list(UnicornIterableDataset(folder / SET, tokenizer(), config=config))


@cache
def tokenizer() -> Any:
    from tests import torch
    from unicorn_hf.torch import ConversationTokenizer

    return ConversationTokenizer(torch.tokenizer())


KEPT: Door = partial(child, {"representations.transfer": "none"})
ENCODED: Door = partial(child, {"representations.encoder": "hashing:8"})
FEWER: Door = partial(child, {"captions.num": 3})
WRITTEN: Door = partial(child, {"random_seed": 1, "engine": {"kind": "echo"}})
