"""The recipe: everything that decides what a build makes, typed. `recipe_file` makes these models of a file."""

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
"""The task of imported conversations that do not say theirs."""

LongCaptions = Literal["truncate", "chunk"]
MOST_ROWS = 2**31 - 1


def _codes(given: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        if (code := code_of(name)) and code != name:
            raise ValueError(f"languages are given by their codes: {code}, not {name}")
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
    except MissingPackageError as error:
        raise refused(error, package=name.partition(":")[0]) from None
    except InputError as error:
        raise refused(error) from None
    return name


def _rows_of_a_set(number: int) -> int:
    if number > MOST_ROWS:
        raise ValueError(f"a set has {MOST_ROWS:,} rows at most")
    return number


class Sampling(Section):
    """How an answer is drawn; vLLM's `SamplingParams` names."""

    temperature: Annotated[float, Field(ge=0)] = 0.9
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    max_tokens: PositiveInt = 512


Source = Annotated[SeedSource, SectionOf(SOURCES)]


class Seeds(Section):
    sources: Annotated[tuple[Source, ...], Field(strict=False)]
    """At least one, unless captions are imported."""
    exclude_benchmarks: bool = False
    """Leave out the sources that belong to an evaluation benchmark."""
    languages: Languages = ()
    """Seeds that are surely in another language are skipped and counted; none given, none looked at.

    Where they are other languages than the recipe's, captions are written in another language than their seeds.
    """
    min_characters: PositiveInt = 1
    """Shorter seeds are skipped and counted."""
    max_characters: PositiveInt = 2000
    """Longer seeds are skipped and counted."""

    @property
    def used(self) -> tuple[SeedSource, ...]:
        """The sources that seeds are taken from."""
        return tuple(source for source in self.sources if not (self.exclude_benchmarks and source.benchmark))

    @model_validator(mode="after")
    def _some_source_is_used(self) -> "Seeds":
        if self.sources and not self.used:
            raise ValueError("every source belongs to a benchmark, and exclude_benchmarks leaves them all out")
        return self


class CaptionFilters(Filters):
    """Bounds that a caption is kept within. A filter that a weak model cannot pass is set in its recipe, not here.

    A filter of another package is asked for by a key of its name, whose value has its bounds: `"package:name": {}`. It
    judges what ours let pass.
    """

    registry = CAPTION_FILTERS


class NearDuplicates(Section):
    """Of captions that say nearly the same, one is kept: that with more distinct words."""

    threshold: Annotated[float, Field(gt=0, le=1)] | None = 0.7
    """Jaccard similarity of two captions' runs of words from which one of them is left out; null keeps both."""
    shingle_words: PositiveInt = 3
    """Words in a run."""
    num_hashes: PositiveInt = 128
    """MinHash values a caption: more of them overlook fewer pairs."""
    semantic_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Cosine of two captions' vectors, by the recipe's encoder, from which they are near-duplicates too; null: not
    looked at. It takes encoding all candidates, and changing from one model to the other with each wave."""

    @model_validator(mode="after")
    def _words_before_meaning(self) -> "NearDuplicates":
        if self.semantic_threshold is not None and self.threshold is None:
            raise ValueError("semantic_threshold needs a threshold too")
        return self


class Scoring(Section):
    """A pass in which the language model itself reads what it wrote, and scores it from 1 (bad) to 5 (good)."""

    prompt: PromptChoice
    """A prompt that ships with unicorn-hf, the path of a file, or the prompt itself."""
    min_score: Annotated[int, Field(ge=1, le=5)] = 3
    """What gets less is rejected. Scores are stored: another bound asks nothing again."""


class Judge(Scoring):
    """Whether a conversation is true of its caption, and worth training on."""

    prompt: PromptChoice = "judge-v1"


class Screen(Scoring):
    """Whether a caption is harmless: what scores less is rejected as `unsafe_score`."""

    prompt: PromptChoice = "safety-v1"


class Captions(Section):
    """Stage 1: diverse caption synthesis."""

    num: Annotated[PositiveInt, AfterValidator(_rows_of_a_set)]
    """Captions kept at the end."""
    captions_per_seed: PositiveInt | None = None
    """Samples drawn of each seed at most; without it, as many as `max_attempts_per_caption` allows."""
    max_attempts_per_caption: PositiveInt = 4
    """The build gives up when it has asked for `num` times this many captions."""
    max_rejected: Fraction = 0.9
    """The build stops when a larger share of the answers is rejected."""
    prompt: PromptChoice = "caption-v2"
    """A prompt that ships with unicorn-hf, the path of a file, or the prompt itself."""
    sampling: Sampling = Sampling()
    filters: CaptionFilters = Field(default_factory=CaptionFilters)
    screen: Screen | None = None
    """Scores each caption that passes the filters for how harmless it is, by the same engine; off unless given."""
    near_duplicates: NearDuplicates = NearDuplicates()


class Tasks(Gathered):
    """The paper's families and proportions (171 K, 199 K, 100 K).

    A task of another package has a part where the recipe names it: `"package:name": {}` takes it as it comes.
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
    """Conversations kept at the end; each is of another caption. 0: none are made."""
    attempts: PositiveInt = 3
    """How often a conversation that does not hold is asked for before it is rejected."""
    max_rejected: Fraction = 0.9
    """The build stops when a larger share of the conversations is rejected."""
    tasks: Tasks = Field(default_factory=Tasks)
    judge: Judge | None = None
    """Scores each conversation that passes the filters, by the same engine; off unless given."""
    sampling: Sampling = Sampling(temperature=0.7, max_tokens=2048)


class Representations(Section):
    """Stage 3: captions become synthetic image representations."""

    encoder: Annotated[str, AfterValidator(_an_encoder)]
    """`open_clip:MODEL/PRETRAINED`, `clip:MODEL`, `llm2clip:CLIP`, `hashing:DIM`; see `unicorn_hf.encoders`.

    `imported`: the vectors that imported captions bring with them.
    """
    long_captions: LongCaptions = "truncate"
    """What becomes of captions with more tokens than the encoder reads: `truncate` drops their end; `chunk` encodes
    them in windows of whole sentences and takes the mean of the windows' unit vectors, weighted by their tokens."""
    transfer: Annotated[str, NameOf(TRANSFERS)] = "mean_shift"
    """From text to image representations; see `unicorn_hf.representations.transfers`."""
    image_statistics: str | None = None
    """The image side, for transfers that need it: a file of `unicorn-hf calibrate`, or a set's transfer.safetensors.

    Relative to the recipe.
    """
    dtype: Literal["float16", "float32"] = "float16"
    """How the published vectors are stored; they are computed in float32, their mean in float64."""
    batch_size: PositiveInt = 256

    @property
    def moves_texts(self) -> bool:
        """Whether the transfer changes the encoder's vectors."""
        return TRANSFERS.get(self.transfer).moves_texts


PARTITION_TIMEOUT_S = 3600.0


class Cluster(Section):
    """Where the work runs. Nothing here changes what a build makes."""

    kind: Annotated[
        str, Field(min_length=1, description="auto, local, cuda, or the address or the file of a scheduler")
    ] = "auto"
    """`local`: processes on this machine. `cuda`: the same, with `tensor_parallel_size` GPUs each. `auto`: `cuda` if
    there are GPUs and something to do for them, else `local`. The address of a Dask scheduler
    (`tls://10.0.0.1:8786`), or the path of its file: workers that were started elsewhere."""
    workers: PositiveInt | None = None
    """Worker processes; without it, one a GPU, or as many as suit the engine on the CPU. With a scheduler: how many
    are waited for at the start; without it, one."""
    partition_timeout_s: Annotated[float, Field(gt=0)] = PARTITION_TIMEOUT_S
    """A worker in which a partition gets no further for so long, not by one row, is ended and replaced. The start of an
    engine does not count."""
    dashboard: bool = False
    """Whether Dask shows its page about a cluster that is started here; `build` and `status` tell its address. It takes
    Bokeh, and a second to start."""


_MILLION = 1e6


class Price(Section):
    """What the engine costs, for the card's bill."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="three capital letters, as in USD")] = "USD"
    per_million_prompt_tokens: Annotated[float, Field(ge=0)] = 0.0
    per_million_output_tokens: Annotated[float, Field(ge=0)] = 0.0
    per_worker_hour: Annotated[float, Field(ge=0)] = 0.0
    """A worker is a GPU, or a group of them, where there are any."""

    @property
    def is_by_token(self) -> bool:
        return bool(self.per_million_prompt_tokens or self.per_million_output_tokens)

    def cost(self, *, prompt_tokens: float = 0, output_tokens: float = 0, worker_hours: float = 0) -> float:
        """In `currency`."""
        by_prompt = prompt_tokens / _MILLION * self.per_million_prompt_tokens
        by_output = output_tokens / _MILLION * self.per_million_output_tokens
        return by_prompt + by_output + worker_hours * self.per_worker_hour


class Packaging(Section):
    """The shape of the published shards."""

    rows_per_shard: PositiveInt = 100_000
    row_group_rows: PositiveInt = 1000
    messages: bool = False
    """A column `messages` too: the conversations in OpenAI's form, as chat templates take them."""


class ImportedFile(Section):
    """A file that captions or conversations are taken from, or a folder of such files."""

    path: str
    """Relative to the recipe."""
    sha256: str | None = None
    """Of its content; other content is refused. A build writes it."""
    num_rows: NonNegativeInt | None = None
    """Rows that were read. A build writes it."""


class Imported(Section):
    """Captions and conversations of files, in place of Stages 1 and 2; see `unicorn_hf.interchange`."""

    files: Annotated[tuple[ImportedFile, ...], Field(min_length=1, strict=False)]
    column: str | None = None
    """The column or key of the captions, where it is not `caption` or `text`."""
    domain: str = "open-domain"
    """Of captions whose files name none."""
    license: str = "unknown"


class Parent(Section):
    """The published set that this one was made from."""

    dataset: str
    """`ORG/NAME` on the Hub, or a folder."""
    revision: Revision | None = None
    """The commit."""
    changed: Strings = ()
    """Keys of the recipe that are not as they were there."""
    text: Literal["kept", "written"]
    """Whether captions and conversations are the parent's own, or were written again from its seeds."""


class Recipe(Section):
    """All that decides what a build makes, and how it runs."""

    name: str = "unicorn"
    title: str = "Unicorn"
    note: str = ""
    """Stands at the head of the card: what a reader must know about this set."""
    language: Annotated[Languages, Field(min_length=1)] = ("en",)
    """What captions and conversations are written in: a code, `zh`, or a list; of several, that of the seed."""
    random_seed: int = 0
    partition_rows: PositiveInt = 512
    """Rows that one task of a worker makes. Answers are stored one by one, whatever this is."""
    seeds: Seeds
    engine: Annotated[AnyEngine, SectionOf(ENGINES)]
    captions: Captions
    instructions: Instructions
    representations: Representations
    cluster: Cluster = Cluster()
    packaging: Packaging = Packaging()
    price: Price = Price()
    imported: Imported | None = None
    """Where captions and conversations were imported from, if they were."""
    parent: Parent | None = None
    """The set that this one was made from, if there is one."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """Other packages whose choices the recipe names, with their versions. A build writes it; it installs nothing."""

    @property
    def takes_text(self) -> bool:
        """Whether captions and conversations are taken from files or from the parent, and not written."""
        return self.parent.text == "kept" if self.parent else self.imported is not None

    @property
    def is_across(self) -> bool:
        """Whether captions are written in other languages than the seeds are in."""
        return bool(self.seeds.languages) and not {*map(base, self.language)} & {*map(base, self.seeds.languages)}

    @model_validator(mode="after")
    def _text_comes_from_somewhere(self) -> "Recipe":
        if not self.takes_text and not self.engine.writes:
            writing = ", ".join(name for name, engine in ENGINES.loadable().items() if engine.writes)
            raise ValueError(f"no engine writes the text: `{self.engine.kind}` does not. These do: {writing}")
        if not self.takes_text and not self.seeds.sources:
            raise ValueError("seeds.sources: one item is needed at least")
        return self

    @model_validator(mode="after")
    def _mean_is_of_several(self) -> "Recipe":
        transfer = self.representations.transfer
        if self.representations.moves_texts and self.captions.num < 2:
            raise ValueError(f"{transfer} takes 2 captions or more: one alone is its own mean. Transfer none keeps it")
        return self

    @model_validator(mode="after")
    def _instructions_have_captions(self) -> "Recipe":
        if self.instructions.num > self.captions.num:
            raise ValueError(
                f"instructions ({self.instructions.num:,}) are more than captions ({self.captions.num:,}): "
                "each conversation needs a caption of its own"
            )
        return self
