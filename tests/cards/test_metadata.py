"""The YAML holds what the Hub and `datasets` take, and nothing that a recipe's text put there."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.cards.samples import HOSTILE, Texts, examples, recipe, statistics
from unicorn_hf.cards.card import render_card
from unicorn_hf.cards.metadata import front_matter, size_category, source_datasets
from unicorn_hf.core.schemas import instruction, pretrain

KEYS = {
    "annotations_creators", "language_creators", "language", "license", "license_name", "pretty_name",
    "task_categories", "size_categories", "tags", "configs", "dataset_info",
}  # fmt: skip


def metadata(texts: Texts | None = None, **changes: Any) -> dict[str, Any]:
    found = yaml.safe_load(front_matter(recipe(texts, **changes), statistics(texts)))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_string(text: str) -> None:
    from huggingface_hub import DatasetCard

    texts = Texts.all(text).one("language", "en")
    card = render_card(recipe(texts), statistics(texts), examples(texts))
    found = DatasetCard(card)
    assert found.text.startswith("\n# ")
    data = yaml.safe_load(found.data.to_yaml())
    assert set(data) == KEYS
    without_title = {key: value for key, value in data.items() if key != "pretty_name"}
    assert without_title == {
        key: value for key, value in metadata(Texts(model="a folder")).items() if key != "pretty_name"
    }
    assert len(data["pretty_name"]) < 2000
    assert "\n" not in data["pretty_name"]


def test_the_model_is_named_where_the_hub_has_it() -> None:
    assert metadata()["base_model"] == "Org/Model"
    for model in ("demo:smollm2", "folder", "a/../b", "a/b/c"):
        assert "base_model" not in metadata(Texts(model=model))


def test_a_language_that_the_hub_does_not_take_stays_out_of_the_yaml() -> None:
    assert metadata(Texts(language="de"))["language"] == ["de"]
    assert "language" not in metadata(Texts(language="English, of course"))


def test_several_licences_are_other_and_have_a_name() -> None:
    found = metadata(Texts(license="no licence that anyone knows"))
    assert (found["license"], found["license_name"]) == ("other", "see-licenses-in-card")
    found = metadata(Texts(license="MIT"))
    assert found["license"] == "mit"
    assert "license_name" not in found


def test_data_sets_of_the_hub_are_named_as_sources() -> None:
    paths = ["org/captions", "coco", "org/captions", "./local", "/data/x", "../x", "a/b/c", "org/../x", "x\nlicense: y"]
    sources = [{"kind": "dataset", "path": path, "column": "caption"} for path in paths]
    made = recipe(seeds={"sources": sources})
    assert source_datasets(made) == ["org/captions", "coco"]
    assert yaml.safe_load(front_matter(made, statistics()))["source_datasets"] == ["org/captions", "coco"]
    assert "source_datasets" not in metadata()


def test_a_rehearsal_is_tagged() -> None:
    assert "rehearsal" in metadata(engine={"kind": "echo"})["tags"]
    assert "rehearsal" not in metadata()["tags"]


@pytest.mark.parametrize(
    ("num_rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (1_243_195, "1M<n<10M"),
        (999_999_999, "100M<n<1B"),
        (10**9, "n>1B"),
    ],
)
def test_sizes_have_the_hubs_names(num_rows: int, name: str) -> None:
    assert size_category(num_rows) == name


def test_features_are_those_of_the_published_schemas() -> None:
    from datasets import DatasetInfo

    infos = metadata()["dataset_info"]
    for info, schema in zip(infos, (pretrain(512, "float16"), instruction(512, "float16")), strict=True):
        loaded = DatasetInfo._from_yaml_dict(info)
        assert loaded.features is not None
        assert loaded.features.arrow_schema.remove_metadata().equals(schema)


@pytest.mark.parametrize("text", ["a plain title", HOSTILE[0]])
def test_plain_datasets_loads_a_folder_by_its_card(tmp_path: Path, text: str) -> None:
    from datasets import load_dataset

    texts = Texts(title=text, note=text)
    facts = statistics(texts).model_dump()
    for name, schema in (("pretrain", pretrain(4, "float16")), ("instruction", instruction(4, "float16"))):
        row = {**examples()[name], "image_embedding": [0.5] * 4}
        (tmp_path / name).mkdir()
        table = pa.table({field.name: [row[field.name]] for field in schema}, schema=schema)
        pq.write_table(table, tmp_path / name / "train-00000-of-00001.parquet")
        facts[name] |= {"num_rows": 1, "num_bytes": table.nbytes}
    facts["representations"]["dim"] = 4
    made = statistics(texts, **facts)
    (tmp_path / "README.md").write_text(render_card(recipe(texts), made, examples(texts)), encoding="utf-8")

    for config in ((), ("pretrain",), ("instruction",)):
        table = load_dataset(str(tmp_path), *config, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(table) == 1
        assert table.with_format("numpy")[0]["image_embedding"].shape == (4,)
        assert ("task" in table.column_names) == (config == ("instruction",))
        stream = load_dataset(str(tmp_path), *config, split="train", streaming=True)
        assert next(iter(stream))["caption"] == "A caption."
