"""The typed recipe: everything that decides the result of a build. `recipe_file` reads it from a file."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator
from pydantic.fields import FieldInfo

from unicorn_hf.core.choices import CAPTION_FILTERS, ENGINES, SOURCES, TASKS, TRANSFERS
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.engine import AnyEngine
from unicorn_hf.core.errors import InputError, MissingPackageError
from unicorn_hf.core.gathered import Filters, Gathered
from unicorn_hf.core.languages import base, code_of
from unicorn_hf.core.registry import NameOf, SectionOf, refused
from unicorn_hf.core.section import Fraction, Revision, Section, Strings
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.core.task import PromptChoice

if TYPE_CHECKING:
    from unicorn_hf.instructions.tasks import TaskFamily

UNKNOWN_TASK = "unknown"
"""The task of imported conversations that name none."""

LongCaptions = Literal["truncate", "chunk"]
MOST_ROWS = 2**31 - 1


def _codes(given: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        if (code := code_of(name)) and code != name:
            raise ValueError(f"use the language code {code}, not {name}")
    return given


Languages = Annotated[
    Strings,
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
    AfterValidator(_codes),
    Field(description="a word or a list of words: en, or [en, de]"),
]


def _an_encoder(name: str) -> str:
    try:
        parse_encoder(name)
    except InputError as error:
        package = name.partition(":")[0] if isinstance(error, MissingPackageError) else ""
        raise refused(error, package) from None
    return name


def _rows_of_a_set(number: int) -> int:
    if number > MOST_ROWS:
        raise ValueError(f"a set has {MOST_ROWS:,} rows at most")
    return number


class Sampling(Section):
    """Sampling parameters, named as in vLLM's `SamplingParams`."""

    temperature: Annotated[float, Field(ge=0)] = 0.9
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    max_tokens: PositiveInt = 512
    """Maximum number of tokens of an answer, its reasoning included."""


Source = Annotated[SeedSource, SectionOf(SOURCES)]


class Seeds(Section):
    sources: Annotated[tuple[Source, ...], Field(strict=False)]
    """At least one, unless captions are imported."""
    exclude_benchmarks: bool = False
    """Exclude the sources that belong to an evaluation benchmark."""
    languages: Languages = ()
    """Languages of the seeds. Seeds that are surely in another one are skipped and counted; empty: no check.

    If none of them is among the recipe's languages, captions are written in another language than their seeds.
    """
    min_characters: PositiveInt = 1
    """Shorter seeds are skipped and counted."""
    max_characters: PositiveInt = 2000
    """Longer seeds are skipped and counted."""

    @property
    def used(self) -> tuple[SeedSource, ...]:
        """The sources to read."""
        return tuple(source for source in self.sources if not (self.exclude_benchmarks and source.benchmark))

    @model_validator(mode="after")
    def _some_source_is_used(self) -> "Seeds":
        if self.sources and not self.used:
            raise ValueError("every source belongs to a benchmark, and exclude_benchmarks excludes them all")
        return self


class CaptionFilters(Filters):
    """Bounds of the caption filters. Relax a filter that a weak model cannot pass in its recipe, not here.

    The key `"package:name": {}` adds a filter of another package, with its bounds. It runs after ours.
    """

    registry = CAPTION_FILTERS


