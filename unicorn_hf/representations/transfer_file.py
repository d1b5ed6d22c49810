"""Read and write `image_statistics.safetensors`, and a data set's `transfer.safetensors`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.links import check_links
from unicorn_hf.core.published import TRANSFER_FILE
from unicorn_hf.representations.moments import Covariance, DomainMoments, Moments, Part, SetMean
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfers import Transfer, TransferStatistics, fit
from unicorn_hf.representations.transfers.base import Tensors
from unicorn_hf.runtime.files import atomic

_KEY = "unicorn_hf"
"""The only metadata key: safetensors writes several keys in an order that varies between runs."""
_FITTED = "fitted_"
"""Prefix of the names of a transfer's own tensors."""
_ADVICE = "Make image statistics with `unicorn-hf calibrate`; every built data set contains a transfer.safetensors."


Count = Annotated[int, Field(ge=0, le=2**53)]
"""Integers up to the limit are exact in float64, the type of moments."""


class Facts(BaseModel):
    """The metadata of a file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 1
    encoder: str
    encoder_id: str
    """Fingerprint of the encoder: its name does not identify it."""
    transfer: str | None = None
    seed: int = 0
    train_noise: float = 0.0
    """See `Transfer.train_noise`."""
    text_count: Count = 0
    text_domains: dict[str, Count] = {}
    """Rows of each domain, in the order of the rows of `text_domain_mean` and `text_domain_variance`."""
    image_count: Count = 0
    image_source: str = ""


@dataclass(frozen=True)
class ImageStatistics:
    """The image side of an encoder, from images that need not be related to the texts."""

    moments: Moments
    encoder: str
    encoder_id: str
    source: str
    """Name of the source of the images."""
    covariance: Covariance | None = None
    """Of the same images; None in files of older versions."""
    vectors: Sample | None = None
    """Vectors of some of these images, if they were kept."""


def save_image_statistics(path: Path, statistics: ImageStatistics) -> None:
    """Write `image_statistics.safetensors`."""
    facts = Facts(
        encoder=statistics.encoder,
        encoder_id=statistics.encoder_id,
        image_count=statistics.moments.count,
        image_source=statistics.source,
    )
    _save(path, _image_side(statistics.moments, statistics.covariance, statistics.vectors), facts)


def load_image_statistics(path: Path) -> ImageStatistics:
    """Read the image side from a file of `calibrate`, or from a data set's transfer.safetensors.

    Raises:
        InputError: there is no such file, it is of another kind, or it has no image statistics.
    """
    facts, tensors = _load(path)
    moments = _moments(path, "image", facts.image_count, tensors)
    if moments is None:
        raise InputError(f"{path} contains no image statistics", _ADVICE)
    covariance, vectors = _covariance(path, "image", moments, tensors), _image_vectors(path, moments, tensors)
    return ImageStatistics(moments, facts.encoder, facts.encoder_id, facts.image_source, covariance, vectors)


def save_transfer(
    path: Path,
    transfer: Transfer,
    statistics: TransferStatistics,
    text: DomainMoments,
    *,
    encoder: str,
    encoder_id: str,
    image_source: str = "",
) -> None:
    """Write `transfer.safetensors`: the statistics of both sides as far as known, method and encoder.

    The file has all that a consumer or a refit needs; see `load_transfer`.
    """
    first = statistics.first
    tensors: dict[str, NDArray[Any]] = {_FITTED + name: tensor for name, tensor in transfer.tensors.items()}
    tensors |= _side("text", statistics.text, first if isinstance(first, Covariance) else None)
    parts = list(text.domains.values())
    tensors["text_domain_mean"] = np.stack([part.mean for part in parts])
    tensors["text_domain_variance"] = np.stack([part.variance for part in parts])
    if statistics.image:
        tensors |= _image_side(statistics.image, statistics.image_covariance, statistics.image_vectors)
    if isinstance(first, SetMean):
        tensors["aligned_mean"] = first.mean
    facts = Facts(
        encoder=encoder,
        encoder_id=encoder_id,
        transfer=transfer.name,
        seed=statistics.seed,
        train_noise=transfer.train_noise,
        text_count=statistics.text.count,
        text_domains={name: part.count for name, part in text.domains.items()},
        image_count=statistics.image.count if statistics.image else 0,
        image_source=image_source,
    )
    _save(path, tensors, facts)


def load_transfer(source: str | Path, *, revision: str | None = None) -> Transfer:
    """Load the transfer of a data set; its consumer needs only `apply_image`.

    Args:
        source: the folder of a data set, its transfer.safetensors, or `ORG/NAME` on the Hub.
        revision: of the repository on the Hub.

    Raises:
        InputError: there is no such data set, it has no transfer, or its transfer's package is not installed.
        RunError: the Hub cannot be reached.
    """
    path = transfer_path(source, revision)
    facts, tensors = _load(path)
    text = _moments(path, "text", facts.text_count, tensors)
    if facts.transfer is None or text is None:
        raise InputError(f"{path} contains no transfer", _ADVICE)
    first: Part | None = _covariance(path, "text", text, tensors)
    if "aligned_mean" in tensors:
        first = SetMean(facts.text_count, tensors["aligned_mean"])
    image = _moments(path, "image", facts.image_count, tensors)
    covariance = _covariance(path, "image", image, tensors) if image else None
    kind = TRANSFERS.get(facts.transfer)
    # A trained transfer needs no more than its tensors.
    vectors = _image_vectors(path, image, tensors) if image and not kind.is_trained else None
    statistics = TransferStatistics(text, image, first, facts.seed, covariance, vectors)
    if kind.is_trained:
        fitted = {name.removeprefix(_FITTED): tensor for name, tensor in tensors.items() if name.startswith(_FITTED)}
        try:
            return kind.restored(statistics, fitted)
        except (KeyError, ValueError) as error:
            raise InputError(f"{path} contains no whole {facts.transfer}: {error}", _ADVICE) from None
    if kind.first_pass and first is None:
        raise InputError(f"{path} contains no transfer", _ADVICE)
    return fit(facts.transfer, statistics)


def transfer_path(source: str | Path, revision: str | None = None) -> Path:
    """The transfer's file of a data set; arguments and errors are those of `load_transfer`."""
    path = Path(source).expanduser()
    if path.is_dir():
        check_links(path)
        return path / TRANSFER_FILE
    return path if path.is_file() else _download(str(source), revision)


