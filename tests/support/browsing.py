"""Look at pages in a browser: sizes, themes, and the checks that hold for every page."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from playwright.sync_api import Page

from tests.support.pages import AXE

ColorScheme = Literal["light", "dark"]
Opened: TypeAlias = Callable[..., Page]

SIZES = {"desk": (1280, 800), "wide": (1920, 1080), "phone": (390, 844)}
THEMES: tuple[ColorScheme, ...] = ("light", "dark")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def check(page: Page, name: str) -> None:
    picture(page, name)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
    assert findings(page) == [], name
    small = page.evaluate("""() => [...document.querySelectorAll('button, input, select, nav a')]
        .filter(each => each.offsetParent && each.type !== 'hidden' && each.getBoundingClientRect().height < 44)
        .map(each => each.outerHTML)""")
    assert small == [], name


def findings(page: Page) -> list[str]:
    """Return what axe finds."""
    # Put in by the debugger, past the page's policy, which forbids it to any script of the page.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found["violations"]]


def picture(page: Page, name: str) -> None:
    """Keep a picture if somebody wants to look at it."""
    if folder := os.environ.get("QC_TEST_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
