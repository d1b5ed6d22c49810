"""What benchmarks of training share: arms, the model that is trained, and the share of the image arm.

An arm is what a model is trained on. The model takes a vector of the encoder's space and says a text. Each text has a
prompt, which is given, and an answer, which is learned and scored.
"""

import multiprocessing
import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from unicorn_hf.core.words import words
from unicorn_hf.models.demo_models import demo_llm
from unicorn_hf.torch.data import noisy

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Answers = NDArray[np.bool_]
Job, Result = TypeVar("Job", bound=Hashable), TypeVar("Result")
IMAGES, BLIND, PAPERS = "images", "blind", "mean_shift"
WIDTH, BATCH_SIZE, WEIGHT_DECAY = 512, 256, 0.05
LAYER, NUM_TOKENS, LLM = 24, 2, "smollm2-135m-instruct"
NUM_BOOTSTRAPS = 2000


@dataclass(frozen=True)
class Arm:
    name: str
    noise: float

    @property
    def title(self) -> str:
        return f"{self.name}, noise {self.noise:g}" if self.noise else self.name


def arms(names: Sequence[str]) -> list[Arm]:
    """Arms by names such as `none` and `none+0.5`. `images`, the reference, is always among them."""
    found = [Arm(transfer, float(noise or 0)) for transfer, _, noise in (name.partition("+") for name in names)]
    return found if Arm(IMAGES, 0) in found else [*found, Arm(IMAGES, 0)]


# -- The model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    prompt: str
    answer: str


