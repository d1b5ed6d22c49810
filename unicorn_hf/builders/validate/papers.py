"""Check a set's metadata against its data: `statistics.json`, `recipe.yaml` and the card."""

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from unicorn_hf.builders.figures import ConfigFacts, WordFacts
from unicorn_hf.builders.repository import CARD, RECIPE, STATISTICS
from unicorn_hf.builders.sketch import Sketch
from unicorn_hf.builders.validate.report import Findings, quoted
from unicorn_hf.core.errors import InputError, MissingPackageError
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.core.yaml_text import read_yaml
from unicorn_hf.reading.errors import PARQUET_ERRORS
from unicorn_hf.representations.figures import RepresentationFacts

_MAX_BYTES = 64 << 20
_FRONT_MATTER = re.compile(r"\s*---\n(.*?)\n---\n", re.DOTALL)
_UNREADABLE: tuple[type[Exception], ...] = (*PARQUET_ERRORS, RecursionError)


class Facts(BaseModel):
    """The checked part of `statistics.json`."""

    caption_words: WordFacts
    sketch: Sketch | None = None
    representations: RepresentationFacts
    pretrain: ConfigFacts
    instruction: ConfigFacts
    versions: dict[str, str] = {}

    def by_config(self) -> dict[str, ConfigFacts]:
        return {"pretrain": self.pretrain, "instruction": self.instruction}


def read_facts(folder: Path, findings: Findings) -> Facts | None:
    text = _text(folder, STATISTICS, findings)
    try:
        return Facts.model_validate_json(text) if text is not None else None
    except ValidationError as error:
        for detail in error.errors()[:3]:
            field = ".".join(map(str, detail["loc"])) or None
            findings.add("statistics", STATISTICS, f"not readable: {detail['msg']}", field=field)
        return None


def checked_recipe(folder: Path, findings: Findings) -> Recipe | None:
    if _text(folder, RECIPE, findings) is None:
        return None
    try:
        return read_recipe(folder / RECIPE)
    except MissingPackageError as error:
        findings.add("recipe", RECIPE, f"it requires a package that is not installed. {error.advice!a}")
        return None
    except InputError as error:
        findings.add("recipe", RECIPE, quoted(error.message.replace(str(folder), "")))
        return None


def check_recipe(recipe: Recipe, facts: Facts | None, num_rows: Mapping[str, int], findings: Findings) -> None:
    wanted = {"captions": ("pretrain", recipe.captions.num), "instructions": ("instruction", recipe.instructions.num)}
    for section, (config, number) in wanted.items():
        if number != num_rows[config]:
            message = f"{number:,}, but {config} has {num_rows[config]:,} rows"
            findings.add("counts", RECIPE, message, field=f"{section}.num")
    if facts:
        for package, version in recipe.plugins.items():
            if (theirs := facts.versions.get(package)) != version:
                message = f"{quoted(package)} {quoted(version)}, but {STATISTICS} says {quoted(theirs)}"
                findings.add("recipe", RECIPE, message, field="plugins")
        said = facts.representations
        for name, theirs in {"dtype": said.dtype, "transfer": said.transfer_asked or said.transfer}.items():
            if (ours := getattr(recipe.representations, name)) != theirs:
                message = f"{quoted(ours)}, but {STATISTICS} says {quoted(theirs)}"
                findings.add("recipe", RECIPE, message, field=f"representations.{name}")