def load_facts(path: Path) -> tuple[Facts, int]:
    """Read the metadata of a transfer's file, and the dimension of its vectors.

    Raises:
        InputError: there is no such file, or it is of another kind.
    """
    facts, tensors = _load(path)
    text = _moments(path, "text", facts.text_count, tensors)
    if text is None:
        raise InputError(f"{path} contains no transfer", _ADVICE)
    return facts, text.dim


def add_images(path: Path, images: Path) -> None:
    """Add an image side to a transfer that has none: its `apply_image` then subtracts the mean of these images.

    Args:
        path: a transfer.safetensors, which is replaced.
        images: a file of `calibrate`.

    Raises:
        InputError: the transfer has an image side, or the files come from different encoders.
    """
    facts, tensors = _load(path)
    statistics = load_image_statistics(images)
    if facts.image_count:
        raise InputError("the transfer has image statistics already", "Omit yours: the set's are the right ones.")
    if facts.encoder_id != statistics.encoder_id:
        raise InputError(f"{images} is of the encoder {statistics.encoder}, but the set's is {facts.encoder}", _ADVICE)
    found = {"image_count": statistics.moments.count, "image_source": statistics.source}
    sides = {**tensors, **_side("image", statistics.moments, statistics.covariance)}
    _save(path, sides, facts.model_copy(update=found))


def encoder_id(encoder: str) -> str:
    """Fingerprint of an encoder's model, independent of batch settings."""
    return resolve_encoder(encoder, batch_size=1).identity


