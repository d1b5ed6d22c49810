"""The page in a real browser, used as a reader would: mouse, keyboard, phone, light and dark; and with hostile rows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.builds import rows
from tests.views.hostile import TEXTS, hostile_set
from tests.views.report.browser import PHONE, browser, opened
from unicorn_hf.views.pages import shown_text
from unicorn_hf.views.report import write_report

pytestmark = pytest.mark.slow

_POINT = """(number) => {
    const figure = Bokeh.documents[0].roots().find((root) => root.renderers[0].glyph.x?.field === "x_after");
    const {frame, canvas_view} = Bokeh.index.find_one(figure);
    const {x_after, y_after} = figure.renderers[0].data_source.data;
    const {left, top} = canvas_view.el.getBoundingClientRect();
    return [left + frame.x_scale.compute(x_after[number]), top + frame.y_scale.compute(y_after[number])];
}"""
_INK = """() => getComputedStyle(document.body).color"""
_AXIS_INK = """() => Bokeh.documents[0].roots()[0].below[0].properties.major_label_text_color.get_value()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def file(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "page.html"
    write_report(made, path)
    return path


@pytest.fixture
def page(chromium: Browser, file: Path) -> Iterator[Page]:
    with opened(chromium, file, viewport={"width": 1280, "height": 900}) as page:
        yield page


def point(page: Page, number: int) -> tuple[float, float]:
    page.locator("#map-after").scroll_into_view_if_needed()
    x, y = page.evaluate(_POINT, number)
    return x, y


def test_figures_charts_rows_and_rejections_are_there(page: Page, made: Path) -> None:
    expect(page.locator("h1")).to_have_text("unicorn")
    expect(page.locator(".tiles li").first).to_contain_text("60 captions")
    expect(page.locator("#count")).to_have_text("85 sampled rows")
    assert page.locator("#rejected .reason").count() > 0
    for place in page.locator(".plot").all():
        width, height = page.evaluate("(e) => [e.scrollWidth, e.scrollHeight]", place.element_handle())
        assert (width > 200, height > 20) == (True, True), place
        assert place.locator("canvas").count() >= 1
    page.locator("#rejected .reason summary").first.click()
    expect(page.locator("#rejected blockquote").first).to_be_visible()
    page.get_by_text("Caption lengths as a table").click()
    counts = page.locator("figure", has=page.locator("#caption-lengths")).locator("td.number").all_inner_texts()
    assert sum(int(count.replace(",", "")) for count in counts) == 60


def test_rows_are_searched_filtered_and_opened(page: Page, made: Path) -> None:
    wanted = rows(made, "instruction")[7]
    page.get_by_label("Search").fill(wanted["id"].upper())
    expect(page.locator("#count")).to_have_text(re.compile(r"^[12] of 85 sampled rows"))
    page.get_by_label("Config").select_option("instruction")
    expect(page.locator("#count")).to_have_text("1 of 85 sampled rows")
    page.locator("#table .open").click()
    assert page.locator(".turn").count() == len(wanted["conversations"])
    for turn, said in zip(page.locator(".turn").all(), wanted["conversations"], strict=True):
        assert turn.locator(".who").text_content() == said["from"]
        assert turn.locator(".text").text_content() == said["value"]
    page.locator("#table .open").click()
    assert page.locator(".turn").count() == 0
    page.get_by_label("Search").fill("nothing has this text")
    expect(page.locator("#count")).to_contain_text("No sampled row matches")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#count")).to_have_text("85 sampled rows")
    page.get_by_label("Task").select_option("multiple_choice")
    number = sum(row["task"] == "multiple_choice" for row in rows(made, "instruction"))
    expect(page.locator("#count")).to_have_text(f"{number} of 85 sampled rows")
    assert set(page.locator("#table td:nth-child(3)").all_inner_texts()) == {"multiple choice"}
    page.get_by_label("Task").select_option("")
    page.locator("#more").click()
    assert page.locator("#table .open").count() == 50


def test_the_map_shows_captions_and_takes_clicks_and_filters(page: Page) -> None:
    at = point(page, 3)
    page.mouse.move(at[0] - 5, at[1] - 5)
    page.mouse.move(*at, steps=4)
    tip = page.locator(".bk-Tooltip, .bk-tooltip").first
    expect(tip).to_be_visible()
    width, said = tip.evaluate("""(tip) => [
        tip.getBoundingClientRect().width,
        [...tip.shadowRoot.querySelectorAll("span")].map((part) => part.textContent).join(" "),
    ]""")
    assert 100 < width < 400
    page.mouse.click(*at)
    picked = page.locator("#picked")
    expect(picked).to_be_visible()
    shown = picked.text_content() or ""
    number = page.evaluate("""() => {
        const [first] = Bokeh.documents[0].roots().filter((root) => root.renderers[0].data_source.data.row);
        const source = first.renderers[0].data_source;
        return source.data.row[source.selected.indices[0]];
    }""")
    row = page.evaluate("(number) => JSON.parse(document.getElementById('data').textContent).rows[number]", number)
    assert row["id"] in shown
    assert said.count(row["domain"]) == 1
    assert row["caption"][:20] in said
    button = page.locator("#legend button").first
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.locator("#domain").input_value() != ""
    page.get_by_label("Config").select_option("instruction")
    page.wait_for_function("""() => Array.from(Bokeh.documents[0].roots()
        .find((root) => root.renderers[0].data_source.data.row).renderers[0].data_source.data.alpha)
        .filter((alpha) => alpha < 0.1).length === 60""")


def test_the_keyboard_alone_does_it(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.get_by_label("Search").focus()
    page.keyboard.type("shelf")
    page.keyboard.press("Tab")
    page.keyboard.type("ins")
    expect(page.get_by_label("Config")).to_have_value("instruction")
    for _ in range(4):
        page.keyboard.press("Tab")
    first = page.locator("#table .open").first
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(first).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".turn").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#table .open").nth(1)).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#table .open").nth(1)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(first).to_have_attribute("aria-expanded", "false")


def test_everything_that_is_pressed_has_a_name_and_what_is_focused_is_seen(page: Page) -> None:
    for control in page.locator("button:visible, input, select, summary").all():
        name = control.evaluate(
            "(e) => (e.textContent || '') + [...(e.labels || [])].map((l) => l.textContent).join('')"
        )
        assert name.strip()
    page.get_by_label("Search").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_light_and_dark_change_while_it_is_open(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    light, light_axis = page.evaluate(_INK), page.evaluate(_AXIS_INK)
    page.emulate_media(color_scheme="dark")
    dark, dark_axis = page.evaluate(_INK), page.evaluate(_AXIS_INK)
    assert (light, dark) == ("rgb(26, 31, 41)", "rgb(232, 235, 241)")
    assert light_axis != dark_axis


def test_on_a_phone_nothing_runs_over_the_side(chromium: Browser, file: Path) -> None:
    with opened(chromium, file, **PHONE) as page:
        page.locator("#table .open").first.tap()
        expect(page.locator(".turn").first).to_be_visible()
        for section in ("figures", "charts", "map", "rows", "rejected"):
            page.locator(f"#{section}").scroll_into_view_if_needed()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        canvases = page.evaluate("[...document.querySelectorAll('.plot')].map((e) => e.getBoundingClientRect().right)")
        assert max(canvases) <= 390


def test_nothing_of_a_hostile_row_is_mark_up_or_runs(chromium: Browser, made: Path, tmp_path: Path) -> None:
    folder = hostile_set(made, tmp_path / "unicorn")
    file = tmp_path / "page.html"
    write_report(folder, file, name="".join(TEXTS[:13]))
    assert file.read_text(encoding="utf-8").count("</script>") == 3
    with opened(chromium, file, viewport={"width": 1280, "height": 900}) as page:
        while page.locator("#more").is_visible():
            page.locator("#more").click()
        assert page.locator("#table .open").count() == 2 * len(TEXTS)
        page.evaluate("for (const button of document.querySelectorAll('.open')) button.click()")
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        turns = page.locator("#table .text").all_text_contents()
        assert {shown_text(text, 3_000) for text in TEXTS} <= set(turns)
        for number in (0, 7, 13):
            at = point(page, number)
            page.mouse.move(at[0] - 5, at[1] - 5)
            page.mouse.move(*at, steps=4)
            page.wait_for_timeout(100)
            page.mouse.click(*at)
        for name in ("domain", "reason"):
            table = page.locator("table.bars", has=page.get_by_role("columnheader", name=name, exact=True)).first
            table.scroll_into_view_if_needed()
            assert table.locator("tbody span").count() > 0
        for select in ("config", "domain", "task"):
            assert page.locator(f"#{select} option").count() > 2
        elements = page.evaluate("""() => {
            const found = [];
            const walk = (root) => root.querySelectorAll("*").forEach((element) => {
                found.push(element.localName);
                if (element.shadowRoot) walk(element.shadowRoot);
            });
            walk(document);
            return found;
        }""")
        assert elements.count("script") == page.evaluate("document.scripts.length") == 3
        for name in ("iframe", "img", "base", "a", "h1"):
            wanted = {"a": 6, "h1": 1}.get(name, 0)
            assert elements.count(name) == wanted, name
        assert elements.count("meta") == 6
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.baseURI") == file.as_uri()
        expect(page.locator("h2").first).to_be_visible()


def test_the_policy_runs_no_other_script(chromium: Browser, file: Path, tmp_path: Path) -> None:
    """Were a row's text to get into the page as mark-up after all, it would not run."""
    changed = tmp_path / "page.html"
    injected = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1></body>"
    changed.write_text(file.read_text(encoding="utf-8").replace("</body>", injected), encoding="utf-8")
    page = chromium.new_page()
    page.goto(changed.as_uri())
    page.wait_for_function("() => window.Bokeh")
    assert page.evaluate("document.scripts.length") == 4
    assert page.evaluate("window.pwned") is None
    page.close()