class Card:
    """Check the card's metadata against the files. The body is not checked."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        self._folder, self._findings = folder, findings

    def check(
        self,
        shards: Mapping[str, list[str]],
        facts: Facts | None,
        schemas: Mapping[str, pa.Schema],
        num_rows: Mapping[str, int],
    ) -> None:
        from datasets.info import DatasetInfosDict
        from huggingface_hub import DatasetCardData

        metadata = self._read(_text(self._folder, CARD, self._findings))
        if metadata is None:
            return
        self._check_configs(metadata.get("configs"), shards)
        try:
            infos = DatasetInfosDict.from_dataset_card_data(DatasetCardData(dataset_info=metadata.get("dataset_info")))
        except _UNREADABLE as error:
            self._add(f"not readable by datasets: {quoted(str(error))}", "dataset_info")
            return
        for config, schema in schemas.items():
            if config not in infos:
                self._add(f"the config {config} is missing", "dataset_info")
                continue
            self._check_features(config, infos[config], schema)
            if facts:
                self._check_sizes(config, infos[config], facts.by_config()[config])
        for config, info in infos.items():
            # `datasets` requires the numbers to match.
            split = (info.splits or {}).get("train")
            if config in num_rows and (split is None or split.num_examples != num_rows[config]):
                said = "nothing" if split is None else f"{split.num_examples:,}"
                message = f"{said}, but the shards have {num_rows[config]:,} rows"
                self._findings.add("counts", CARD, message, field=f"dataset_info.{config}.splits.train.num_examples")

    def _read(self, text: str | None) -> dict[str, Any] | None:
        if text is None:
            return None
        if not (match := _FRONT_MATTER.match(text)):
            self._add("it does not start with metadata between two lines of ---", None)
            return None
        try:
            metadata, _ = read_yaml(match[1], "its metadata")
        except InputError as error:
            self._add(quoted(error.message), None)
            return None
        if not isinstance(metadata, dict):
            self._add("its metadata is not a mapping", None)
            return None
        return metadata

    def _check_configs(self, said: Any, shards: Mapping[str, list[str]]) -> None:
        from datasets.utils.metadata import MetadataConfigs
        from huggingface_hub import DatasetCardData

        try:
            configs = MetadataConfigs.from_dataset_card_data(DatasetCardData(configs=said))
            default = configs.get_default_config_name()
        except _UNREADABLE as error:
            self._add(f"not readable by datasets: {quoted(str(error))}", "configs")
            return
        if default != "pretrain":
            self._add("pretrain is not the default config", "configs")
        for config, files in shards.items():
            field = f"configs.{config}"
            if config not in configs:
                self._add("the config is missing", field)
            elif missing := [f for f in files if not any(fnmatch.fnmatch(f, p) for p in _patterns(configs[config]))]:
                self._add(f"its data_files omit {len(missing)} files, first {quoted(missing[0])}", field)

    def _check_features(self, config: str, info: Any, schema: pa.Schema) -> None:
        try:
            said = info.features.arrow_schema if info.features else pa.schema([])
        except _UNREADABLE as error:
            self._add(f"not readable by datasets: {quoted(str(error))}", f"dataset_info.{config}.features")
            return
        for name in dict.fromkeys([*schema.names, *said.names]):
            ours = schema.field(name).type if name in schema.names else None
            theirs = said.field(name).type if name in said.names else None
            if ours != theirs:
                message = f"{theirs or 'no such column'}, but in the shards: {ours or 'no such column'}"
                self._add(message, f"dataset_info.{config}.features.{name}")

    def _check_sizes(self, config: str, info: Any, facts: ConfigFacts) -> None:
        said = {"download_size": info.download_size, "dataset_size": info.dataset_size}
        wanted = {"download_size": facts.num_file_bytes, "dataset_size": facts.num_bytes}
        for name, number in wanted.items():
            if said[name] != number:
                message = f"{quoted(said[name])}, but {STATISTICS} says {number}"
                self._add(message, f"dataset_info.{config}.{name}")

    def _add(self, message: str, field: str | None) -> None:
        self._findings.add("card", CARD, message, field=field)


def _patterns(config: Mapping[str, Any]) -> list[str]:
    files = config.get("data_files")
    splits = files if isinstance(files, list) else [files]
    paths = [split.get("path") if isinstance(split, dict) else split for split in splits]
    return [path for item in paths for path in (item if isinstance(item, list) else [item]) if isinstance(path, str)]


def _text(folder: Path, name: str, findings: Findings) -> str | None:
    path = folder / name
    if not path.is_file():
        findings.add("missing_file", name, "it does not exist")
        return None
    if path.stat().st_size > _MAX_BYTES:
        findings.add("unreadable", name, f"larger than {_MAX_BYTES >> 20} MiB")
        return None
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        findings.add("unreadable", name, "not UTF-8 text")
        return None
