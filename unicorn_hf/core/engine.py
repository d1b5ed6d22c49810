"""The interface of text generators; the bundled ones are in `unicorn_hf.engines`.

An engine is one class: the section `engine` of a recipe. It declares its requirements and opens the generator.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import DEMO, ModelSource, published_name
from unicorn_hf.core.section import Kind

if TYPE_CHECKING:
    from unicorn_hf.core.generation import Request, TextGenerator
    from unicorn_hf.core.recipe import Recipe

Author = Literal["model", "program", "unknown"]
"""Who wrote a text: a language model, a program without one, or unknown."""


class AnyEngine(Kind):
    """A text generator, as the section `engine` of a recipe.

    A subclass adds `kind`, settings and `open`. The keys `model`, `revision` and `license` mean the same in every
    engine. `--help` imports the class, so import heavy packages in `open`.
    """

    writes: ClassVar[bool] = True
    """False if the text exists already, and the engine takes no requests."""
    rehearses: ClassVar[bool] = False
    """Whether it makes up text instantly and for free, to try a recipe."""
    uses_gpu: ClassVar[bool] = False
    deterministic: ClassVar[bool] = False
    """Whether a request always gets the same text, on any machine and with any other requests."""
    is_shared: ClassVar[bool] = False
    """Whether all workers share one server: see `for_one_of`."""
    is_batched: ClassVar[bool] = False
    """Whether it pays `price.batch_rate` of the prices per token."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports in addition to the base dependencies, in this order."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that can affect its text: the card names their versions, and all workers need the same."""
    options: ClassVar[Mapping[str, str]] = {}
    """Keys that `--llm` and `--base-url` set, with the option as a user writes it."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Keys of `options` without which the engine is of use."""
    text_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that are ignored in a published recipe and can affect the text."""

    @property
    def model_name(self) -> str:
        """The model's name on the Hub, server or disk; empty if there is none."""
        return str(getattr(self, "model", ""))

    @property
    def title(self) -> str:
        """The engine's name in the card: its model, if it has one."""
        return self.model_name or self.kind

    @property
    def full_title(self) -> str:
        """The title with the model's revision, if the recipe pins one."""
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
        """Why its text is no training data, as a sentence for the card; empty if it is."""
        return "The text was written by a small demonstration model; it is weak." if self.is_demo else ""

    @property
    def gpus_per_worker(self) -> int:
        return 1

    def check(self, recipe: "Recipe") -> None:
        """Check that it can build the recipe.

        Raises:
            InputError: it cannot.
        """

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        """Problems on this machine, except missing modules."""
        yield from ()

    def hub_models(self) -> list[ModelSource]:
        """The Hub models that it loads."""
        return []

    def model_license(self) -> str | None:
        """The licence of its model; None if unknown. Can send a request to the Hub."""
        license: str | None = getattr(self, "license", None)
        return license

    def resolve(self) -> "GeneratorSpec":
        """Check the model, and compute the identity of the engine's answers.

        Raises:
            InputError: there is no such model.
        """
        return GeneratorSpec(self, fingerprint(self), deterministic=self.deterministic)

    def notes(self, asked: Self) -> list[str]:
        """Notes for the user at the start of a build; `asked` is the engine before `resolve`."""
        return []

    def published(self) -> Self:
        """The section as published: only the name of a model's folder. A subclass removes its secrets."""
        if not self.model_name:
            return self
        return self.model_copy(update={"model": published_name(self.model_name)})

    def for_one_of(self, num_workers: int) -> Self:
        """The share of one of `num_workers` workers in an engine that `is_shared`."""
        return self

    def workers_on_cpu(self, num_cores: int, num_fitting: int) -> int:
        """The number of workers that suits it on a machine without a GPU.

        Args:
            num_cores: cores of the machine.
            num_fitting: workers that fit the machine's cores, and its memory with their encoders.
        """
        # A model on the CPU uses all cores, and each engine holds its weights.
        return 1

    def partitions_at_once(self, partition_rows: int) -> int:
        """Partitions that a worker has in flight, so that requests always wait for the engine.

        One that waits for its last answers, as many as fill the engine, and one that is filtered and written.
        """
        return 1

    def environment(self, num_threads: int) -> dict[str, str]:
        """Environment variables of a worker with `num_threads` threads, set before its interpreter starts.

        Raises:
            InputError: it is not installed.
        """
        return {}

    def open(self, model: str) -> "TextGenerator":
        """Open the generator, in a worker.

        Args:
            model: `GeneratorSpec.model`, from `resolve`.

        Raises:
            InputError: it is not installed, or there is no such model.
            RunError: it does not start.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A resolved engine, which another process can open."""

    engine: AnyEngine
    """The engine with the commit of its Hub model as revision, and its server's URL."""
    identity: str
    """Fingerprint of all that its answers depend on; the key of its stored answers."""
    model: str = ""
    """The model to load: a folder, a Hub name, or a server's name for it."""
    deterministic: bool = False
    keeps_answers: bool = True
    """Whether to store its answers."""

    @property
    def uses_gpu(self) -> bool:
        return self.engine.uses_gpu

    def missing(self, requests: "Mapping[str, Request]") -> None:
        """Called with the requests that have no stored answer, by key, before they are sent; may raise to stop that."""

    def open(self) -> "TextGenerator":
        """See `AnyEngine.open`."""
        return self.engine.open(self.model)

    def for_one_of(self, num_workers: int) -> "GeneratorSpec":
        """The share of one of `num_workers` workers."""
        return replace(self, engine=self.engine.for_one_of(num_workers))

    def environment(self, num_threads: int) -> dict[str, str]:
        """Environment variables of a worker with `num_threads` threads, set before its interpreter starts.

        They bound the encoder's threads too: by default each worker's torch uses all cores.
        """
        threads = {"OMP_NUM_THREADS": str(num_threads), "RAYON_NUM_THREADS": str(num_threads)}
        return threads | self.engine.environment(num_threads)


def resolve_generator(engine: AnyEngine) -> GeneratorSpec:
    """Check the engine's model and compute its identity; a demonstration model is converted at its first use.

    The identity of another package's engine includes the version of that package.

    Raises:
        InputError: there is no such model, or the engine's settings are invalid here.
    """
    spec = engine.resolve()
    return replace(spec, identity=ENGINES.with_version(spec.identity, engine.kind))
