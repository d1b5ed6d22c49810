"""Cards that name what is not of their data set."""

from pathlib import Path

import pytest
import yaml

from unicorn_hf import InputError
from unicorn_hf.runtime.dataset_card import check_data_files

OUTSIDE = [
    "/etc/passwd",
    "~/.ssh/id_rsa",
    "../other/*.parquet",
    "data/../../x.csv",
    "https://example.org/x.parquet",
    "hf://datasets/org/other/x.parquet",
    "zip://x.csv::https://example.org/x.zip",
    "C:\\Users\\me\\x.csv",
    "file:///etc/passwd",
]


def card(folder: Path, metadata: object) -> str:
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(metadata)}---\n# A set\n")
    return str(folder)


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize(
    "form",
    [
        lambda path: {"configs": [{"config_name": "a", "data_files": path}]},
        lambda path: {"configs": [{"config_name": "a", "data_files": [{"split": "train", "path": [path]}]}]},
        lambda path: {"configs": [{"config_name": "a", "data_dir": path}]},
        lambda path: {"data_files": {"train": path}},
    ],
    ids=["text", "splits", "folder", "top"],
)
def test_it_is_refused_by_name(path: str, form: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file of the data set"):
        check_data_files(card(tmp_path, form(path)))  # type: ignore[operator]


def test_the_other_file_that_datasets_obeys_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / ".huggingface.yaml").write_text(yaml.safe_dump({"configs": [{"data_files": "/etc/passwd"}]}))
    with pytest.raises(InputError, match="/etc/passwd"):
        check_data_files(str(tmp_path))


@pytest.mark.parametrize(
    "metadata",
    [
        {"configs": [{"config_name": "a", "data_files": "pretrain/*.parquet"}], "license": "mit"},
        {"configs": [{"config_name": "a", "data_files": [{"split": "train", "path": "data/train-*"}]}]},
        {"language": "en", "link": "https://example.org"},
        [],
        None,
    ],
)
def test_files_of_the_data_set_are_fine(metadata: object, tmp_path: Path) -> None:
    check_data_files(card(tmp_path, metadata))


@pytest.mark.parametrize(
    "text",
    [
        "---\n{[\n---\n",
        "---\n- *a\n---\n",
        "---\nconfigs: 2001-02-30\n---\n",
        "---\nconfigs: &a [*a]\n---\n",
        "---\nconfigs: []\nconfigs: [{data_files: /x}]\n---\n",
    ],
)
def test_a_card_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(InputError, match="not valid YAML"):
        check_data_files(str(tmp_path))


@pytest.mark.parametrize("text", ["", "---", "no metadata"])
def test_what_is_no_card_is_left_to_datasets(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    check_data_files(str(tmp_path))
    check_data_files(str(tmp_path / "nowhere"))


def test_the_metadata_end_where_datasets_has_them_end(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nname: x\n---b: 1\nconfigs:\n- data_files: /etc/passwd\n---\n")
    with pytest.raises(InputError, match="/etc/passwd"):
        check_data_files(str(tmp_path))
