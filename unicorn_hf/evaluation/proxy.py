"""A proxy of a language model: a small network that says the words of a text about a vector, in no order.

It is trained in seconds, and ranks sets and transfers as a language model does: see docs/proof.md.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional

from unicorn_hf.core.words import words
from unicorn_hf.torch.data import noisy

WIDTH, BATCH_SIZE, WEIGHT_DECAY = 512, 256, 0.05
NUM_WORDS = 8192


class Model(Protocol):
    """A model that says texts about vectors. Texts are numbers: their places in a list that the model knows."""

    batch_size: int
    learning_rate: float

    def network(self, dim: int) -> torch.nn.Module:
        """What is trained."""
        ...

    def log_p(self, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Mean log probability of the words of each row's text, given its vector: (rows)."""
        ...


class Bags:
    """The proxy. A text is its words, whatever their order.

    Args:
        texts: those that are learned, then those that are asked.
        num_learned: the number of the former; None: all. Their `NUM_WORDS` most frequent words are known. Other words
            count for nothing, and a text without a known word has a log probability of 0.
    """

    batch_size, learning_rate = BATCH_SIZE, 2e-3

    def __init__(self, texts: Sequence[str], num_learned: int | None = None) -> None:
        bags = [words(text) for text in texts]
        counts = Counter(word for bag in bags[:num_learned] for word in bag)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        numbers = {word: number for number, word in enumerate(ranked[:NUM_WORDS])}
        self._num_words = len(numbers)
        self._words = Rows([torch.tensor([numbers[word] for word in bag if word in numbers]) for bag in bags])

    def network(self, dim: int) -> torch.nn.Module:
        return perceptron(dim, self._num_words)

    def log_p(self, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        numbers, filled = self._words.padded(texts)
        found = functional.log_softmax(network(vectors), dim=1).gather(1, numbers.long())
        return (found * filled).sum(dim=1) / filled.sum(dim=1).clamp(min=1)


class Rows:
    """Tensors whose first sizes differ, in one."""

    def __init__(self, rows: Sequence[torch.Tensor]) -> None:
        self.flat = torch.cat(list(rows))
        self.lengths = torch.tensor([len(row) for row in rows])
        self._starts = self.lengths.cumsum(0) - self.lengths

    def padded(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows as one tensor, with zeros behind the shorter ones; which places are filled."""
        filled = torch.arange(int(self.lengths[chosen].max())) < self.lengths[chosen][:, None]
        places = (self._starts[chosen][:, None] + torch.arange(filled.shape[1])).clamp(max=len(self.flat) - 1)
        found = self.flat[places]
        found[~filled] = 0
        return found, filled


def perceptron(dim: int, out: int) -> torch.nn.Module:
    """Two layers that take unit vectors."""
    first = torch.nn.Linear(dim, WIDTH)
    # The components of a unit vector are small: its sums have a variance of 1.
    torch.nn.init.normal_(first.weight)
    return torch.nn.Sequential(first, torch.nn.GELU(), torch.nn.Linear(WIDTH, out))


def trained(
    model: Model, rows: torch.Tensor, texts: torch.Tensor, noise: float, seed: int, steps: int
) -> torch.nn.Module:
    """Train a network to say the texts of rows.

    Args:
        rows: unit vectors, float32: (rows, dim).
        texts: the text of each row: (rows).
        noise: norm of the noise that is added to vectors, drawn anew in each step.
        seed: of the initial weights, the order of rows, and the noise.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = model.network(rows.shape[1])
        optimizer = torch.optim.AdamW(network.parameters(), model.learning_rate, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, model.learning_rate, total_steps=steps)
        for _ in range(steps):
            chosen = torch.randint(len(rows), (model.batch_size,))
            loss = -model.log_p(network, noisy(rows[chosen], noise), texts[chosen]).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def said(model: Model, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Mean log probability of texts (rows, choices), each for its row's vector."""
    pairs = [
        model.log_p(network, vectors[start : start + BATCH_SIZE].repeat_interleave(texts.shape[1], dim=0), part.ravel())
        for start, part in zip(range(0, len(texts), BATCH_SIZE), texts.split(BATCH_SIZE), strict=True)
    ]
    return torch.cat(pairs).reshape(texts.shape)


def prior(model: Model, network: torch.nn.Module, rows: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Mean log probability of each text for the mean of the rows that were trained on."""
    return said(model, network, rows.mean(dim=0).expand(len(texts), -1), texts[:, None])[:, 0]
