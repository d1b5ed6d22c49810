"""Read and write `image_statistics.safetensors`, and a data set's `transfer.safetensors`."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

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
from unicorn_hf.representations.transfers import Transfer, TransferStatistics
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
    """A `Covariance`, except in files of older versions."""
    encoder: str
    encoder_id: str
    source: str
    """Name of the source of the images."""
    vectors: Sample | None = None
    """Vectors of some of these images, if they were kept."""


@dataclass(frozen=True)
class TransferFile:
    """The content of a file; its parts are checked when they are read."""

    path: Path
    facts: Facts
    tensors: Tensors

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Raises:
            InputError: there is no such file, or it is of another kind.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                metadata: dict[str, Any] = file.metadata() or {}
            return cls(path, Facts.model_validate_json(metadata.get(_KEY, "")), tensors)
        except FileNotFoundError:
            raise InputError(f"there is no file {path}", _ADVICE) from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}", _ADVICE) from None
        # safetensors raises the last two for types that NumPy does not have.
        except (SafetensorError, ValidationError, AttributeError, TypeError):
            raise InputError(f"{path} is not a statistics file of unicorn-hf", _ADVICE) from None

    def write(self) -> None:
        from safetensors.numpy import save

        metadata = json.dumps(self.facts.model_dump(), ensure_ascii=False)
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in self.tensors.items()}
        with atomic(self.path) as temporary:
            temporary.write_bytes(save(tensors, {_KEY: metadata}))

    @property
    def text(self) -> Moments:
        """The text side; raises an InputError if there is none."""
        if (text := self._side("text", self.facts.text_count)) is None:
            raise InputError(f"{self.path} contains no transfer", _ADVICE)
        return text

    @property
    def image(self) -> Moments | None:
        """The image side; raises an InputError if it is damaged."""
        return self._side("image", self.facts.image_count)

    @property
    def image_vectors(self) -> Sample | None:
        """The vectors of some images; raises an InputError if they are damaged."""
        vectors, image = self.tensors.get("image_vectors"), self.image
        if vectors is None or image is None:
            return None
        if vectors.ndim != 2 or vectors.shape[1] != image.dim or not np.isfinite(vectors).all():
            raise InputError(f"{self.path}: image_vectors are invalid or of another dimension than image_mean", _ADVICE)
        return Sample(image.count, len(vectors), vectors.astype(np.float16))

    @property
    def transfer(self) -> Transfer:
        """The transfer; raises an InputError if there is none, it is damaged, or its package is not installed."""
        name, text, tensors = self.facts.transfer, self.text, self.tensors
        kind = TRANSFERS.get(name) if name else None
        first: Part | None = text if isinstance(text, Covariance) else None
        if "aligned_mean" in tensors:
            first = SetMean(text.count, tensors["aligned_mean"])
        if kind is None or (kind.first_pass and first is None and not kind.is_trained):
            raise InputError(f"{self.path} contains no transfer", _ADVICE)
        statistics = TransferStatistics(text, self.image, first, self.facts.seed)
        if not kind.is_trained:
            return kind.fit(replace(statistics, image_vectors=self.image_vectors))
        fitted = {name.removeprefix(_FITTED): tensor for name, tensor in tensors.items() if name.startswith(_FITTED)}
        try:
            return kind.restored(statistics, fitted)
        except (KeyError, ValueError) as error:
            raise InputError(f"{self.path} contains no complete {name}: {error}", _ADVICE) from None

    def _side(self, side: str, count: int) -> Moments | None:
        mean, variance, matrix = (self.tensors.get(f"{side}_{name}") for name in ("mean", "variance", "covariance"))
        if not count or mean is None or variance is None:
            return None
        if mean.ndim != 1 or mean.shape != variance.shape or not np.isfinite([mean, variance]).all():
            message = f"{self.path}: {side}_mean and {side}_variance are invalid or of different shapes"
            raise InputError(message, _ADVICE)
        if matrix is None:
            return Moments(count, mean, variance * count)
        if matrix.shape != 2 * mean.shape or not np.isfinite(matrix).all():
            message = f"{self.path}: {side}_covariance is invalid or of another shape than {side}_mean"
            raise InputError(message, _ADVICE)
        return Covariance(count, mean, matrix * count)


def save_image_statistics(path: Path, statistics: ImageStatistics) -> None:
    """Write `image_statistics.safetensors`."""
    facts = Facts(
        encoder=statistics.encoder,
        encoder_id=statistics.encoder_id,
        image_count=statistics.moments.count,
        image_source=statistics.source,
    )
    TransferFile(path, facts, _side("image", statistics.moments, statistics.vectors)).write()


def load_image_statistics(path: Path) -> ImageStatistics:
    """Read the image side from a file of `calibrate`, or from a data set's transfer.safetensors.

    Raises:
        InputError: there is no such file, it is of another kind, or it has no image statistics.
    """
    file = TransferFile.read(path)
    facts, image = file.facts, file.image
    if image is None:
        raise InputError(f"{path} contains no image statistics", _ADVICE)
    return ImageStatistics(image, facts.encoder, facts.encoder_id, facts.image_source, file.image_vectors)


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
    first, image, parts = statistics.first, statistics.image, list(text.domains.values())
    tensors = _side("text", statistics.text) | (_side("image", image, statistics.image_vectors) if image else {})
    tensors |= {_FITTED + name: tensor for name, tensor in transfer.tensors.items()}
    tensors["text_domain_mean"] = np.stack([part.mean for part in parts])
    tensors["text_domain_variance"] = np.stack([part.variance for part in parts])
    if isinstance(first, Covariance):
        tensors["text_covariance"] = first.matrix
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
        image_count=image.count if image else 0,
        image_source=image_source,
    )
    TransferFile(path, facts, tensors).write()


def load_transfer(source: str | Path, *, revision: str | None = None) -> Transfer:
    """Load the transfer of a data set; its consumer needs only `apply_image`.

    Args:
        source: the folder of a data set, its transfer.safetensors, or `ORG/NAME` on the Hub.
        revision: of the repository on the Hub.

    Raises:
        InputError: there is no such data set, it has no transfer, or its transfer's package is not installed.
        RunError: the Hub cannot be reached.
    """
    return TransferFile.read(transfer_path(source, revision)).transfer


def transfer_path(source: str | Path, revision: str | None = None) -> Path:
    """The transfer's file of a data set; arguments and errors are those of `load_transfer`."""
    path = Path(source).expanduser()
    if path.is_dir():
        check_links(path)
        return path / TRANSFER_FILE
    return path if path.is_file() else _download(str(source), revision)