class NearDuplicates(Section):
    """Near-duplicate removal: of similar captions, the one with more distinct words is kept."""

    threshold: Annotated[float, Field(gt=0, le=1)] | None = 0.7
    """Minimum Jaccard similarity of the shingles of near-duplicates; null keeps them."""
    shingle_words: PositiveInt = 3
    """Words per shingle."""
    num_hashes: PositiveInt = 128
    """MinHash values per caption: more of them miss fewer pairs."""
    semantic_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Minimum cosine similarity of the caption vectors of near-duplicates; null: no check. It encodes all candidates,
    and loads language model and encoder in turn in each wave."""

    @model_validator(mode="after")
    def _words_before_meaning(self) -> "NearDuplicates":
        if self.semantic_threshold is not None and self.threshold is None:
            raise ValueError("semantic_threshold requires threshold")
        return self


class Scoring(Section):
    """A pass in which the language model scores its own text from 1 (bad) to 5 (good)."""

    prompt: PromptChoice
    min_score: Annotated[int, Field(ge=1, le=5)] = 3
    """Rows with a lower score are rejected. Scores are stored: another bound sends no new requests."""


class Judge(Scoring):
    """Scores whether a conversation is true to its caption, and worth training on."""

    prompt: PromptChoice = "judge-v1"


class Screen(Scoring):
    """Scores whether a caption is harmless; rejects as `unsafe_score`."""

    prompt: PromptChoice = "safety-v1"


class Captions(Section):
    """Stage 1: diverse caption synthesis."""

    num: Annotated[PositiveInt, AfterValidator(_rows_of_a_set)]
    """Captions to keep."""
    captions_per_seed: PositiveInt | None = None
    """Maximum samples per seed; by default as many as `max_attempts_per_caption` allows."""
    max_attempts_per_caption: PositiveInt = 4
    """The build fails after requesting `num` times this many captions."""
    max_rejected: Fraction = 0.9
    """The build stops when a larger share of the answers is rejected."""
    prompt: PromptChoice = "caption-v2"
    """A bundled prompt, or the path of a prompt file."""
    sampling: Sampling = Sampling()
    filters: CaptionFilters = Field(default_factory=CaptionFilters)
    screen: Screen | None = None
    """Scores each caption that passes the filters for harmlessness, with the same engine; off by default."""
    near_duplicates: NearDuplicates = NearDuplicates()


class Tasks(Gathered):
    """The paper's task families and proportions (171 K, 199 K, 100 K).

    The key `"package:name": {}` adds a task of another package, with its defaults.
    """

    registry = TASKS

    @classmethod
    def own_keys(cls) -> dict[str, FieldInfo]:
        tasks = {name: TASKS.get(name) for name in TASKS.own_names}
        return {name: FieldInfo(annotation=task, default_factory=task) for name, task in tasks.items()}

    @model_validator(mode="after")
    def _some_weight(self) -> "Tasks":
        if not any(task.weight for task in self.by_name().values()):
            raise ValueError("at least one task needs a weight above 0")
        return self

    @property
    def identity(self) -> tuple[str, ...]:
        return (*super().identity, *(one for task in self.by_name().values() for one in task.filters.identity))

    def by_name(self) -> dict[str, "TaskFamily"]:
        return {name: getattr(self, name) for name in (*TASKS.own_names, *self.others)}


class Instructions(Section):
    """Stage 2: instruction-tuning data."""

    num: Annotated[NonNegativeInt, AfterValidator(_rows_of_a_set)]
    """Conversations to keep, each about another caption; 0 for none."""
    attempts: PositiveInt = 3
    """Maximum requests for a conversation before it is rejected."""
    max_rejected: Fraction = 0.9
    """The build stops when a larger share of the conversations is rejected."""
    tasks: Tasks = Field(default_factory=Tasks)
    judge: Judge | None = None
    """Scores each conversation that passes the filters, with the same engine; off by default."""
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=2048)


class Representations(Section):
    """Stage 3: captions become vectors in image space."""

    encoder: Annotated[str, AfterValidator(_an_encoder)]
    """`open_clip:MODEL/PRETRAINED`, `clip:MODEL`, `llm2clip:CLIP`, `hashing:DIM`; see `unicorn_hf.encoders`.

    `imported`: the vectors in the files of imported captions.
    """
    long_captions: LongCaptions = "truncate"
    """How to encode captions with more tokens than the encoder reads: `truncate` drops their end; `chunk` encodes
    windows of whole sentences and takes the mean of their unit vectors, weighted by tokens."""
    transfer: Annotated[str, NameOf(TRANSFERS)] = "mean_shift"
    """Moves text vectors to image space; see `unicorn_hf.representations.transfers`."""
    image_statistics: str | None = None
    """Image statistics, for transfers that need them: a file of `unicorn-hf calibrate`, or a set's
    transfer.safetensors; relative to the recipe."""
    dtype: Literal["float16", "float32"] = "float16"
    """Type of the published vectors; they are computed in float32, their mean in float64."""
    batch_size: PositiveInt = 256
    """Maximum number of texts that the encoder encodes at once."""

    @property
    def moves_texts(self) -> bool:
        """Whether the transfer changes the encoder's vectors."""
        return TRANSFERS.get(self.transfer).moves_texts


PARTITION_TIMEOUT_S = 3600.0


class Cluster(Section):
    """Where the work runs. Nothing here changes the result of a build."""

    kind: Annotated[
        str, Field(min_length=1, description="auto, local, cuda, or the address or the file of a scheduler")
    ] = "auto"
    """`local`: processes on this machine. `cuda`: the same, with `tensor_parallel_size` GPUs each. `auto`: `cuda` if
    there are GPUs and the recipe uses them, else `local`. The address of a Dask scheduler (`tls://10.0.0.1:8786`), or
    the path of its file: workers started elsewhere."""
    workers: PositiveInt | None = None
    """Number of worker processes; by default one per group of GPUs, or as many as suit the engine on the CPU. With a
    scheduler: the number of workers to wait for at the start; by default one."""
    partition_timeout_s: Annotated[float, Field(gt=0)] = PARTITION_TIMEOUT_S
    """Seconds without a new row of a partition after which its worker is replaced. The start of an engine does not
    count."""
    dashboard: bool = False
    """Serve Dask's dashboard for a cluster that the build starts; requires Bokeh. `build` and `status` show its URL."""


_MILLION = 1e6


