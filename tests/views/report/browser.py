"""A real browser: every page that it opens is watched for errors, requests and dialogs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "google-chrome", "chromium-browser")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_DRAWN = "() => window.Bokeh && Bokeh.documents.length === 1 && Bokeh.documents[0].is_idle"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium or Chrome of this machine, without a window. Where there is none the test is skipped: not in CI."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(_NAMES)} is on the PATH")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=[*_FLAGS], env={**os.environ})
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(browser: Browser, file: Path, *, drawn: str = _DRAWN, **options: Any) -> Iterator[Page]:
    """The page, once `drawn` holds.

    After the block: no error was told, nothing was asked for but the file, no dialog came up.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("console", lambda told: problems.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda _: problems.append("a window was opened"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(file.as_uri())
        page.wait_for_function(drawn)
        yield page
    finally:
        context.close()
    assert problems == []
    assert asked == [file.as_uri()]