def add_images(path: Path, images: Path) -> None:
    """Add an image side to a transfer that has none: its `apply_image` then subtracts the mean of these images.

    Args:
        path: a transfer.safetensors, which is replaced.
        images: a file of `calibrate`.

    Raises:
        InputError: the transfer has an image side, or the files come from different encoders.
    """
    file, statistics = TransferFile.read(path), load_image_statistics(images)
    facts, moments = file.facts, statistics.moments
    if facts.image_count:
        raise InputError("the transfer has image statistics already", "Omit yours: the set's are the right ones.")
    if facts.encoder_id != statistics.encoder_id:
        raise InputError(f"{images} is of the encoder {statistics.encoder}, but the set's is {facts.encoder}", _ADVICE)
    found = facts.model_copy(update={"image_count": moments.count, "image_source": statistics.source})
    TransferFile(path, found, {**file.tensors, **_side("image", moments)}).write()


def encoder_id(encoder: str) -> str:
    """Fingerprint of an encoder's model, independent of batch settings."""
    return resolve_encoder(encoder, batch_size=1).identity


def check_encoder(folder: Path, encoder: str) -> None:
    """Check that this encoder made a data set's representations.

    Raises:
        InputError: another encoder made them, or the data set has no transfer.
    """
    facts = TransferFile.read(folder / TRANSFER_FILE).facts
    if facts.encoder_id != encoder_id(encoder):
        raise InputError(f"{folder} was made with the encoder {facts.encoder}, but {encoder} is another model")


def _side(name: str, moments: Moments, vectors: Sample | None = None) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {f"{name}_mean": moments.mean, f"{name}_variance": moments.variance}
    if isinstance(moments, Covariance):
        tensors[f"{name}_covariance"] = moments.matrix
    if vectors:
        tensors[f"{name}_vectors"] = vectors.vectors
    return tensors


def _download(repo_id: str, revision: str | None) -> Path:
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise InputError(f"there is no data set at {repo_id}", "Give a folder, or ORG/NAME for a data set on the Hub.")
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repo_id, TRANSFER_FILE, repo_type="dataset", revision=revision))
    except errors.HFValidationError:
        raise InputError(f"{repo_id} is not a valid data set name", "Names have the form ORG/NAME.") from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        at = f" at revision {revision}" if revision else ""
        raise InputError(f"there is no data set {repo_id}{at}, local or on the Hub, or it is private") from None
    except errors.LocalEntryNotFoundError:
        raise RunError(f"the Hub cannot be reached, and the cache has no transfer of {repo_id}") from None
    except errors.EntryNotFoundError:
        raise InputError(f"the data set {repo_id} has no {TRANSFER_FILE}", _ADVICE) from None
    except OSError as error:
        raise RunError(f"the Hub did not deliver the transfer of {repo_id} ({type(error).__name__})") from None
