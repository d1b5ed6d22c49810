"""Evaluate sets and models on real images."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from unicorn_hf.builders.repository import STATISTICS, is_build
from unicorn_hf.cards.scores import Score
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import ImageEncoder
from unicorn_hf.evaluation import scoring
from unicorn_hf.evaluation.answerers import Proxy, Replying, Vectors
from unicorn_hf.evaluation.questions import Question, questions
from unicorn_hf.hub.fetch import local_folder
from unicorn_hf.pipeline.measure import set_encoder
from unicorn_hf.pipeline.publish import check_build, tell_in_card
from unicorn_hf.representations.calibrate import BATCH_SIZE, encoded
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.representations.transfer_file import check_encoder, load_transfer
from unicorn_hf.runtime.files import write_text
from unicorn_hf.runtime.progress import Progress

if TYPE_CHECKING:
    from unicorn_hf.vlm import UnicornForConditionalGeneration


_NO_IMAGE = Image.new("RGB", (1, 1))


class Asked:
    """Images with their questions, and the images' vectors by each encoder that was asked for.

    Args:
        source: images with questions or labels: see docs/evaluate.md.
        progress: shows how far the reading is.
    """

    def __init__(self, source: PictureSource, progress: Progress | None = None) -> None:
        self.source, self.progress = source, progress or Progress()
        self.questions: list[Question] = []
        self.id = ""
        self.num_pictures = 0
        self._of: list[int] = []
        self._vectors: dict[str, Vectors] = {}

    def vectors(self, identity: str, open_images: Callable[[], ImageEncoder]) -> Vectors:
        """Each image's vector: (images, dim), float32. The first call reads the questions too.

        Args:
            identity: the fingerprint of the encoder; images are encoded once for each.
            open_images: opens its image side.

        Raises:
            InputError: the source has no images or no questions, or an answer is not among its options.
        """
        if identity not in self._vectors:
            self._vectors[identity] = self._encoded(open_images())
        return self._vectors[identity]

    def of_questions(self, pictures: Vectors) -> Vectors:
        """The vector of each question's image."""
        return pictures[self._of]

    def _encoded(self, tower: ImageEncoder) -> Vectors:
        found, read, digests = [], [], []
        for batch, vectors in encoded(self.source, tower, self.progress):
            found.append(vectors)
            # Without pixels: all images at once could fill the memory.
            read += [replace(picture, image=_NO_IMAGE) for picture in batch]
            digests += [hashlib.sha256(picture.image.tobytes()).hexdigest() for picture in batch]
        if not self.questions:
            self._ask(questions(read), digests)
        return np.concatenate(found)

    def _ask(self, asked: Sequence[Sequence[Question]], digests: Sequence[str]) -> None:
        self.questions = [question for of_picture in asked for question in of_picture]
        if not self.questions:
            raise InputError(
                f"{self.source.path} has no questions and no labels",
                "Put the images into folders named after their labels, or add a metadata.csv: see docs/evaluate.md.",
            )
        self._of = [number for number, of_picture in enumerate(asked) for _ in of_picture]
        self.num_pictures = len(set(self._of))
        self.id = fingerprint(*sorted([digest, [q.key for q in of]] for digest, of in zip(digests, asked, strict=True)))


@dataclass(frozen=True)
class Source:
    """A set's folder, or a model."""

    name: str
    folder: Path | None
    """Of a set, or of a model that is a folder; None for a model of the Hub."""
    model: "UnicornForConditionalGeneration | None"
    encoder: str
    """As this machine finds it."""


def opened(name: str, encoder: str | None = None) -> Source:
    """A set or a model by its folder or its name on the Hub.

    Args:
        encoder: its encoder, if this machine cannot find it by the name that it has there.

    Raises:
        InputError: there is neither, or it cannot be read.
        RunError: the Hub failed.
    """
    folder = Path(name)
    if not folder.is_dir():
        try:
            folder = local_folder(name)
        except InputError:
            model = _loaded(name, encoder)
            return Source(name, None, model, encoder or model.config.encoder)
    elif (folder / "config.json").is_file():
        model = _loaded(name, encoder)
        return Source(name, folder, model, encoder or model.config.encoder)
    if not is_build(folder):
        raise InputError(f"{name} is neither a set that unicorn-hf built nor a model of unicorn_hf.vlm")
    return Source(name, folder, None, encoder or set_encoder(folder))


def evaluate_source(source: Source, asked: Asked, *, image_statistics: str | Path | None = None) -> Score:
    """Evaluate a set or a model, and add the score to its folder; see `evaluate_set` and `evaluate_model`."""
    if source.model:
        score = evaluate_model(source.model, asked, name=source.name, image_statistics=image_statistics)
        if source.folder:
            _tell_in_model_card(source.folder, source.model, score)
        return score
    assert source.folder
    is_download = not Path(source.name).is_dir()
    return evaluate_set(source.folder, asked, encoder=source.encoder, record=not is_download)


