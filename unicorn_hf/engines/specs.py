"""From a recipe's words to engines: resolved and checked in the client, opened in the worker that uses them."""

import hashlib
import importlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unicorn_hf.core.encoder_spec import (
    IMPORTED,
    ClipSpec,
    EncoderSpec,
    HashingSpec,
    ImportedSpec,
    Llm2ClipSpec,
    ModelSource,
    OpenClipSpec,
    parse_encoder_spec,
)
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.generation import ImageEncoder, TextEncoder, TextGenerator
from unicorn_hf.core.recipe import EchoEngine, EndpointEngine, Engine, ImportedEngine, LongCaptions, VllmEngine
from unicorn_hf.engines.quiet import quiet
from unicorn_hf.engines.transformers_models import model_folder

DEMO = "demo:"
_CONFIG = "config.json"
_HUB_TIMEOUT_S = 5
_NUM_BLOCKS = 256
_BLOCK_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A text generator that can be opened in another process."""

    engine: Engine
    model: str
    """What the engine loads: a folder or a Hub name; for a server, its name for it; empty for echo."""
    name: str
    """What the card calls it."""
    identity: str
    """Fingerprint of all that its answers depend on; stored answers are found by it."""
    deterministic: bool
    keeps_answers: bool = True
    """Whether its answers are stored."""

    def open(self) -> TextGenerator:
        if isinstance(self.engine, EchoEngine):
            from unicorn_hf.engines.echo import EchoGenerator

            return EchoGenerator()
        if isinstance(self.engine, EndpointEngine):
            from unicorn_hf.engines.endpoint import EndpointGenerator

            return EndpointGenerator(self.engine)
        if isinstance(self.engine, ImportedEngine):
            raise InputError("captions are imported: there is no model to write with")
        from unicorn_hf.engines.vllm import VllmGenerator

        return VllmGenerator(self.engine, self.model)

    @property
    def uses_gpu(self) -> bool:
        """Whether it has a use for one."""
        return isinstance(self.engine, VllmEngine)

    def for_one_of(self, num_workers: int) -> "GeneratorSpec":
        """What one of so many workers opens: of a server's `concurrency` it has its share, and at least 1."""
        if not isinstance(self.engine, EndpointEngine):
            return self
        share = max(1, self.engine.concurrency // max(1, num_workers))
        return replace(self, engine=self.engine.model_copy(update={"concurrency": share}))

    def partitions_at_once(self, partition_rows: int) -> int:
        """Partitions that a worker has in flight, so that its engine always has more requests than it works on.

        One whose last answers are awaited, as many as fill the engine, and one that is being filtered and written. A
        server's last answers may be long in coming, those that are asked for again: more partitions are in flight then.
        """
        match self.engine:
            case EchoEngine() | ImportedEngine():
                return 1
            case VllmEngine(max_num_seqs=num_requests):
                return 2 + math.ceil(num_requests / partition_rows)
            case EndpointEngine(concurrency=num_requests):
                return 4 + math.ceil(num_requests / partition_rows)

    def environment(self, num_threads: int) -> dict[str, str]:
        """Variables that a worker needs before its interpreter starts, which may use so many threads.

        For the encoder too: without a bound each worker's torch takes all cores.
        """
        threads = {"OMP_NUM_THREADS": str(num_threads), "RAYON_NUM_THREADS": str(num_threads)}
        if not isinstance(self.engine, VllmEngine):
            return threads
        from unicorn_hf.engines.vllm import environment

        return threads | environment(self.engine, num_threads)


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder whose sides can be opened in another process."""

    spec: EncoderSpec
    name: str
    batch_size: int
    identity: str
    """Fingerprint of the model, and so of the space that its vectors are in."""
    long_captions: LongCaptions = "truncate"

    @property
    def has_image_side(self) -> bool:
        return not isinstance(self.spec, HashingSpec | ImportedSpec)

    @property
    def uses_gpu(self) -> bool:
        """Whether it has a use for one."""
        return not isinstance(self.spec, HashingSpec | ImportedSpec)

    @property
    def text_identity(self) -> str:
        """Fingerprint of all that a caption's vector depends on."""
        return fingerprint(self.identity, self.long_captions)

    def open(self) -> TextEncoder:
        """The text side.

        Raises:
            InputError: there is no such model.
            RunError: its weights cannot be had or do not fit.
        """
        if isinstance(self.spec, HashingSpec):
            from unicorn_hf.engines.hashing import HashingEncoder

            return HashingEncoder(self.spec.dim)
        if isinstance(self.spec, ImportedSpec):
            raise InputError("vectors that were imported with their captions have no encoder", "Name one: --encoder.")
        from unicorn_hf.engines.towers import TowerEncoder

        return TowerEncoder(_module(self.spec).text_tower(self.spec), self.batch_size, self.long_captions)

    def open_images(self) -> ImageEncoder:
        """The image side, which shares a space with the text side.

        Raises:
            InputError: there is none, or no such model.
            RunError: its weights cannot be had or do not fit.
        """
        if isinstance(self.spec, HashingSpec | ImportedSpec):
            raise InputError(
                f"the encoder {self.name} has no image side",
                "open_clip:MODEL/PRETRAINED, clip:MODEL and llm2clip:CLIP have one; --transfer mean_shift needs none.",
            )
        from unicorn_hf.engines.towers import TowerImageEncoder

        return TowerImageEncoder(_module(self.spec).image_tower(self.spec), self.batch_size)


def resolve_generator(engine: Engine) -> GeneratorSpec:
    """Check the engine's model and find its identity; a demonstration model is converted on its first use.

    The engine of the result has the commit of a Hub's model as its revision, and the address of its server.

    Raises:
        InputError: the model is a folder that holds none, or an unknown demonstration model; or a server's key is none.
    """
    if isinstance(engine, EchoEngine):
        return GeneratorSpec(engine, "", "echo", fingerprint(engine), deterministic=True)
    if isinstance(engine, EndpointEngine):
        from unicorn_hf.engines.endpoint import api_key, with_address

        api_key()
        engine = with_address(engine)
        asked = engine.model_dump(mode="json", include={"model", "json_schema", "system_role", "extra_body"})
        return GeneratorSpec(engine, engine.model, engine.model, fingerprint("endpoint", asked), deterministic=False)
    if isinstance(engine, ImportedEngine):
        raise InputError("captions are imported: there is no model to write with", "Name one: --llm MODEL.")
    return _resolve_vllm(engine)


def _resolve_vllm(engine: VllmEngine) -> GeneratorSpec:
    model = engine.model
    if model.startswith(DEMO):
        from unicorn_hf.engines.demo_models import demo_llm

        model = str(demo_llm(model.removeprefix(DEMO)))
    folder = Path(model).expanduser()
    if folder.is_dir():
        model, content = str(folder.resolve()), _folder_identity(folder)
    elif model.startswith((".", "/", "~")):
        raise InputError(f"no model folder {model}", "--llm takes a folder with a model or the name of one on the Hub.")
    else:
        engine = engine.model_copy(update={"revision": _commit(model, engine.revision) or engine.revision})
        content = fingerprint(model, engine.revision)
    asked = engine.model_dump(mode="json", include={"dtype", "max_model_len"})
    return GeneratorSpec(engine, model, engine.model, fingerprint("vllm", content, asked), deterministic=False)


def _commit(model: str, revision: str | None) -> str | None:
    """The commit that a Hub's model is at: what the Hub says, or the cache where the Hub is out of reach.

    None where neither knows; the engine will say what is wrong when it loads the model.

    Raises:
        InputError: the Hub has no such model or revision, or does not show it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        # Whichever way it is found, the path of the cached file names the commit.
        with quiet():
            path = hf_hub_download(model, _CONFIG, revision=revision, etag_timeout=_HUB_TIMEOUT_S)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision}" if revision else ""
        raise InputError(
            f"the Hub has no model {model}{at}, or does not show it", "Is the name right? If so: `hf auth login`."
        ) from error
    except (OSError, HFValidationError):
        return None
    return Path(path).parent.name


def resolve_encoder(name: str, batch_size: int, long_captions: LongCaptions = "truncate") -> EncoderChoice:
    """Check the encoder's name and find its identity.

    Raises:
        InputError: the name is not of the grammar, or there is no such model.
    """
    spec = parse_encoder_spec(name)
    if isinstance(spec, HashingSpec):
        return EncoderChoice(spec, name, batch_size, fingerprint("hashing", spec.dim))
    if isinstance(spec, ImportedSpec):
        return EncoderChoice(spec, name, batch_size, fingerprint(IMPORTED))
    if isinstance(spec, ClipSpec | Llm2ClipSpec):
        sources = (spec.model,) if isinstance(spec, ClipSpec) else (spec.clip, spec.llm)
        content = [_source_content(source) for source in sources]
        return EncoderChoice(spec, name, batch_size, fingerprint(type(spec).__name__, content), long_captions)
    if spec.is_demo:
        from unicorn_hf.engines.demo_models import demo_encoder

        spec = OpenClipSpec(f"local-dir:{demo_encoder(spec.model.removeprefix(DEMO))}", None)
    from unicorn_hf.engines.open_clip import check

    check(spec)
    identity = fingerprint("open_clip", _open_clip_content(spec))
    return EncoderChoice(spec, name, batch_size, identity, long_captions)


def _module(spec: OpenClipSpec | ClipSpec | Llm2ClipSpec) -> Any:
    """The module that opens both sides."""
    names = {OpenClipSpec: "open_clip", ClipSpec: "clip", Llm2ClipSpec: "llm2clip"}
    return importlib.import_module(f"unicorn_hf.engines.{names[type(spec)]}")


def _source_content(source: ModelSource) -> str:
    return _folder_identity(model_folder(source)) if source.is_folder else fingerprint(source.name, source.revision)


def _open_clip_content(spec: OpenClipSpec) -> str:
    if spec.model.startswith("local-dir:"):
        return _folder_identity(Path(spec.model.removeprefix("local-dir:")))
    if spec.pretrained and Path(spec.pretrained).is_file():
        return fingerprint(spec.model, file_sha256(Path(spec.pretrained)))
    return fingerprint(spec.model, spec.pretrained)


def _folder_identity(folder: Path) -> str:
    """Fingerprint of a model folder: small files by content, large ones by samples of it: 140 GB take long to hash."""
    if not any((folder / name).is_file() for name in ("config.json", "open_clip_config.json")):
        raise InputError(f"{folder} is not a model folder: it has no config.json")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not any(path.suffix in (".safetensors", ".bin", ".pt") for path in files):
        raise InputError(f"{folder} is not a model folder: it holds no weights (.safetensors)")
    return fingerprint([[path.name, _file_identity(path)] for path in files])


def _file_identity(path: Path) -> str:
    size = path.stat().st_size
    if size <= _NUM_BLOCKS * _BLOCK_BYTES:
        return file_sha256(path)
    # Another training step changes all weights, so blocks from all over the file tell two checkpoints apart.
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(_NUM_BLOCKS):
            file.seek(block * (size - _BLOCK_BYTES) // (_NUM_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()
