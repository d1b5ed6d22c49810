"""The site builds, strictly, and asks nothing of any other server."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

DECISIONS = ROOT / "docs" / "decisions"
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
# What a browser fetches by itself, as opposed to links that a reader follows.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


class Fetched(HTMLParser):
    """Addresses that a page makes a browser fetch, and scripts that stand in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get(FETCHED.get(tag, ""))
        if address and found.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_docs_is_in_it(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT / "docs").with_suffix("")
        folder = page.parent if page.name in ("index", "README") else page
        assert (site / folder / "index.html").is_file(), path


def test_decisions_are_listed_on_one_page_alone(site: Path) -> None:
    listed = (site / "decisions" / "index.html").read_text(encoding="utf-8")
    for record in RECORDS:
        assert f'href="{record.stem}/"' in listed, record
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="decisions/"' in home
    assert not any(record.stem in home for record in RECORDS)


def test_a_decision_has_a_number_of_its_own_and_missing_ones_are_explained() -> None:
    numbers = []
    for record in RECORDS:
        heading = record.read_text(encoding="utf-8").partition("\n")[0]
        numbers.append(int(record.name[:4]))
        assert heading.startswith(f"# {numbers[-1]}. "), record
    assert len(set(numbers)) == len(numbers)
    missing = [str(number) for number in range(1, max(numbers)) if number not in numbers]
    explained = re.search(r"under the numbers? ([\d, and]+)\.", (DECISIONS / "README.md").read_text(encoding="utf-8"))
    assert re.findall(r"\d+", explained[1] if explained else "") == missing


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        for address in Fetched(page.read_text(encoding="utf-8")).addresses:
            assert not re.match(r"(?:https?:)?//", address), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_the_reference_is_made_of_the_code(site: Path) -> None:
    from unicorn_hf import __all__ as public

    api = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name in public:
        assert f'id="unicorn_hf.{name}"' in api, name
    assert "folder to publish, by an atomic rename at the end" in " ".join(api.split())
    commands = (site / "cli" / "index.html").read_text(encoding="utf-8")
    assert "--image-statistics" in commands
    settings = (site / "recipe" / "index.html").read_text(encoding="utf-8")
    assert all(name in settings for name in ("gpu_memory_utilization", "max_rejected", "rows_per_shard"))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_beside_the_site_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link
