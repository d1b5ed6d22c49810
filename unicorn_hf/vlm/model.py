"""The model: how it is made, saved, trained and asked."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import torch
from pydantic import BaseModel, PositiveInt, ValidationError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import cached_file

from unicorn_hf.cards.scores import Score
from unicorn_hf.core.encoder import parse_encoder, resolve_encoder
from unicorn_hf.core.errors import InputError, UnicornError
from unicorn_hf.core.messages import IMAGE
from unicorn_hf.core.model_source import DEMO
from unicorn_hf.core.problems import first_error
from unicorn_hf.core.published import TRANSFER_FILE
from unicorn_hf.encoders.towers.transformers_models import lacking_weights
from unicorn_hf.models.demo_models import demo_llm
from unicorn_hf.models.folders import model_license
from unicorn_hf.representations.pictures import on_white, public_name
from unicorn_hf.representations.transfer_file import TransferFile, add_images, transfer_path
from unicorn_hf.representations.transfers import Transfer
from unicorn_hf.torch import Collator, ConversationTokenizer, as_item, place_images
from unicorn_hf.vlm.card import model_card

if TYPE_CHECKING:
    from PIL.Image import Image

    from unicorn_hf.core.generation import ImageEncoder


_NAME_YOURS = "Name the same one here: --encoder of `evaluate`, or from_pretrained(..., encoder=...)."


class _Score(Score, extra="ignore"):
    """A newer version may have more figures."""


class _Facts(BaseModel):
    """What a configuration must hold; a stranger may have written it."""

    embed_dim: PositiveInt
    image_tokens: PositiveInt
    image_vectors: PositiveInt
    language_model: str
    license: str | None
    encoder: str
    datasets: list[str]
    training: list[dict[str, Any]]
    scores: list[_Score]


class UnicornConfig(PreTrainedConfig):  # type: ignore[misc]
    """The configuration of a model.

    Args:
        text_config: of the language model.
        embed_dim: dimension of the images' vectors.
        image_tokens: number of positions of an image in the language model's input.
        image_vectors: number of vectors that the projector makes of an image: one for each position, or 1 for all.
        options: the attributes below, and those of transformers.

    Attributes:
        language_model: name of the language model that the training began with.
        license: of that model, as its card says.
        encoder: name of the encoder, as in `representations.encoder` of a recipe.
        datasets: names of the data sets of the training: `ORG/NAME` on the Hub, or a folder's name.
        training: what each stage of the training did, for the model card.
        scores: results of `unicorn-hf evaluate`, for the model card.
    """

    model_type = "unicorn"
    sub_configs = {"text_config": AutoConfig}

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        embed_dim: int = 512,
        image_tokens: int = 1,
        image_vectors: int = 1,
        **options: Any,
    ) -> None:
        if not isinstance(text_config, PreTrainedConfig):
            text_config = AutoConfig.for_model(**(text_config or {"model_type": "llama"}))
        self.text_config = text_config
        self.embed_dim = embed_dim
        self.image_tokens = image_tokens
        self.image_vectors = image_vectors
        lists: dict[str, Any] = {name: [] for name in ("datasets", "training", "scores")}
        super().__init__(**{"language_model": "", "license": None, "encoder": "", **lists, **options})
        _Facts.model_validate({name: getattr(self, name) for name in _Facts.model_fields})


class Projector(nn.Module):  # type: ignore[misc]
    """Two layers with a GELU between them, as in LLaVA: (rows, dim) to (rows, hidden) or (rows, vectors, hidden)."""

    def __init__(self, dim: int, hidden: int, vectors: int = 1) -> None:
        super().__init__()
        self.first = nn.Linear(dim, hidden)
        self.second = nn.Linear(hidden, vectors * hidden)
        self._vectors = vectors

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        # The components of unit vectors are all near zero: scale them to a variance of 1.
        scaled = embeddings.to(self.first.weight.dtype) * embeddings.shape[-1] ** 0.5
        made = self.second(nn.functional.gelu(self.first(scaled)))
        return made if self._vectors == 1 else made.unflatten(-1, (self._vectors, -1))


class UnicornForConditionalGeneration(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A causal language model that sees an image as the projector's output at the image's positions.

    `from_pretrained` loads a folder that `save_pretrained` wrote, or a model of the Hub: the weights, the tokenizer and
    the transfer. All its options are transformers'; `encoder=...` names the encoder if it is in another place here: a
    folder or file that the model names as its encoder is not opened. No code of the model's repository is run.
    `forward` and `generate` take batches of `unicorn_hf.torch.Collator`.
    """

    config_class = UnicornConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True
    # Steps of 1e-5 are too small for weights in bfloat16, and the projector is small.
    _keep_in_fp32_modules_strict = ["projector"]

    def __init__(self, config: UnicornConfig, language_model: PreTrainedModel | None = None) -> None:
        if config.image_tokens < 1 or config.image_vectors not in (1, config.image_tokens):
            raise InputError(
                f"image_vectors is {config.image_vectors}, and image_tokens is {config.image_tokens}",
                "Use one vector for all positions of a picture (1), or one for each.",
            )
        super().__init__(config)
        self.language_model = language_model if language_model else AutoModelForCausalLM.from_config(config.text_config)
        hidden = self.language_model.get_input_embeddings().embedding_dim
        self.projector = Projector(config.embed_dim, hidden, config.image_vectors)
        self.tokenizer: Any = None
        self.transfer: Transfer
        self._transfer_file, self._encoder_id = b"", ""
        self._own_encoder: str | None = None
        self._encoder: Any = None
        self.post_init()

    @classmethod
    def from_language_model(
        cls,
        name: str,
        dataset: str | Path,
        *,
        image_tokens: int = 4,
        image_vectors: int | None = None,
        **options: Any,
    ) -> Self:
        """Make a model with a new projector, which a training has to follow.

        Args:
            name: a causal language model for transformers, or `demo:NAME`.
            dataset: folder of a built set, or `ORG/NAME` on the Hub: its encoder and transfer become the model's.
            image_tokens: see `UnicornConfig`.
            image_vectors: see `UnicornConfig`; the default is one for each position.
            options: for `from_pretrained` of the language model.

        Raises:
            InputError: there is no such model or set, or transformers cannot load the model.
            RunError: the Hub cannot be reached.
        """
        file = TransferFile.read(transfer_path(dataset))
        source = demo_llm(name.removeprefix(DEMO)) if name.startswith(DEMO) else name
        try:
            options = {"trust_remote_code": False, **options}
            language_model = AutoModelForCausalLM.from_pretrained(source, **options)
            hub = {"revision": options.get("revision", "main"), "trust_remote_code": options["trust_remote_code"]}
            tokenizer = AutoTokenizer.from_pretrained(source, **hub)
        except (OSError, ValueError) as error:
            raise InputError(f"transformers cannot load the language model {name}: {error}") from error
        # A copy, since a configuration writes into those that it holds.
        text_config = deepcopy(language_model.config)
        text_config._name_or_path = ""
        config = UnicornConfig(
            text_config=text_config,
            embed_dim=file.text.dim,
            image_tokens=image_tokens,
            image_vectors=image_vectors or image_tokens,
            language_model=public_name(name),
            license=model_license(name, options.get("revision")),
            encoder=file.facts.encoder,
            datasets=[public_name(dataset)],
        )
        model = cls(config, language_model)
        model.generation_config = language_model.generation_config
        model.tokenizer = tokenizer
        model._use_transfer(file.path)
        return model

    @classmethod
    def from_pretrained(cls, source: str | Path, *arguments: Any, **options: Any) -> Self:
        """Load a model; see the class.

        Raises:
            OSError: there is none.
            InputError: it cannot be loaded, or lacks weights, which transformers would initialise randomly.
        """
        hub = {key: options[key] for key in ("revision", "token", "cache_dir", "local_files_only") if key in options}
        encoder, tells_info = options.pop("encoder", None), options.pop("output_loading_info", False)
        try:
            model, info = super().from_pretrained(source, *arguments, output_loading_info=True, **options)
            if lacking := lacking_weights(info):
                raise InputError(f"{source} lacks {len(lacking)} weights: {', '.join(lacking[:3])}")
            # Without `trust_remote_code=False`, transformers asks the user whether to run the repository's code.
            model.tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **hub)
            model._use_transfer(Path(cached_file(source, TRANSFER_FILE, **hub)))
        except (OSError, UnicornError):
            raise
        except Exception as error:
            said = first_error(error) if isinstance(error, ValidationError) else error
            raise InputError(f"{source} cannot be loaded as a model of unicorn-hf: {said}") from error
        model._own_encoder = encoder
        return (model, info) if tells_info else model  # type: ignore[return-value]

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **options: Any) -> None:
        """Write weights, configuration, tokenizer, transfer and model card to a folder, with transformers' options."""
        if options.pop("push_to_hub", False):
            raise InputError("save_pretrained does not push", "Use push_to_hub.")
        super().save_pretrained(save_directory, *arguments, **options)
        self.tokenizer.save_pretrained(save_directory)
        Path(save_directory, TRANSFER_FILE).write_bytes(self._transfer_file)
        Path(save_directory, "README.md").write_text(model_card(self.config), encoding="utf-8")

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None, **options: Any
    ) -> Any:
        """Publish the model, in one commit, and return its CommitInfo; the card replaces an existing one.

        The card links the sets in `config.datasets` that are named `ORG/NAME`; set it if you trained on a folder.

        Args:
            repo_id: `ORG/NAME`; the repository is created if necessary.
            private: whether a new repository is private.
            token: of the Hub.
            options: for `HfApi.upload_folder`, such as `revision`, `create_pr`, `commit_message`.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)

    def get_output_embeddings(self) -> nn.Module:
        """The language model's, to which no adapter belongs."""
        return self.language_model.get_output_embeddings()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        embeddings: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        """The language model's output, with the loss if there are labels; without `embeddings`, for text alone."""
        words = self._words(input_ids, image_mask, embeddings)
        return self.language_model(inputs_embeds=words, attention_mask=attention_mask, labels=labels, **options)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        embeddings: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        """The new tokens for a batch that is padded on the left; the options are those of the language model."""
        words = self._words(input_ids, image_mask, embeddings)
        self.language_model.generation_config = self.generation_config
        return self.language_model.generate(inputs_embeds=words, attention_mask=attention_mask, **options)

    def _words(
        self, input_ids: torch.Tensor, image_mask: torch.Tensor | None, embeddings: torch.Tensor | None
    ) -> torch.Tensor:
        words = self.get_input_embeddings()(input_ids)
        if embeddings is None or image_mask is None:
            return words
        return place_images(words, image_mask, self.projector(embeddings))

    def add_dataset(self, dataset: str | Path) -> None:
        """Add a set of the training to the configuration, and so to the model card.

        Raises:
            InputError: there is no such set, or its vectors are of another encoder or transfer than the model's.
        """
        facts = TransferFile.read(transfer_path(dataset)).facts
        if (facts.encoder_id, facts.transfer) != (self._encoder_id, self.transfer.name):
            raise InputError(
                f"the vectors of {dataset} ({facts.encoder}, {facts.transfer}) are not in the model's space",
                f"Its own are of {self.config.encoder}, {self.transfer.name}.",
            )
        self.config.datasets = list(dict.fromkeys([*self.config.datasets, public_name(dataset)]))

    def add_image_statistics(self, file: str | Path) -> None:
        """Give a transfer without image side that of a file of `unicorn-hf calibrate`; see `encode_pictures`.

        Raises:
            InputError: the transfer has an image side, or the file is of another encoder.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder, TRANSFER_FILE)
            path.write_bytes(self._transfer_file)
            add_images(path, Path(file).expanduser())
            self._use_transfer(path)

    def conversation_tokenizer(self, max_length: int | None = None) -> ConversationTokenizer:
        """Tokenises conversations for this model."""
        return ConversationTokenizer(self.tokenizer, image_tokens=self.config.image_tokens, max_length=max_length)

    def encode_pictures(self, pictures: "Sequence[Image]") -> torch.Tensor:
        """The vectors of images by the encoder's image side and the transfer: (images, dim), float32.

        The encoder is loaded at the first call. If the transfer has no image statistics, it subtracts the mean of these
        pictures: pass many at once.

        Raises:
            InputError: there is no such encoder here, the model names a file as its encoder, it has no image side, it
                is another one than that of the set, or the transfer has no image statistics and there is only one
                image.
            RunError: the encoder cannot be loaded.
        """
        vectors = self.image_encoder()[0].encode([on_white(picture) for picture in pictures])
        return torch.from_numpy(self.transfer.apply_image(vectors)).to(self.device)

    def image_encoder(self) -> tuple["ImageEncoder", str]:
        """The image side of the encoder, loaded at the first call, and the fingerprint of its model.

        Raises:
            InputError, RunError: see `encode_pictures`.
        """
        if self._encoder is None:
            name = self._own_encoder or self.config.encoder
            if not self._own_encoder and parse_encoder(name).names_file:
                raise InputError(f"the model names a file of this machine as its encoder: {name}", _NAME_YOURS)
            encoder = resolve_encoder(name, batch_size=32)
            if encoder.identity != self._encoder_id:
                raise InputError(
                    f"the encoder {encoder.name} here is not the one that the model was trained with", _NAME_YOURS
                )
            self._encoder = encoder.open_images()
        return self._encoder, self._encoder_id

    def prompts(self, questions: Sequence[str]) -> dict[str, torch.Tensor]:
        """A batch of questions, up to the start of the answer and padded on the left, without embeddings."""
        tokenize = self.conversation_tokenizer()
        texts = [question if IMAGE in question else f"{IMAGE}\n{question}" for question in questions]
        items = [as_item(tokenize.prompt([{"from": "human", "value": text}]), torch.empty(0)) for text in texts]
        batch = Collator(self.tokenizer, padding_side="left")(items)
        return {name: batch[name].to(self.device) for name in ("input_ids", "attention_mask", "image_mask")}

    def answer_vectors(self, embeddings: torch.Tensor, questions: Sequence[str], **options: Any) -> list[str]:
        """Answer a question about each vector.

        Args:
            embeddings: from `encode_pictures`, or of a set: (rows, dim).
            questions: one for each vector, with or without `<image>`.
            options: of `generate`, which is greedy by default.
        """
        batch = {**self.prompts(questions), "embeddings": embeddings.to(self.device)}
        answers = self.generate(**batch, **{"do_sample": False, **options})
        return [text.strip() for text in self.tokenizer.batch_decode(answers, skip_special_tokens=True)]

    def answer(self, pictures: "Sequence[Image]", questions: Sequence[str], **options: Any) -> list[str]:
        """Answer a question about each image; see `encode_pictures` and `answer_vectors`."""
        return self.answer_vectors(self.encode_pictures(pictures), questions, **options)

    def _use_transfer(self, file: Path) -> None:
        read = TransferFile.read(file)
        self.transfer, self._transfer_file, self._encoder_id = read.transfer, file.read_bytes(), read.facts.encoder_id
