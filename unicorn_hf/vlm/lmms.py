"""The model for lmms-eval, which runs the standard benchmarks: see docs/train.md.

lmms-eval imports this module by an entry point of the group `lmms_eval.models`; nothing else does.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from PIL import Image
from tqdm import tqdm

from unicorn_hf.core.errors import InputError
from unicorn_hf.torch import Collator, Tokenized, as_item
from unicorn_hf.torch.chat_text import ChatTexts
from unicorn_hf.vlm.model import UnicornForConditionalGeneration

_SAMPLING = ("temperature", "top_p", "top_k")


def manifest() -> ModelManifest:
    """What lmms-eval registers: the name for `--model`, and the class."""
    return ModelManifest("unicorn", simple_class_path=f"{__name__}.{Unicorn.__qualname__}")


class _Question(NamedTuple):
    place: int
    text: str
    picture: Image.Image | None


class _Generation(NamedTuple):
    """How answers are generated: questions with equal values go into a batch."""

    stops: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]


class Unicorn(lmms):  # type: ignore[misc]
    """Answers the questions of tasks about one image or none, in batches.

    Of a task's `generation_kwargs` it takes `max_new_tokens`, `until`, `num_beams`, and for sampling `do_sample`,
    `temperature`, `top_p` and `top_k`; lmms-eval's tasks give others to other models. It samples if the temperature is
    above zero and `do_sample` is not false, and is greedy otherwise.

    Args:
        pretrained: a model's folder, or `ORG/NAME` on the Hub.
        image_statistics: a file of `unicorn-hf calibrate`, if neither set nor training had one.
        batch_size: number of questions in a batch.
        device: PyTorch's name of it. Default: a GPU if there is one.
        max_new_tokens: of an answer, if the task does not say.
        max_batch_size: of lmms-eval; ignored, since batches have a fixed size.
        options: for `UnicornForConditionalGeneration.from_pretrained`, such as `dtype`, `encoder` and `revision`.

    Raises:
        InputError: `batch_size` is no number, or there are no image statistics.
        OSError: there is no such model.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        image_statistics: str | None = None,
        batch_size: int | str = 1,
        device: str | None = None,
        max_new_tokens: int = 256,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise InputError(f"batch_size must be a number above zero, not {batch_size!r}")
        self._batch_size = int(batch_size)
        self._max_new_tokens = max_new_tokens
        # Of several processes, lmms-eval gathers what they have done on this device.
        own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device or own)
        self._model = UnicornForConditionalGeneration.from_pretrained(pretrained, **options).eval().to(self.device)
        if image_statistics:
            self._model.add_image_statistics(image_statistics)
        self._check_image_side()

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The answers to the requests, in their order.

        Raises:
            InputError: a question has several images, or a video or sound; or see `encode_pictures`.
        """
        answers = [""] * len(requests)
        waiting: dict[tuple[_Generation, bool], list[_Question]] = defaultdict(list)
        for place, request in enumerate(tqdm(requests, desc="Answering", disable=self.rank != 0)):
            text, asked, to_visual, number, task, split = request.args
            picture = _picture(to_visual(self.task_dict[task][split][number]), task)
            group = (self._generation(asked), picture is not None)
            waiting[group].append(_Question(place, text, picture))
            if len(waiting[group]) == self._batch_size:
                self._answer(waiting.pop(group), group[0], answers)
        for (generation, _), questions in waiting.items():
            self._answer(questions, generation, answers)
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Raises an InputError, as the next."""
        raise _other_output("the task asks for the likelihood of answers, but this model writes its own")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        raise _other_output("the task asks in several rounds, but this model answers one question")

    def _check_image_side(self) -> None:
        try:
            self._model.transfer.apply_image(np.eye(1, self._model.config.embed_dim, dtype=np.float32))
        except InputError as error:
            raise InputError(
                "the model has no image statistics, so an answer would depend on the other images of its batch",
                "Measure them on images like those of the task: unicorn-hf calibrate. "
                "Then add image_statistics=FILE to --model_args.",
            ) from error

    def _generation(self, asked: Mapping[str, Any]) -> _Generation:
        options: dict[str, Any] = {"max_new_tokens": asked.get("max_new_tokens", self._max_new_tokens)}
        temperature = asked.get("temperature")
        options["do_sample"] = temperature != 0 and bool(asked.get("do_sample", temperature))
        names = ("num_beams", *_SAMPLING) if options["do_sample"] else ("num_beams",)
        options |= {name: asked[name] for name in names if asked.get(name) is not None}
        until = asked.get("until") or ()
        return _Generation((until,) if isinstance(until, str) else tuple(until), tuple(options.items()))

    def _answer(self, questions: Sequence[_Question], generation: _Generation, answers: list[str]) -> None:
        options = dict(generation.options)
        texts = [question.text for question in questions]
        if pictures := [question.picture for question in questions if question.picture]:
            written = self._model.answer(pictures, texts, **options)
        else:
            written = self._answer_texts(texts, options)
        for question, answer in zip(questions, written, strict=True):
            answers[question.place] = _cut(answer, generation.stops)

    def _answer_texts(self, texts: Sequence[str], options: Mapping[str, Any]) -> list[str]:
        """Answer questions without an image: (texts,)."""
        tokenizer, items = self._model.tokenizer, []
        chats = ChatTexts(tokenizer)
        for text in texts:
            prompt = chats.write(["user"], [text], prompt=True).text
            ids = np.array(tokenizer(prompt, add_special_tokens=False).input_ids)
            items.append(as_item(Tokenized(ids, ids, np.zeros(len(ids), dtype=np.bool_)), torch.empty(0)))
        batch = Collator(tokenizer, padding_side="left")(items)
        prompts = {name: batch[name].to(self.device) for name in ("input_ids", "attention_mask")}
        written = self._model.generate(**prompts, **options)
        return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def _other_output(message: str) -> InputError:
    return InputError(message, "Choose a task with the output_type generate_until.")


def _picture(visuals: Any, task: str) -> Image.Image | None:
    found = list(visuals or ())
    if len(found) > 1:
        raise InputError(f"a question of {task} has {len(found)} images, but the model sees one")
    if not found:
        return None
    if not isinstance(found[0], Image.Image):
        raise InputError(f"a question of {task} is about a {type(found[0]).__name__}, but the model sees an image")
    return found[0]


def _cut(answer: str, stops: Sequence[str]) -> str:
    """The answer up to the first of the stops."""
    return min(chain([answer], (answer.partition(stop)[0] for stop in stops if stop)), key=len).strip()
