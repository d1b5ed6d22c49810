"""The grammar of `--encoder`, e.g. `open_clip:ViT-B-32/laion2b_s34b_b79k`, `hashing:512`."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.section import REVISION

GRAMMAR = (
    "An encoder is one of\n"
    "  open_clip:MODEL/PRETRAINED      names of open_clip, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k\n"
    "  open_clip:MODEL/FILE            the same with a file of weights, e.g. open_clip:ViT-B-32//data/vit.safetensors\n"
    "  open_clip:hf-hub:ORG/NAME       an open_clip model on the Hub\n"
    "  open_clip:local-dir:FOLDER      a folder with open_clip_config.json and weights\n"
    "  open_clip:demo:minilm           the demonstration encoder: sentences, and pictures of emoji\n"
    "  clip:MODEL                      a CLIP or SigLIP of transformers, e.g. clip:openai/clip-vit-large-patch14\n"
    "  llm2clip:CLIP                   e.g. llm2clip:microsoft/LLM2CLIP-Openai-L-14-336, with its caption-tuned Llama\n"
    "  llm2clip:CLIP+LLM               the same with the language model named\n"
    "  hashing:DIM                     hashed words, no model: for rehearsals\n"
    "MODEL, CLIP and LLM are ORG/NAME or ORG/NAME@REVISION on the Hub, or a folder that begins with /, . or ~."
)
IMPORTED = "imported"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_REVISION = re.compile(REVISION)
_WHOLE_NAMES = ("hf-hub:", "local-dir:", "demo:")


@dataclass(frozen=True, slots=True)
class HashingSpec:
    dim: int


@dataclass(frozen=True, slots=True)
class ImportedSpec:
    """Vectors that came with imported captions; nothing can be encoded."""


@dataclass(frozen=True, slots=True)
class OpenClipSpec:
    model: str
    """open_clip's model name, or `hf-hub:ORG/NAME`, `local-dir:FOLDER`, `demo:NAME`."""
    pretrained: str | None
    """A pretrained tag or a file of weights; None where the model's name brings its own."""

    @property
    def is_demo(self) -> bool:
        return self.model.startswith("demo:")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model of transformers."""

    name: str
    """`ORG/NAME` on the Hub, or a folder."""
    revision: str | None = None

    @property
    def is_folder(self) -> bool:
        return is_path(self.name)

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


@dataclass(frozen=True, slots=True)
class ClipSpec:
    model: ModelSource


@dataclass(frozen=True, slots=True)
class Llm2ClipSpec:
    clip: ModelSource
    """Has the vision tower and the text adapter."""
    llm: ModelSource
    """Reads the captions."""


EncoderSpec = HashingSpec | ImportedSpec | OpenClipSpec | ClipSpec | Llm2ClipSpec
LLM2CLIP_LLM = ModelSource("microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned")


def is_path(name: str) -> bool:
    """Whether a name is a path of this machine, and none of the Hub."""
    return name.startswith(("/", ".", "~"))


def parse_encoder_spec(spec: str) -> EncoderSpec:
    """Parse an encoder's name.

    The model ends at the first slash, since open_clip's names have none and tags and file names may; a model with a
    scheme (`hf-hub:`, `local-dir:`, `demo:`) takes the rest whole.

    Raises:
        InputError: it is not of the grammar.
    """
    if spec == IMPORTED:
        return ImportedSpec()
    kind, _, rest = spec.partition(":")
    if kind == "hashing":
        if not rest.isdecimal() or len(rest) > 5 or not 1 <= int(rest) <= 65_536:
            raise InputError(f"encoder {spec!r}: hashing takes a dimension from 1 to 65536, e.g. hashing:512", GRAMMAR)
        return HashingSpec(int(rest))
    if kind == "open_clip":
        return _parse_open_clip(spec, rest)
    if kind == "clip":
        return ClipSpec(_parse_source(spec, rest))
    if kind == "llm2clip":
        clip, plus, llm = rest.partition("+")
        return Llm2ClipSpec(_parse_source(spec, clip), _parse_source(spec, llm) if plus else LLM2CLIP_LLM)
    near = get_close_matches(kind.lower(), ["open_clip", "llm2clip", "clip", "hashing"], n=1)
    hint = f" Did you mean {near[0]}:...?" if near else ""
    raise InputError(f"unknown encoder {spec!r}.{hint}", GRAMMAR)


def _parse_open_clip(spec: str, rest: str) -> OpenClipSpec:
    for scheme in _WHOLE_NAMES:
        if rest.startswith(scheme) and rest != scheme:
            return OpenClipSpec(rest, None)
    model, slash, pretrained = rest.partition("/")
    if not model or not slash or not pretrained:
        raise InputError(f"encoder {spec!r} names no pretrained weights", GRAMMAR)
    return OpenClipSpec(model, pretrained)


def _parse_source(spec: str, name: str) -> ModelSource:
    if is_path(name):
        return ModelSource(name)
    model, at, revision = name.partition("@")
    if not _HUB_NAME.fullmatch(model) or (at and not _REVISION.fullmatch(revision)):
        raise InputError(f"encoder {spec!r}: {name!r} is no model of the Hub and no folder", GRAMMAR)
    return ModelSource(model, revision or None)