def evaluate_set(folder: str | Path, asked: Asked, *, encoder: str | None = None, record: bool = True) -> Score:
    """Train a proxy of a language model on a set, and let it answer questions about real images.

    Args:
        folder: a built folder.
        asked: images and questions; the same object for several sets reads and encodes the images once.
        encoder: the set's encoder, if this machine cannot find it by the name in the recipe.
        record: add the score to the set's statistics and card.

    Raises:
        InputError: `folder` is no build, the encoder has no image side or is not the set's, or a question has no
            options.
        RunError: the encoder cannot be loaded.
    """
    folder = Path(folder)
    check_build(folder)
    encoder = encoder or set_encoder(folder)
    check_encoder(folder, encoder)
    choice = resolve_encoder(encoder, BATCH_SIZE)
    pictures = load_transfer(folder).apply_image(asked.vectors(choice.identity, choice.open_images))
    facts = read_statistics(folder / STATISTICS)
    score = _score(Proxy(folder), asked, pictures, facts.representations.encoder)
    if record:
        tell_in_card(folder, proof=tuple(sorted(_with(facts.proof, score), key=lambda known: known.setting)))
    return score


def evaluate_model(
    model: "UnicornForConditionalGeneration",
    asked: Asked,
    *,
    name: str = "a model",
    image_statistics: str | Path | None = None,
) -> Score:
    """Let a model answer questions about real images.

    Args:
        model: its answers are greedy.
        asked: see `evaluate_set`.
        name: of the model, in the score.
        image_statistics: for a model without: a file of `unicorn-hf calibrate`. By default, such a model subtracts
            the mean of the images that it is asked about.

    Raises:
        InputError, RunError: see `UnicornForConditionalGeneration.encode_pictures` and `evaluate_set`.
    """
    if image_statistics:
        model.add_image_statistics(image_statistics)
    tower, identity = model.image_encoder()
    pictures = model.transfer.apply_image(asked.vectors(identity, lambda: tower))
    return _score(Replying(model.eval(), Path(name).name), asked, pictures, model.config.encoder)


def _loaded(name: str, encoder: str | None) -> "UnicornForConditionalGeneration":
    try:
        from unicorn_hf.vlm import UnicornForConditionalGeneration

        options = {"encoder": encoder} if encoder else {}
        model: UnicornForConditionalGeneration = UnicornForConditionalGeneration.from_pretrained(name, **options)
    except OSError as error:
        raise InputError(f"{name} is neither a set nor a model that can be loaded: {error}") from error
    return model


def _tell_in_model_card(folder: Path, model: "UnicornForConditionalGeneration", score: Score) -> None:
    from unicorn_hf.vlm.card import model_card

    scores = _with(map(Score.model_validate, model.config.scores), score)
    model.config.scores = [known.model_dump(mode="json") for known in scores]
    model.config.save_pretrained(folder)
    write_text(folder / "README.md", model_card(model.config))


def _with(scores: Iterable[Score], score: Score) -> list[Score]:
    """The scores with this one, in place of an earlier one of the same setting."""
    return [*(known for known in scores if known.setting != score.setting), score]


def _score(answerer: Proxy | Replying, asked: Asked, pictures: Vectors, encoder: str) -> Score:
    vectors = np.ascontiguousarray(asked.of_questions(pictures).astype(np.float32))
    asked.progress.start("questions", len(asked.questions))
    shares, blind, measures = _answered(answerer, asked, vectors)
    asked.progress.finish()
    whole, as_one = scoring.grouped(shares, asked.questions)
    lower, upper = scoring.interval(whole, as_one)
    return Score(
        on=asked.source.name,
        on_id=asked.id,
        num_pictures=asked.num_pictures,
        num_questions=len(as_one),
        encoder=encoder,
        trained=answerer.name,
        accuracy=100 * float(whole.mean()),
        lower=lower,
        upper=upper,
        blind=100 * float(scoring.grouped(blind, asked.questions)[0].mean()),
        most_common=scoring.most_common(as_one),
        chance=scoring.chance(asked.questions),
        per_kind=scoring.per_kind(whole, as_one),
        measures=measures,
    )


def _answered(
    answerer: Proxy | Replying, asked: Asked, vectors: Vectors
) -> tuple[scoring.Shares, scoring.Shares, dict[str, float]]:
    """How right the answers are with a look at the images, and without; further measures."""
    shares, blind = np.zeros((2, answerer.num_seeds, len(asked.questions)))
    # A proxy has learned no replies: it compares the options of all questions.
    is_replied = [bool(question.read) and isinstance(answerer, Replying) for question in asked.questions]

    def told(done: int) -> None:
        asked.progress.known(done, 0)

    if len(chosen := np.flatnonzero(np.logical_not(is_replied))):
        part = [asked.questions[number] for number in chosen]
        right = [question.right or 0 for question in part]
        scores = answerer.scores(vectors[chosen], part, told)
        shares[:, chosen], blind[:, chosen] = (scoring.chosen_rightly(found, right) for found in scores)
    if not any(is_replied) or not isinstance(answerer, Replying):
        return shares, blind, {}
    replied = np.flatnonzero(is_replied)
    part = [asked.questions[number] for number in replied]
    seen, unseen = (_read(part, replies) for replies in answerer.replies(vectors[replied], part, told))
    shares[:, replied], blind[:, replied] = _right(part, seen), _right(part, unseen)
    return shares, blind, scoring.yes_or_no_measures(seen, part)


def _read(part: Sequence[Question], replies: Sequence[str]) -> list[str]:
    return [question.read(reply) if question.read else "" for question, reply in zip(part, replies, strict=True)]


def _right(part: Sequence[Question], read: Sequence[str]) -> list[bool]:
    return [one in question.answers for question, one in zip(part, read, strict=True)]