def check_encoder(folder: Path, encoder: str) -> None:
    """Check that this encoder made a data set's representations.

    Raises:
        InputError: another encoder made them, or the data set has no transfer.
    """
    facts, _ = _load(folder / TRANSFER_FILE)
    if facts.encoder_id != encoder_id(encoder):
        raise InputError(f"{folder} was made with the encoder {facts.encoder}, but {encoder} is another model")


def _side(name: str, moments: Moments, covariance: Covariance | None) -> Tensors:
    whole = {f"{name}_covariance": covariance.matrix} if covariance else {}
    return {f"{name}_mean": moments.mean, f"{name}_variance": moments.variance, **whole}


def _image_side(moments: Moments, covariance: Covariance | None, vectors: Sample | None) -> Tensors:
    kept = {"image_vectors": vectors.vectors} if vectors else {}
    return {**_side("image", moments, covariance), **kept}


def _moments(path: Path, side: str, count: int, tensors: Tensors) -> Moments | None:
    names = f"{side}_mean", f"{side}_variance"
    if not count or not all(name in tensors for name in names):
        return None
    mean, variance = (tensors[name] for name in names)
    if mean.ndim != 1 or mean.shape != variance.shape or not np.isfinite([mean, variance]).all():
        raise InputError(f"{path}: {side}_mean and {side}_variance are invalid or of different shapes", _ADVICE)
    return Moments(count, mean, variance * count)


def _covariance(path: Path, side: str, moments: Moments, tensors: Tensors) -> Covariance | None:
    matrix = tensors.get(f"{side}_covariance")
    if matrix is None:
        return None
    if matrix.shape != (moments.dim, moments.dim) or not np.isfinite(matrix).all():
        raise InputError(f"{path}: {side}_covariance is invalid or of another shape than {side}_mean", _ADVICE)
    return Covariance(moments.count, moments.mean, matrix * moments.count)


def _image_vectors(path: Path, moments: Moments, tensors: Tensors) -> Sample | None:
    vectors = tensors.get("image_vectors")
    if vectors is None:
        return None
    if vectors.ndim != 2 or vectors.shape[1] != moments.dim or not np.isfinite(vectors).all():
        raise InputError(f"{path}: image_vectors are invalid or of another dimension than image_mean", _ADVICE)
    return Sample(moments.count, len(vectors), vectors.astype(np.float16))


def _save(path: Path, tensors: Tensors, facts: Facts) -> None:
    from safetensors.numpy import save

    metadata = json.dumps(facts.model_dump(), ensure_ascii=False)
    content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, {_KEY: metadata})
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _load(path: Path) -> tuple[Facts, dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            metadata: dict[str, Any] = file.metadata() or {}
        return Facts.model_validate_json(metadata.get(_KEY, "")), tensors
    except FileNotFoundError:
        raise InputError(f"there is no file {path}", _ADVICE) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", _ADVICE) from None
    # safetensors raises the last two for types that NumPy does not have.
    except (SafetensorError, ValidationError, AttributeError, TypeError):
        raise InputError(f"{path} is not a statistics file of unicorn-hf", _ADVICE) from None


def _download(repo_id: str, revision: str | None) -> Path:
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise InputError(f"there is no data set at {repo_id}", "Give a folder, or ORG/NAME for a data set on the Hub.")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(repo_id, TRANSFER_FILE, repo_type="dataset", revision=revision))
    except HFValidationError:
        raise InputError(f"{repo_id} is not a valid data set name", "Names have the form ORG/NAME.") from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        at = f" at revision {revision}" if revision else ""
        raise InputError(f"there is no data set {repo_id}{at}, local or on the Hub, or it is private") from None
    except LocalEntryNotFoundError:
        raise RunError(f"the Hub cannot be reached, and the cache has no transfer of {repo_id}") from None
    except EntryNotFoundError:
        raise InputError(f"the data set {repo_id} has no {TRANSFER_FILE}", _ADVICE) from None
    except OSError as error:
        raise RunError(f"the Hub did not deliver the transfer of {repo_id} ({type(error).__name__})") from None
