"""`statistics.json`: every figure that the card prints."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.core.recipe import LongCaptions


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceFacts(_Facts):
    name: str
    domain: str
    license: str
    num_seeds: int
    benchmark: str | None = None
    """The evaluation benchmark that its labels belong to."""


class SeedFacts(_Facts):
    num_seeds: int
    sources: tuple[SourceFacts, ...]
    skipped: dict[str, int]


class StageFacts(_Facts):
    """A generating stage: `num_candidates` = `num_kept` + all `rejected`."""

    num_candidates: int
    num_kept: int
    rejected: dict[str, int]
    dropped: dict[str, int] = {}
    """Parts of kept rows that were left out, by reason: pairs of a conversation."""
    num_requests: int
    num_prompt_tokens: int
    num_output_tokens: int
    num_estimated: int = 0
    """Answers whose tokens are estimated from their length, since the server did not count them."""


class Bin(_Facts):
    first: int
    last: int
    num: int


class WordFacts(_Facts):
    mean: float
    min: int
    lower: int
    """A twentieth of the captions have so many words or fewer."""
    median: int
    upper: int
    """Nineteen twentieths have so many or fewer."""
    max: int
    histogram: tuple[Bin, ...]


class DiversityFacts(_Facts):
    """How varied the captions are; see `unicorn_hf.builders.diversity`."""

    vocabulary: int
    """Different words, in lower case."""
    type_token_ratio: float
    """Different words of a caption over its words, mean over the captions."""
    distinct_1: float
    distinct_2: float
    distinct_3: float
    """Different runs of one word, two and three over all such runs of the captions."""
    is_estimate: bool
    """Whether vocabulary and distinct-n are estimates, with a relative error of about 1 %; else they are exact."""
    added_words: float
    """Content words of a caption that its seed has not, mean over the captions."""
    duplicate_share: float
    near_duplicate_share: float
    """Captions that were left out because they say the same, or nearly the same, as another: of those that passed the
    filters."""


class ImageFacts(_Facts):
    """The image side that the transfer was fitted to, or that its consumer needs."""

    source: str
    num_images: int
    mean_norm: float
    trace: float
    """Mean squared distance of an image's representation from their mean."""
    mean_gap: float
    """L2 norm of the difference of the two sides' means."""


class RepresentationFacts(_Facts):
    encoder: str
    dim: int
    transfer: str
    transfer_asked: str | None = None
    """The recipe's transfer; another one than `transfer` where that needs images that were not known."""
    dtype: str
    has_image_side: bool
    """Whether the encoder has an image tower that somebody trained."""
    num_long: int
    """Captions with more tokens than the encoder reads at once."""
    long_captions: LongCaptions
    """What became of them."""
    text_mean_norm: float
    """L2 norm of the mean text representation: 0 for vectors in all directions, 1 for vectors all equal."""
    text_trace: float | None = None
    """Mean squared distance of a text representation from their mean."""
    image: ImageFacts | None = None
    """None where the image side is not known."""


class GapSide(_Facts):
    """See `unicorn_hf.representations.gap.Gap`."""

    mean_gap: float
    cosine_to_text_mean: float
    cosine_to_image_mean: float
    mean_share: float
    mmd: float
    frechet: float
    paired_cosine: float | None


class GapFacts(_Facts):
    """What `unicorn-hf gap` measured: rows of the set against real images."""

    images: str
    """What images these were."""
    num_images: int
    num_texts: int
    num_pairs: int
    """Images whose own text is known."""
    before: GapSide
    after: GapSide
    direction_kept: float
    """Cosine of the mean gap before and after."""
    neighbours_kept: float
    num_neighbours: int
    picture: str | None
    """Its path in the folder."""


class OverlapFacts(_Facts):
    """What `unicorn-hf overlap` found: rows that share text with an evaluation set."""

    name: str
    num_texts: int
    """Texts of the evaluation set."""
    run_words: int
    """Words in a row that a row and a text must share."""
    num_pretrain: int
    num_instruction: int


class ShardFacts(_Facts):
    file: str
    num_rows: int
    num_bytes: int
    sha256: str


class ConfigFacts(_Facts):
    num_rows: int
    num_bytes: int
    """In memory, as Arrow."""
    num_file_bytes: int
    num_turns: int
    per_domain: dict[str, int]
    per_task: dict[str, int]
    turns: dict[str, int]
    """Conversations by their number of pairs."""
    question_words: dict[str, int]
    """Questions of the tasks by their first word; rare ones together as `other`."""
    answer_letters: dict[str, int]
    """Choices by the letter of the right answer."""
    personal: dict[str, int] | None = None
    """Rows that hold a mark of personal data, by its kind; None where nobody looked."""
    shards: tuple[ShardFacts, ...]


class Statistics(_Facts):
    engine: str
    engine_deterministic: bool
    model_license: str | None = None
    """By the recipe or by the model's own card; None where neither says it."""
    seeds: SeedFacts
    captions: StageFacts
    caption_words: WordFacts
    diversity: DiversityFacts | None = None
    instructions: StageFacts
    left_out: tuple[LeftOut, ...] = ()
    """What readers of files left out, rows and parts of rows, by reason, each with its first example. Seeds are counted
    in `seeds.skipped` too, captions and conversations of an import in `rejected`."""
    representations: RepresentationFacts
    pretrain: ConfigFacts
    instruction: ConfigFacts
    gap: GapFacts | None = None
    """None until it is measured."""
    overlaps: tuple[OverlapFacts, ...] = ()
    """By the evaluation set's name; empty until it is measured."""
    versions: dict[str, str]
    """Packages that the data depends on."""


def read_statistics(path: Path) -> Statistics:
    """The statistics of a published folder.

    Raises:
        InputError: they are not there, or not as this version writes them.
    """
    try:
        return Statistics.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
    except OSError as error:
        why = error.strerror or str(error)
    raise InputError(f"{path}: not readable: {why}", f"Try: unicorn-hf validate {path.parent}")