class Price(Section):
    """The engine's price, for the costs in the card."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="three capital letters, as in USD")] = "USD"
    per_million_prompt_tokens: Annotated[float, Field(ge=0)] = 0.0
    per_million_output_tokens: Annotated[float, Field(ge=0)] = 0.0
    per_worker_hour: Annotated[float, Field(ge=0)] = 0.0
    """Price of a worker for an hour; a worker is a GPU or a group of GPUs, if there are any."""
    batch_rate: Fraction = 0.5
    """The share of the prices per token that the engine `batch` pays."""

    @property
    def in_batches(self) -> "Price":
        """The price of the same requests in batches."""
        names = ("per_million_prompt_tokens", "per_million_output_tokens")
        return self.model_copy(update={name: getattr(self, name) * self.batch_rate for name in names})

    @property
    def is_by_token(self) -> bool:
        return bool(self.per_million_prompt_tokens or self.per_million_output_tokens)

    def cost(self, *, prompt_tokens: float = 0, output_tokens: float = 0, worker_hours: float = 0) -> float:
        """The cost in `currency`."""
        by_prompt = prompt_tokens / _MILLION * self.per_million_prompt_tokens
        by_output = output_tokens / _MILLION * self.per_million_output_tokens
        return by_prompt + by_output + worker_hours * self.per_worker_hour


class Packaging(Section):
    """The shape of the published shards."""

    rows_per_shard: PositiveInt = 100_000
    """Maximum number of rows in a Parquet file."""
    row_group_rows: PositiveInt = 1000
    """Rows in a row group of a Parquet file."""
    messages: bool = False
    """Add a column `messages`: the conversations in OpenAI's format, for chat templates."""


class ImportedFile(Section):
    """A file of captions or conversations, or a folder of such files."""

    path: str
    """Relative to the recipe."""
    sha256: str | None = None
    """Hash of its content; a build writes it, and other content raises an error."""
    num_rows: NonNegativeInt | None = None
    """Rows read; a build writes it."""


class Imported(Section):
    """Captions and conversations from files, instead of Stages 1 and 2; see `unicorn_hf.interchange`."""

    files: Annotated[tuple[ImportedFile, ...], Field(min_length=1, strict=False)]
    column: str | None = None
    """The column or key of the captions, if it is not `caption` or `text`."""
    domain: str = "open-domain"
    """The domain of captions without one."""
    license: str = "unknown"


class Parent(Section):
    """The published set that this one is regenerated from."""

    dataset: str
    """`ORG/NAME` on the Hub, or a folder."""
    revision: Revision | None = None
    """The commit."""
    changed: Strings = ()
    """Recipe keys that differ from the parent's."""
    text: Literal["kept", "written"]
    """`kept`: the parent's captions and conversations; `written`: new ones from its seeds."""


class Recipe(Section):
    """Everything that decides the result of a build, and how it runs."""

    name: str = "unicorn"
    """The name of the build in messages and in `status`."""
    title: str = "Unicorn"
    """The title of the card."""
    note: str = ""
    """Shown at the top of the card: what a reader must know about this set."""
    language: Annotated[Languages, Field(min_length=1)] = ("en",)
    """Language of captions and conversations: a code such as `zh`, or a list, of which the seed's language is used."""
    random_seed: int = 0
    """Another one gives another set: other styles, other answers, another order of the seeds."""
    partition_rows: PositiveInt = 512
    """Rows per partition, the unit of work of a worker. Stored answers do not depend on it."""
    seeds: Seeds
    engine: Annotated[AnyEngine, SectionOf(ENGINES)]
    captions: Captions
    instructions: Instructions
    representations: Representations
    cluster: Cluster = Cluster()
    packaging: Packaging = Packaging()
    price: Price = Price()
    imported: Imported | None = None
    """Source of imported captions and conversations."""
    parent: Parent | None = None
    """The set that this one is regenerated from."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """Other packages whose choices the recipe names, with versions. A build writes it; nothing installs them."""

    @property
    def engine_price(self) -> Price:
        """The price of the recipe's engine: that of batches, if it asks in batches."""
        return self.price.in_batches if self.engine.is_batched else self.price

    @property
    def takes_text(self) -> bool:
        """Whether captions and conversations come from files or the parent, instead of an engine."""
        return self.parent.text == "kept" if self.parent else self.imported is not None

    @property
    def is_across(self) -> bool:
        """Whether captions and seeds are in different languages."""
        return bool(self.seeds.languages) and not {*map(base, self.language)} & {*map(base, self.seeds.languages)}

    @model_validator(mode="after")
    def _sections_fit_together(self) -> "Recipe":
        if not self.takes_text and not self.engine.writes:
            writing = ", ".join(name for name, engine in ENGINES.loadable().items() if engine.writes)
            raise ValueError(f"the engine `{self.engine.kind}` does not write text. These do: {writing}")
        if not self.takes_text and not self.seeds.sources:
            raise ValueError("seeds.sources: give at least one item")
        if self.representations.moves_texts and self.captions.num < 2:
            transfer = self.representations.transfer
            raise ValueError(f"{transfer} needs at least 2 captions to compute a mean. Use transfer none")
        if self.instructions.num > self.captions.num:
            raise ValueError(
                f"more instructions ({self.instructions.num:,}) than captions ({self.captions.num:,}): "
                "each conversation needs its own caption"
            )
        return self
