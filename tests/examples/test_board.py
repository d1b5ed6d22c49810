"""The board of 200 imitated sets on the Hub of the tests, some of them broken, huge or hostile, in a real browser."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cards.samples import recipe, statistics
from tests.docs.blocks import ROOT
from tests.examples.board_sets import ENCODERS, SETTINGS, files_of, publish
from tests.hub.fixtures import HubClient
from tests.hub.server import Fault, HubServer
from tests.views.report.browser import PHONE, browser, opened

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "examples" / "board" / "board.py"
NUM_SETS = 200
DRAWN = "() => document.querySelectorAll('#table .open').length > 0"
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
MAX_BYTES = 3_000_000
MAX_OPENING_MS = 2_000


class Board(NamedTuple):
    file: Path
    hub: HubServer
    told: str
    well: list[str]
    broken: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        found = re.search(r'id="data">(.*?)</script>', self.file.read_text(encoding="utf-8"), re.DOTALL)
        assert found
        rows: list[dict[str, Any]] = json.loads(found[1])["rows"]
        return rows


def made(client: HubClient, out: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, SCRIPT, "--out", out, *arguments]
    return subprocess.run(
        [*map(str, command)], env=client.environment(), cwd=client.home, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("board")
    with HubServer().running() as hub:
        well, broken = publish(hub, NUM_SETS)
        done = made(HubClient(hub, folder), folder / "index.html")
        assert done.returncode == 0, done.stderr
        yield Board(folder / "index.html", hub, done.stdout + done.stderr, well, broken)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser, board: Board) -> Iterator[Page]:
    with opened(chromium, board.file, drawn=DRAWN, **DESKTOP) as page:
        yield page


def first_column(page: Page) -> list[str]:
    return page.locator("#table .open").all_inner_texts()


def values(page: Page, label: str) -> list[str]:
    cells = page.locator(f"#table td[data-label='{label}']")
    found: list[str] = cells.evaluate_all("(all) => all.map((one) => one.querySelector('.value')?.textContent ?? '')")
    return found


def test_it_lists_every_public_set_and_downloads_two_small_files_of_each(board: Board) -> None:
    assert {row["name"] for row in board.rows} == set(board.well)
    assert f"{len(board.well)} sets, and {len(board.broken)} that cannot be read" in board.told
    files = {re.sub(r".*/resolve/[^/]+/", "", seen.path) for seen in board.hub.seen if "/resolve/" in seen.path}
    assert files == {"statistics.json", "recipe.yaml"}
    assert not any(
        f"/{name}/resolve" in seen.path for seen in board.hub.seen for name in ("huge", "recipe-huge", "gated")
    )


def test_pictures_have_one_axis_and_wide_bins_count_in_equal_parts(board: Board) -> None:
    (row,) = [row for row in board.rows if row["name"] == "hostile/set-0"]
    # 871 captions of 40 to 139 words, and 129 of 140 to 239; the last place is for 240 and more.
    assert row["lengths"] == [0] * 4 + [100] * 10 + [15] * 10 + [0]


def test_a_second_run_downloads_nothing_again(board: Board, tmp_path: Path) -> None:
    before = board.hub.count("GET", "/resolve/")
    done = made(HubClient(board.hub, board.file.parent), tmp_path / "index.html")
    assert done.returncode == 0, done.stderr
    assert board.hub.count("GET", "/resolve/") == before


def test_a_set_that_cannot_be_read_is_named_with_the_reason(page: Page, board: Board) -> None:
    page.locator("#left-out summary").click()
    told = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
    assert sorted(told) == sorted(board.broken)
    for name, reason in {
        "no-statistics": "it has no statistics.json",
        "huge": "statistics.json has 3,",
        "newer": "was made by unicorn-hf 99.0",
        "number": "not a plausible number",
        "negative": "not a plausible number",
        "more-than-all": "a share is not between 0 and 1",
        "score": "proof.0.accuracy: Input should be less than or equal to 100",
        "not-a-number": "not a plausible number",
        "gated": "its files are gated",
        "sketch": "sketch.captions: Value error, a sample has 2,048 hashes at most",
        "text": "too much text",
        "recipe-code": "is damaged",
    }.items():
        assert reason in told[f"broken/{name}"]
    assert not any(str(board.file.parent) in reason for reason in told.values())


def test_it_is_small_and_opens_quickly(chromium: Browser, board: Board) -> None:
    assert board.file.stat().st_size < MAX_BYTES
    with opened(chromium, board.file, drawn=DRAWN, **DESKTOP) as page:
        opening_ms = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert 0 < opening_ms < MAX_OPENING_MS


def test_it_is_searched_and_filtered(page: Page, board: Board) -> None:
    name = board.well[3]
    page.get_by_label("Search").fill(name.upper())
    expect(page.locator("#count")).to_contain_text(re.compile(rf"^\d+ of {len(board.well)} sets"))
    assert name in first_column(page)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#count")).to_have_text(f"{len(board.well)} sets")
    page.locator("#encoder").select_option(ENCODERS[1])
    page.locator("#size").select_option("10000")
    wanted = [row for row in board.rows if row["encoder"] == ENCODERS[1] and row["captions"] >= 10_000]
    expect(page.locator("#count")).to_have_text(f"{len(wanted)} of {len(board.well)} sets")
    page.get_by_label("Search").fill("nothing has this text")
    expect(page.locator("#count")).to_contain_text("No set matches")


def test_it_is_sorted_by_heads_and_by_the_list_with_unknown_values_last(page: Page, board: Board) -> None:
    page.locator("#table thead").get_by_role("button", name="Captions").click()
    largest = sorted((row["captions"] for row in board.rows), reverse=True)[:50]
    assert values(page, "Captions") == [f"{number:,}" for number in largest]
    page.get_by_role("button", name="descending").click()
    assert values(page, "Captions")[0] == f"{min(row['captions'] for row in board.rows):,}"
    expect(page.locator("th[data-key='captions']")).to_have_attribute("aria-sort", "ascending")
    for descending in (False, True):
        page.get_by_label("Sort by").select_option("gap") if not descending else page.locator("#order").click()
        while page.locator("#more").is_visible():
            page.locator("#more").click()
        gaps = values(page, "Gap")
        known = [float(gap) for gap in gaps if gap]
        assert known == sorted(known, reverse=descending)
        assert not any(gaps[len(known) :])


@pytest.mark.parametrize("width", [800, 1280, 1440, 1920])
def test_no_figure_is_cut(chromium: Browser, board: Board, width: int) -> None:
    with opened(chromium, board.file, drawn=DRAWN, viewport={"width": width, "height": 900}) as page:
        while page.locator("#more").is_visible():
            page.locator("#more").click()
        cut = """(all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"""
        for cells in ("#table td.number", "#table td.number .second", "#table th"):
            assert page.locator(cells).evaluate_all(cut) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_scores_of_different_settings_are_never_in_one_column(page: Page, board: Board) -> None:
    for setting in page.locator("#setting option").evaluate_all("(all) => all.slice(0, 2).map((one) => one.value)"):
        assert setting.startswith((SETTINGS[0][0], SETTINGS[1][0]))
        page.get_by_role("button", name="Clear").click()
        page.locator("#setting").select_option(setting)
        page.get_by_label("Sort by").select_option("score")
        best = sorted(
            (share for row in board.rows for name, share, _ in row["scores"] if name == setting), reverse=True
        )
        shown = [text for text in values(page, "Score") if text]
        assert shown == [f"{share:.1f} %" for share in best[:50]][: len(shown)]
        assert len(shown) == min(len(best), 50)
        page.get_by_label("Sort by").select_option("name")


def test_a_row_opens_to_its_figures_load_line_and_lineage(page: Page, board: Board) -> None:
    child = next(row for row in board.rows if row["parent"] in board.well and row["parent"].startswith("maker"))
    page.get_by_label("Search").fill(child["name"])
    page.locator("#table .open", has_text=re.compile(rf"^{child['name']}$")).press("Enter")
    detail = page.locator("#table .detail")
    expect(detail.locator("pre").first).to_contain_text(f'load_dataset("{child["name"]}"')
    expect(detail.get_by_role("link")).to_have_attribute("href", f"{board.hub.url}/datasets/{child['name']}")
    expect(detail.locator(".tree strong")).to_have_text(child["name"])
    expect(detail.locator("svg.big")).to_be_visible()
    page.locator(".tree").get_by_role("button", name=child["parent"], exact=True).click()
    expect(page.get_by_label("Search")).to_have_value("")
    expect(page.locator("#count")).to_have_text(f"{len(board.well)} sets")
    expect(page.locator(".detail .tree strong")).to_have_text(child["parent"])
    expect(page.locator(".opened .open")).to_be_in_viewport()
    expect(page.locator(".opened .open")).to_be_focused()


def test_a_click_anywhere_in_a_row_opens_it_and_the_address_names_it(page: Page) -> None:
    cell = page.locator("#table .row td[data-label='Seeds']").first
    cell.click()
    name = page.locator(".opened .open").inner_text()
    assert page.evaluate("location.hash") == f"#{name}"
    page.locator("#table .row td[data-label='Seeds']").nth(1).click()
    expect(page.locator(".detail")).to_have_count(2)
    cell.click()
    expect(page.locator(".detail")).to_have_count(1)


def test_an_address_opens_its_set(chromium: Browser, board: Board) -> None:
    hidden = sorted(row["name"] for row in board.rows)[-1]
    page = chromium.new_page()
    page.goto(f"{board.file.as_uri()}#{hidden.replace('/', '%2F')}")
    expect(page.locator(".opened .open")).to_have_text(hidden)
    expect(page.locator(".opened .open")).to_be_in_viewport()
    for other in ("%", "nobody/has-this", "table"):
        page.evaluate("(name) => { location.hash = name }", other)
        expect(page.locator(".opened .open")).to_have_text(hidden)
    page.get_by_label("Search").fill("hostile/")
    page.evaluate("(name) => { location.hash = name }", hidden)
    expect(page.locator(".opened .open")).to_have_text(hidden)
    page.close()


def test_kept_and_imported_text_has_neither_tokens_nor_rejections_and_a_set_names_its_changes(
    chromium: Browser, tmp_path: Path
) -> None:
    parent = f"unicorn-maker/{'unicorn-demo-' * 6}x"
    kept = {"dataset": parent, "changed": ["representations.transfer"], "text": "kept"}
    figures = statistics(proof=[], gap=None)
    imported = {"files": [{"path": "captions.csv"}]}
    with HubServer().running() as hub:
        hub.add_repository(parent, files_of(figures, recipe()))
        hub.add_repository("maker/imported", files_of(figures, recipe(imported=imported)))
        hub.add_repository("maker/child", files_of(figures, recipe(parent=kept)))
        done = made(HubClient(hub, tmp_path), tmp_path / "index.html")
    assert done.returncode == 0, done.stderr
    with opened(chromium, tmp_path / "index.html", drawn=DRAWN, viewport={"width": 1280, "height": 900}) as page:
        for label in ("Tokens", "Rejected"):
            page.locator("#table thead").get_by_role("button", name=label).click()
            assert first_column(page)[0] == parent
            assert [bool(text) for text in values(page, label)] == [True, False, False]
            assert page.locator(f"td[data-label={label}]").all_inner_texts()[1:] == ["–", "–"]
        cut = "(one) => one.scrollHeight > one.clientHeight || one.scrollWidth > one.clientWidth"
        assert not page.locator(".open").first.evaluate(cut)
        assert {"Gap", "Score"}.isdisjoint(page.locator("#table thead th").all_inner_texts())
        expect(page.locator("#of-setting")).to_be_hidden()
        child = page.locator(".row", has=page.get_by_role("button", name="maker/child"))
        expect(child).to_contain_text(f"of {parent}: representations.transfer")
        child.click()
        told = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
        assert told["shared captions"] == "unknown: the set has no sketch"
        assert "tokens" not in told
        page.locator(".tree").get_by_role("button", name=parent).click()
        expect(page.locator(".opened .open").first).to_have_text(parent)


def test_a_row_opens_to_the_sets_that_share_its_captions(page: Page, board: Board) -> None:
    child = next(row for row in board.rows if row["parent"] in board.well and row["parent"].startswith("maker"))
    words = dict(child["shared"])[child["parent"]]
    share = re.match(r"([\d.]+) % \([\d.]+ to [\d.]+\) of the captions and [\d.]+ % ", words)
    assert share
    assert 40 < float(share[1]) < 60
    page.get_by_label("Search").fill(child["name"])
    page.locator("#table .open", has_text=re.compile(rf"^{child['name']}$")).click()
    expect(page.locator(".shared li", has_text=child["parent"]).first).to_contain_text(f"{child['parent']} has {words}")
    page.locator(".shared").get_by_role("button", name=child["parent"], exact=True).click()
    expect(page.locator(".opened .open")).to_have_text(child["parent"])


def test_on_a_phone_nothing_runs_over_the_side(chromium: Browser, board: Board) -> None:
    with opened(chromium, board.file, drawn=DRAWN, **PHONE) as page:
        page.locator("#table .open").first.tap()
        expect(page.locator(".detail").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_label("Sort by").select_option("captions")
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_nothing_of_a_hostile_set_is_mark_up_or_runs(page: Page, board: Board) -> None:
    page.get_by_label("Search").fill("hostile/")
    while page.locator("#more").is_visible():
        page.locator("#more").click()
    names = first_column(page)
    assert sorted(names) == sorted(name for name in board.well if name.startswith("hostile/"))
    page.evaluate("for (const button of document.querySelectorAll('.open')) button.click()")
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    assert page.locator(".tree strong").count() == len(names)
    counts = page.evaluate("""() => Object.fromEntries(["script", "iframe", "img", "base", "style", "meta", "form"]
        .map((name) => [name, document.querySelectorAll(name).length]))""")
    assert counts == {"script": 2, "iframe": 0, "img": 0, "base": 0, "style": 1, "meta": 5, "form": 1}
    assert page.evaluate("window.pwned") is None
    assert "\u202e" not in page.locator("body").inner_text()
    links = page.evaluate("[...document.querySelectorAll('#table a')].map((link) => link.href)")
    assert set(links) == {f"{board.hub.url}/datasets/{name}" for name in names}


def test_the_policy_runs_no_other_script(chromium: Browser, board: Board, tmp_path: Path) -> None:
    changed = tmp_path / "page.html"
    injected = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1></body>"
    changed.write_text(board.file.read_text(encoding="utf-8").replace("</body>", injected), encoding="utf-8")
    page = chromium.new_page()
    page.goto(changed.as_uri())
    page.wait_for_function(DRAWN)
    assert page.evaluate("window.pwned") is None
    page.close()


def test_a_hub_that_does_not_answer_leaves_the_page_as_it_was(board: Board, tmp_path: Path) -> None:
    out = tmp_path / "index.html"
    out.write_text("the page of yesterday")
    home = tmp_path / "home"
    home.mkdir()
    for fault, told in (
        (Fault("GET", "/api/datasets$", status=403), "no right for this"),
        (Fault("POST", "/paths-info/", times=float("inf")), "the Hub did not answer for 4 of 5 sets"),
    ):
        board.hub.faults[:] = [fault]
        try:
            done = made(HubClient(board.hub, home), out, "--most", 5)
        finally:
            board.hub.faults.clear()
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert out.read_text() == "the page of yesterday"


def test_without_sets_the_page_says_so(chromium: Browser, tmp_path: Path) -> None:
    with HubServer().running() as hub:
        done = made(HubClient(hub, tmp_path), tmp_path / "index.html")
    assert done.returncode == 0, done.stderr
    with opened(chromium, tmp_path / "index.html", drawn="() => document.getElementById('count').textContent") as page:
        expect(page.locator("#count")).to_contain_text("No set")
