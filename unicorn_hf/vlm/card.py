"""The model card: which sets, which encoder, which training."""

from pathlib import Path
from typing import Any

from unicorn_hf.cards.formats import template
from unicorn_hf.cards.licenses import hub_id
from unicorn_hf.cards.text import as_text
from unicorn_hf.core.model_source import is_hub_name

_TEMPLATE = Path(__file__).with_name("card.md.j2")


def model_card(config: Any) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=config.language_model if _on_hub(config.language_model) else None,
        datasets=[name for name in config.datasets if _on_hub(name)] or None,
        library_name="unicorn-hf",
        license=hub_id(config.license) if config.license else None,
        pipeline_tag="image-text-to-text",
        tags=["unicorn", "unicorn-hf", "vision-language"],
    )
    columns = list(dict.fromkeys(name for stage in config.training for name in stage if name != "stage"))
    filters = {"text": lambda value: str(value) if isinstance(value, int | float) else as_text(str(value))}
    metadata = data.to_yaml(line_break="\n")
    return template(_TEMPLATE, filters, autoescape=False).render(metadata=metadata, config=config, columns=columns)


def _on_hub(name: str) -> bool:
    return "/" in name and is_hub_name(name)
