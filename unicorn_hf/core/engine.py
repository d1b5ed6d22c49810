"""What every text generator is to the rest of the program; those that come with unicorn-hf are in `unicorn_hf.engines`.

An engine is one class: the section `engine` of a recipe, which says what it needs and opens what does the work.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import DEMO, HubModel, published_name
from unicorn_hf.core.section import Kind

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextGenerator
    from unicorn_hf.core.recipe import Recipe

Author = Literal["model", "program", "unknown"]
"""Who wrote a text: a language model, a program without one, or nobody knows."""


class AnyEngine(Kind):
    """A text generator, as the section `engine` of a recipe.

    A subclass adds `kind`, settings and `open`. The keys `model`, `revision` and `license`, where it has them, mean the
    same of every engine. `--help` imports it: what does the work is imported by `open`.
    """

    writes: ClassVar[bool] = True
    """False where the text is there already, and nothing can be asked."""
    rehearses: ClassVar[bool] = False
    """Whether it makes text up at once and for nothing, to try a recipe."""
    uses_gpu: ClassVar[bool] = False
    """Whether it has a use for one."""
    deterministic: ClassVar[bool] = False
    """Whether the same request always gets the same text, whatever else is asked and on whatever machine."""
    is_shared: ClassVar[bool] = False
    """Whether all workers ask the same server, of which each has its share: see `for_one_of`."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports, beside the base dependencies, in this order."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that its text may depend on: the card names their versions, and all workers need the same."""
    options: ClassVar[Mapping[str, str]] = {}
    """Keys that `--llm` and `--base-url` set, with the option as a user writes it."""
    text_keys: ClassVar[tuple[str, ...]] = ()
    """Of the keys that are not taken over from a published recipe, those without which it may write other text."""

    @property
    def model_name(self) -> str:
        """What the Hub, a server or a folder calls the model; empty where there is none."""
        return str(getattr(self, "model", ""))

    @property
    def title(self) -> str:
        """What the card calls the engine: its model, if it has one."""
        return self.model_name or self.kind

    @property
    def full_title(self) -> str:
        """The same, with the model's revision where the recipe pins one."""
        revision = getattr(self, "revision", None)
        return f"{self.title} at revision {revision}" if revision else self.title

    @property
    def author(self) -> Author:
        """Who writes the text."""
        return "model"

    @property
    def is_demo(self) -> bool:
        """Whether it is one of the demonstration models."""
        return self.model_name.startswith(DEMO)

    @property
    def rehearsal(self) -> str:
        """Why its text is no training data, as a sentence for the card; empty where it is."""
        return "The text was written by a small demonstration model; it is weak." if self.is_demo else ""

    @property
    def gpus_per_worker(self) -> int:
        return 1

    def check(self, recipe: "Recipe") -> None:
        """See that it can do what the recipe asks for, before anything is done.

        Raises:
            InputError: it cannot.
        """

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        """What stands in its way on this machine, absent modules aside."""
        yield from ()

    def hub_models(self) -> list[HubModel]:
        """The models of the Hub that it loads."""
        return []

    def model_license(self) -> str | None:
        """The licence of its model; None where it is not known. May ask the Hub."""
        license: str | None = getattr(self, "license", None)
        return license

    def resolve(self) -> "GeneratorSpec":
        """Check the model, and find what identifies the engine's answers.

        Raises:
            InputError: there is no such model.
        """
        return GeneratorSpec(self, fingerprint(self), deterministic=self.deterministic)

    def notes(self, asked: Self) -> list[str]:
        """What the user is told when a build starts with this engine, which `resolve` made of `asked`."""
        return []

    def published(self) -> Self:
        """The section as others may read it: a model's folder has its name alone. A subclass leaves its secrets out."""
        if not self.model_name:
            return self
        return self.model_copy(update={"model": published_name(self.model_name)})

    def for_one_of(self, num_workers: int) -> Self:
        """What one of so many workers opens, of an engine that `is_shared`."""
        return self

    def workers_on_cpu(self, num_cores: int, num_fitting: int) -> int:
        """How many workers suit it on a machine without a GPU.

        Args:
            num_cores: of the machine.
            num_fitting: workers that the machine has cores for, and memory for their encoders.
        """
        # A model on the CPU uses all cores by itself, and each engine holds its weights.
        return 1

    def partitions_at_once(self, partition_rows: int) -> int:
        """Partitions that a worker has in flight, so that its engine always has more requests than it works on.

        One whose last answers are awaited, as many as fill the engine, and one that is being filtered and written.
        """
        return 1

    def environment(self, num_threads: int) -> dict[str, str]:
        """Variables that it needs before the interpreter of a worker starts, which may use so many threads.

        Raises:
            InputError: it is not installed.
        """
        return {}

    def open(self, model: str) -> "TextGenerator":
        """What answers requests. It is called in a worker.

        Args:
            model: what `resolve` says is loaded.

        Raises:
            InputError: it is not installed, or there is no such model.
            RunError: it does not start.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """An engine that was resolved, and can be opened in another process."""

    engine: AnyEngine
    """With the commit of a Hub's model as its revision, and the address of its server."""
    identity: str
    """Fingerprint of all that its answers depend on; stored answers are found by it."""
    model: str = ""
    """What is loaded: a folder, a name of the Hub, a server's name for it."""
    deterministic: bool = False
    keeps_answers: bool = True
    """Whether its answers are stored."""

    @property
    def uses_gpu(self) -> bool:
        return self.engine.uses_gpu

    def open(self) -> "TextGenerator":
        """See `AnyEngine.open`."""
        return self.engine.open(self.model)

    def for_one_of(self, num_workers: int) -> "GeneratorSpec":
        """What one of so many workers opens."""
        return replace(self, engine=self.engine.for_one_of(num_workers))

    def environment(self, num_threads: int) -> dict[str, str]:
        """Variables that a worker needs before its interpreter starts, which may use so many threads.

        For the encoder too: without a bound each worker's torch takes all cores.
        """
        threads = {"OMP_NUM_THREADS": str(num_threads), "RAYON_NUM_THREADS": str(num_threads)}
        return threads | self.engine.environment(num_threads)


def resolve_generator(engine: AnyEngine) -> GeneratorSpec:
    """Check the engine's model and find its identity; a demonstration model is converted on its first use.

    The identity of another package's engine has the version of that package in it.

    Raises:
        InputError: there is no such model, or the engine's own settings do not hold here.
    """
    spec = engine.resolve()
    if ENGINES.provider(engine.kind) is None:
        return spec
    return replace(spec, identity=fingerprint(spec.identity, ENGINES.identity(engine.kind)))
