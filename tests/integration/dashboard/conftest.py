"""A browser and an app with a history for the tests of the pages."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from qc_worker.domain.errors import SettingsError
from tests.conftest import skip_on_a_laptop
from tests.support.browsing import SIZES, ColorScheme, Opened
from tests.support.databases import migrated, new_url
from tests.support.pages import chromium, chromium_program
from tests.support.pages_rig import PagesRig

PATIENCE_MS = 20_000
"""Live loads its state every 5 s: as long as `expect` waits by default."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium_program()
    except SettingsError as error:
        skip_on_a_laptop(str(error))
    with chromium() as started:
        yield started


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PagesRig]:
    """An app whose history is empty, on SQLite."""
    with new_url(None, tmp_path) as url, migrated(url) as database:
        yield PagesRig(database, tmp_path)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open a page in a window of its own; anything in the browser's console fails the test."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # Chromium logs each answer that is no success; tests look at those themselves.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    with ExitStack() as stack:

        def open_page(url: str, size: str = "desk", theme: ColorScheme = "light", **options: Any) -> Page:
            width, height = SIZES[size]
            context: BrowserContext = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme, **options
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("console", listen)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
            page.goto(url)
            return page

        yield open_page
    assert complaints == []
