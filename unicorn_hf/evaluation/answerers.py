"""What answers questions: a proxy that is trained on a set, or a model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from unicorn_hf.builders.rows import spread, vectors_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.messages import IMAGE
from unicorn_hf.evaluation.proxy import BATCH_SIZE, Bags, prior, said, trained
from unicorn_hf.evaluation.questions import Question
from unicorn_hf.representations.transfer_file import load_transfer
from unicorn_hf.torch import IGNORE_INDEX, Collator, as_item

if TYPE_CHECKING:
    from unicorn_hf.vlm import UnicornForConditionalGeneration

NUM_ROWS, STEPS, SEEDS = 20_000, 300, 3
_NUM_ANSWERED = 16
Vectors = NDArray[np.float32]
Scores = list[NDArray[np.float64]]
"""For each question, of its options: (seeds, options)."""
Told = Callable[[int], None]
"""Gets the number of questions that are done."""


class Proxy:
    """`SEEDS` networks of `evaluation.proxy`, each trained on the captions of up to `NUM_ROWS` rows of a set.

    Raises:
        InputError: there is no such set, or rows without vectors.
    """

    name, num_seeds = f"a proxy of words, {STEPS} steps of {BATCH_SIZE} rows, {SEEDS} seeds", SEEDS

    def __init__(self, folder: Path) -> None:
        rows = spread(folder, "pretrain", ["caption", "image_embedding"], NUM_ROWS)
        self._captions: list[str] = rows.column("caption").to_pylist()
        self._rows = torch.from_numpy(vectors_of(rows).astype(np.float32))
        self._noise = load_transfer(folder).train_noise

    def scores(self, vectors: Vectors, asked: Sequence[Question], told: Told) -> tuple[Scores, Scores]:
        """Scores of the options for the vectors of each question's image; the same for the mean image.

        Raises:
            InputError: a question has no options.
        """
        if no_options := next((question for question in asked if not question.options), None):
            raise InputError(
                f"a set alone cannot reply to {no_options.text.splitlines()[0]!r}, which has no options",
                "Use labels or questions with options; or train a model on the set, and evaluate the model.",
            )
        options = [option for question in asked for option in question.options]
        model = Bags([*self._captions, *options], num_learned=len(self._captions))
        learned = torch.arange(len(self._captions))
        texts = len(learned) + torch.arange(len(options))
        repeated = torch.from_numpy(vectors).repeat_interleave(_sizes(asked), dim=0)
        gains, blind = [], []
        for seed in range(SEEDS):
            network = trained(model, self._rows, learned, self._noise, seed, STEPS)
            with torch.inference_mode():
                before = prior(model, network, self._rows, texts)
                gains.append(said(model, network, repeated, texts[:, None])[:, 0] - before)
            blind.append(before)
            told((seed + 1) * len(asked) // SEEDS)
        return _split(gains, asked), _split(blind, asked)


class Replying:
    num_seeds = 1

    def __init__(self, model: "UnicornForConditionalGeneration", name: str) -> None:
        self.name = name
        self._model = model

    def scores(self, vectors: Vectors, asked: Sequence[Question], told: Told) -> tuple[Scores, Scores]:
        """See `Proxy.scores`."""
        gains, blind = [], []
        for part, seen, unseen in _parts(vectors, asked, told):
            blind.append(self._log_p(unseen, part))
            gains.append(self._log_p(seen, part) - blind[-1])
        return _split([torch.cat(gains)], asked), _split([torch.cat(blind)], asked)

    def replies(self, vectors: Vectors, asked: Sequence[Question], told: Told) -> tuple[list[str], list[str]]:
        """Replies to questions about these vectors, and about the mean image."""
        found: tuple[list[str], list[str]] = ([], [])
        for part, *shown in _parts(vectors, asked, told):
            longest = max(question.max_tokens for question in part)
            texts = [question.text for question in part]
            for replies, those in zip(found, shown, strict=True):
                replies += self._model.answer_vectors(torch.from_numpy(those), texts, max_new_tokens=longest)
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _log_p(self, vectors: Vectors, asked: Sequence[Question]) -> torch.Tensor:
        """Mean log probability of the tokens of each option, one question after the other."""
        pairs = [(question.text, option) for question in asked for option in question.options]
        turns = [
            [{"from": "human", "value": f"{IMAGE}\n{text}"}, {"from": "gpt", "value": option}] for text, option in pairs
        ]
        shown = torch.from_numpy(vectors).repeat_interleave(_sizes(asked), dim=0)
        items = list(map(as_item, self._model.conversation_tokenizer()(turns), shown))
        batch = {name: part.to(self._model.device) for name, part in Collator(self._model.tokenizer)(items).items()}
        labels = batch.pop("labels")[:, 1:]
        logits = self._model(**batch).logits[:, :-1].float()
        losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE_INDEX, reduction="none")
        found: torch.Tensor = -losses.sum(dim=1) / (labels != IGNORE_INDEX).sum(dim=1)
        return found.cpu()


def _parts(
    vectors: Vectors, asked: Sequence[Question], told: Told
) -> Iterator[tuple[Sequence[Question], Vectors, Vectors]]:
    """Some questions at a time, with the vectors of their images, and as often the mean of all."""
    mean = vectors.mean(axis=0, keepdims=True)
    for start in range(0, len(asked), _NUM_ANSWERED):
        places = slice(start, start + _NUM_ANSWERED)
        part = asked[places]
        yield part, vectors[places], mean.repeat(len(part), axis=0)
        told(start + len(part))


def _sizes(asked: Sequence[Question]) -> torch.Tensor:
    return torch.tensor([len(question.options) for question in asked])


def _split(seeds: Sequence[torch.Tensor], asked: Sequence[Question]) -> Scores:
    found = torch.stack(list(seeds)).double()
    return [part.numpy() for part in found.split(_sizes(asked).tolist(), dim=1)]
