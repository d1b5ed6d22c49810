"""What benchmarks of training share: arms, the model that is trained, and the share of the image arm.

An arm is what a model is trained on. The model takes a vector of the encoder's space and says a text. Each text has a
prompt, which is given, and an answer, which is learned and scored.
"""

import multiprocessing
import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from unicorn_hf.evaluation.proxy import Rows, perceptron
from unicorn_hf.models.demo_models import demo_llm

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Answers = NDArray[np.bool_]
Job, Result = TypeVar("Job", bound=Hashable), TypeVar("Result")
IMAGES, BLIND, PAPERS = "images", "blind", "mean_shift"
PART_SIZE = 16
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


class LanguageModel:
    """A frozen causal language model; the vector becomes tokens between prompt and answer, from one layer on.

    The states of the texts below that layer are computed once: a token takes 2.3 kB. Probabilities are among the tokens
    of all answers: among the 49,152 of the model, the last layer would take as long as the others.
    """

    learning_rate = 1e-2

    def __init__(self, texts: Sequence[Text], batch_size: int = 32) -> None:
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
        # A few components are a hundred times as large: the standard deviation is theirs.
        self._scale = self._states.flat.abs().median()
        self._upper, self._words = whole.model, whole.lm_head.weight[said]
        self._upper.layers = self._upper.layers[LAYER:]
        self._upper.config.num_hidden_layers = len(self._upper.layers)

    def network(self, dim: int) -> torch.nn.Module:
        return perceptron(dim, NUM_TOKENS * self._states.flat.shape[1])

    def log_p(self, network: torch.nn.Module, vectors: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        tokens = self._scale * network(vectors).unflatten(1, (NUM_TOKENS, -1))
        # By length, in parts: half of one padded batch would be padding.
        order = self._ids.lengths[texts].argsort()
        parts = [self._log_p(tokens[part], texts[part]) for part in order.split(PART_SIZE)]
        return torch.cat(parts)[order.argsort()]

    def _log_p(self, tokens: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        text, mask = self._states.padded(texts)
        asked = self._is_answer.padded(texts)[0]
        seen = torch.cat([torch.ones(len(mask), NUM_TOKENS, dtype=torch.bool), mask], dim=1)
        states = self._upper(
            inputs_embeds=between(text, tokens, asked.int().argmax(dim=1)), attention_mask=seen.long(), use_cache=False
        ).last_hidden_state[:, NUM_TOKENS - 1 : -1]
        found = functional.cross_entropy(
            states[asked] @ self._words.T, self._place[self._ids.padded(texts)[0][asked]], reduction="none"
        )
        rows = torch.arange(len(texts))[:, None].expand(asked.shape)[asked]
        return torch.zeros(len(texts)).index_add(0, rows, -found) / asked.sum(dim=1)


def between(text: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Each row's tokens before this place of its text."""
    num_tokens, place = tokens.shape[1], torch.arange(text.shape[1] + tokens.shape[1])
    # Of the tokens and the text behind them: which is at each place.
    behind = place - places[:, None]
    order = torch.where(behind < 0, place + num_tokens, torch.where(behind < num_tokens, behind, place))
    return torch.cat([tokens, text], dim=1).gather(1, order[..., None].expand(-1, -1, text.shape[2]))


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

    The bootstrap draws pictures and seeds, the same for both arms. There is no interval if the reference guesses in one
    of its draws.
    """
    random = np.random.default_rng(2)
    num_seeds, num_pictures = arm.shape

    def of(seeds: Numbers, pictures: Numbers) -> float:
        one, other = (answers[np.ix_(seeds, pictures)].mean() for answers in (arm, reference))
        return 100 * (one - chance) / (other - chance) if other > chance else np.nan

    drawn = [
        of(random.integers(num_seeds, size=num_seeds), random.integers(num_pictures, size=num_pictures))
        for _ in range(NUM_BOOTSTRAPS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    whole = f"{of(np.arange(num_seeds), np.arange(num_pictures)):.0f} %"
    return whole if np.isnan(low) else f"{whole} [{low:.0f}, {high:.0f}]"
