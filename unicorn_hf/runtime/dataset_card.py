"""Check which files a data set's card makes `datasets` read: the card is untrusted, and `datasets` opens any path."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.yaml_text import read_yaml

_CARDS = ("README.md", ".huggingface.yaml")
_KEYS = ("configs", "data_files", "data_dir")
"""Keys that name data files: the paths are among the strings below them."""
_OUTSIDE = re.compile(r"^[/\\~]|^[A-Za-z]:|://|::|(^|[/\\])\.\.([/\\]|$)")


def check_data_files(source: str, revision: str | None = None) -> None:
    """Check that the card of a data set names only files of the data set.

    Call it before `datasets.load_dataset`, which also opens absolute paths and URLs that a card names. A card that
    cannot be read here is left to `datasets`, which reports why.

    Args:
        source: a folder, or `ORG/NAME` on the Hub.
        revision: of the repository.

    Raises:
        InputError: the card names other files, or is not YAML.
    """
    for name in _CARDS:
        text = _text(source, name, revision)
        metadata = _metadata(text, source, whole=name.endswith(".yaml"))
        keys = _KEYS if isinstance(metadata, dict) else ()
        for path in _texts([metadata.get(key) for key in keys]):
            if _OUTSIDE.search(path):
                raise InputError(
                    f"the card of {source} names {path!r} as data, which is not a file of the data set",
                    "Do not load it: the card tries to open a file or an address outside the data set.",
                )


def _text(source: str, name: str, revision: str | None) -> str:
    try:
        folder = Path(source).expanduser()
        if folder.is_dir():
            return (folder / name).read_text("utf-8")
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(source, name, repo_type="dataset", revision=revision)).read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _metadata(text: str, source: str, *, whole: bool) -> Any:
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    # The pattern that `datasets` uses: another one could find other text.
    matter = text if whole else match[2] if (match := REGEX_YAML_BLOCK.search(text)) else ""
    return read_yaml(matter, f"the card of {source}")[0]


def _texts(value: Any) -> Iterator[str]:
    """All strings in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
