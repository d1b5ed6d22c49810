"""Code that changes, or that something it imports changes with, has another identity."""

from pathlib import Path

import pytest

from unicorn_hf.core.source import source_identity

FILES = {
    "shop/__init__.py": "",
    "shop/till/__init__.py": "from shop.till import coins\n",
    "shop/till/coins.py": "import shop.words\nif TYPE_CHECKING:\n    import shop.street\n",
    "shop/till/notes.py": "",
    "shop/till/prices.txt": "1",
    "shop/words/__init__.py": "def late():\n    import shop.street\n",
    "shop/words/list.yaml": "a: b",
    "shop/street.py": "",
}


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("shop/till/coins.py", True),
        ("shop/till/notes.py", True),
        ("shop/till/prices.txt", True),
        ("shop/words/__init__.py", True),
        ("shop/words/list.yaml", True),
        ("shop/street.py", False),
        ("shop/__init__.py", False),
    ],
)
def test_what_a_module_depends_on_counts(changed: str, counts: bool, tmp_path: Path) -> None:
    identities = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text + ("\n# changed" if folder.name == "other" and name == changed else ""))
        identities.append(source_identity("shop.till", root=folder / "shop"))
    assert (identities[0] != identities[1]) == counts


def test_a_name_of_no_module_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no module shop\.cellar"):
        source_identity("shop.cellar", root=tmp_path / "shop")