class Model(Protocol):
    name: str
    batch_size: int
    learning_rate: float

    def network(self, dim: int) -> torch.nn.Module:
        """What is trained."""
        ...

    def log_p(self, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Mean log probability of the tokens of each row's answer, given its vector. Texts are numbers."""
        ...


class Bags:
    """An answer is its words, whatever their order; prompts count for nothing."""

    name, batch_size, learning_rate = "bags of words", BATCH_SIZE, 2e-3

    def __init__(self, texts: Sequence[Text]) -> None:
        answers = [words(text.answer) for text in texts]
        vocabulary = {word: number for number, word in enumerate(sorted({word for row in answers for word in row}))}
        self._shares = torch.zeros(len(answers), len(vocabulary))
        for number, answer in enumerate(answers):
            for word in answer:
                self._shares[number, vocabulary[word]] += 1 / len(answer)

    def network(self, dim: int) -> torch.nn.Module:
        return perceptron(dim, self._shares.shape[1])

    def log_p(self, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return (functional.log_softmax(network(vectors), dim=1) * self._shares[texts]).sum(dim=1)


class LanguageModel:
    """A frozen causal language model; the vector becomes tokens before the text, from one layer on.

    The states of the texts below that layer are computed once: a token takes 2.3 kB. Probabilities are among the tokens
    of all answers: among the 49,152 of the model, the last layer would take as long as the others.
    """

    name, learning_rate = LLM, 1e-3

    def __init__(self, texts: Sequence[Text], batch_size: int = 64) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.batch_size = batch_size
        folder = demo_llm(LLM)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
        prompts = tokenizer([text.prompt for text in texts]).input_ids
        answers = tokenizer([text.answer for text in texts]).input_ids
        ids = [torch.tensor([*prompt, *answer, tokenizer.eos_token_id])
               for prompt, answer in zip(prompts, answers, strict=True)]  # fmt: skip
        self._ids = Rows(ids)
        said = torch.unique(torch.cat([row[len(prompt) :] for row, prompt in zip(ids, prompts, strict=True)]))
        self._place = torch.zeros(len(tokenizer), dtype=torch.int64)
        self._place[said] = torch.arange(len(said))
        self._is_answer = Rows([
            torch.arange(len(row)) >= len(prompt) for row, prompt in zip(ids, prompts, strict=True)
        ])  # fmt: skip
        states: list[torch.Tensor] = []
        with torch.no_grad():
            for chosen in torch.arange(len(ids)).split(64):
                read, mask = self._ids.padded(chosen)
                found = whole.model(read, attention_mask=mask.long(), output_hidden_states=True).hidden_states[LAYER]
                states += [row[kept] for row, kept in zip(found, mask, strict=True)]
        self._states = Rows(states)
        self._scale = self._states.flat.std()
        self._upper, self._words = whole.model, whole.lm_head.weight[said]
        self._upper.layers = self._upper.layers[LAYER:]
        self._upper.config.num_hidden_layers = len(self._upper.layers)

    def network(self, dim: int) -> torch.nn.Module:
        return perceptron(dim, NUM_TOKENS * self._states.flat.shape[1])

    def log_p(self, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        tokens = self._scale * network(vectors).unflatten(1, (NUM_TOKENS, -1))
        text, mask = self._states.padded(texts)
        seen = torch.cat([torch.ones(len(mask), NUM_TOKENS, dtype=torch.bool), mask], dim=1)
        states = self._upper(
            inputs_embeds=torch.cat([tokens, text], dim=1), attention_mask=seen.long(), use_cache=False
        ).last_hidden_state[:, NUM_TOKENS - 1 : -1]
        asked = self._is_answer.padded(texts)[0]
        found = functional.cross_entropy(
            states[asked] @ self._words.T, self._place[self._ids.padded(texts)[0][asked]], reduction="none"
        )
        rows = torch.arange(len(texts))[:, None].expand(asked.shape)[asked]
        return torch.zeros(len(texts)).index_add(0, rows, -found) / asked.sum(dim=1)


class Rows:
    """Tensors whose first sizes differ, in one."""

    def __init__(self, rows: Sequence[torch.Tensor]) -> None:
        self.flat = torch.cat(list(rows))
        self._lengths = torch.tensor([len(row) for row in rows])
        self._starts = self._lengths.cumsum(0) - self._lengths

    def padded(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows as one tensor, with zeros behind the shorter ones; which places are filled."""
        filled = torch.arange(int(self._lengths[chosen].max())) < self._lengths[chosen][:, None]
        places = (self._starts[chosen][:, None] + torch.arange(filled.shape[1])).clamp(max=len(self.flat) - 1)
        found = self.flat[places]
        found[~filled] = 0
        return found, filled


def perceptron(dim: int, out: int) -> torch.nn.Module:
    first = torch.nn.Linear(dim, WIDTH)
    # The components of a unit vector are small: its sums have a variance of 1.
    torch.nn.init.normal_(first.weight)
    return torch.nn.Sequential(first, torch.nn.GELU(), torch.nn.Linear(WIDTH, out))


def trained(
    model: Model, rows: torch.Tensor, texts: torch.Tensor, noise: float, seed: int, steps: int
) -> torch.nn.Module:
    """The network that turns each of the rows into its text."""
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


# -- Processes --------------------------------------------------------------------------------------------------------

_RUN: Callable[[Any], Any]


def forked(run: Callable[[Job], Result], jobs: Sequence[Job]) -> dict[Job, Result]:
    """The result of each job, in a process for each core, which shares what this one has in memory.

    A thread each is faster than two threads on one small model after the other.
    """
    global _RUN
    torch.set_num_threads(1)
    _RUN = run
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        return dict(zip(jobs, pool.map(_run, jobs), strict=True))


def _run(job: Any) -> Any:
    return _RUN(job)


def processor_minutes() -> float:
    """Of this process and those that it has started."""
    used = os.times()
    return (used.user + used.system + used.children_user + used.children_system) / 60


# -- Figures ----------------------------------------------------------------------------------------------------------


def share(arm: Answers, reference: Answers, chance: float) -> str:
    """(arm - chance) / (reference - chance) with a 95 % interval, of right answers of the shape (seeds, pictures).

    The bootstrap draws pictures and seeds, the same for both arms.
    """
    random = np.random.default_rng(2)
    num_seeds, num_pictures = arm.shape

    def of(seeds: Numbers, pictures: Numbers) -> float:
        one, other = (answers[np.ix_(seeds, pictures)].mean() for answers in (arm, reference))
        return 100 * (one - chance) / (other - chance)

    drawn = [
        of(random.integers(num_seeds, size=num_seeds), random.integers(num_pictures, size=num_pictures))
        for _ in range(NUM_BOOTSTRAPS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{of(np.arange(num_seeds), np.arange(num_pictures)):.0f} % [{low:.0f}, {high:.0f}]"
