"""Take the pictures of the dashboard in docs/images: run the demo, and look at it with Chromium.

Run as `python -m tools.dashboard_pictures [--url URL] [FOLDER]`; with --url at a dashboard that runs already, as during
`make demo` on a terminal. Rooms that are not served are left out.
"""

import io
import json
import re
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.support.browsing import THEMES, ColorScheme
from tests.support.pages import chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ADDRESS = re.compile(r"dashboard: (http://\S+)/")
FRAMES = 4000
"""Enough to look around while frames flow; the demo is stopped after the pictures."""
WIDTH, LOWEST, HIGHEST = 1280, 720, 1000
MAX_BYTES = 200_000
COLOURS = (256, 128, 64, 32)
PATIENCE_S = 420.0
SETTLE_S = 3.0
"""Time for charts and pictures to fill."""


@dataclass(frozen=True, slots=True)
class Room:
    """A page to take a picture of; the path may name a line and a frame of it."""

    name: str
    path: str
    themes: Sequence[ColorScheme] = ("light",)


ROOMS = (
    Room("live", "/", THEMES),
    Room("wall", "/wall", ("dark",)),
    Room("review", "/review", THEMES),
    Room("history", "/history?verdict=reject&verdict=review"),
    Room("frame", "/history/frame/{topic}/{partition}/{offset}"),
    Room("models", "/models"),
    Room("report", "/report"),
)


def main(arguments: Sequence[str]) -> int:
    """Take all pictures and print what was taken."""
    parser = ArgumentParser(prog="tools.dashboard_pictures")
    parser.add_argument("--url", help="address of a dashboard that runs")
    parser.add_argument("folder", nargs="?", type=Path, default=IMAGES)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.url:
        take_pictures(given.url.rstrip("/"), given.folder)
        return 0
    with demo() as url:
        wait_for_new_model(url)
        take_pictures(url, given.folder)
    return 0


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo in a folder of its own; yield the dashboard's address. Raises RuntimeError if it names none."""
    with tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "qc_worker.cli", "demo", "--json", "--frames", str(FRAMES)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said = running.stderr or ()
            addresses = (found[1] for line in said if (found := ADDRESS.search(line)))
            address = next(addresses, None)
            if address is None:
                raise RuntimeError("the demo started no dashboard")
            yield address
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate()


def wait_for_new_model(url: str) -> None:
    """Wait until a line's retrained model has judged frames. Raises TimeoutError."""
    deadline_s = monotonic() + PATIENCE_S
    while not any(len(line["judging"]) > 1 for line in asked(f"{url}/api/v1/models")["lines"]):
        if monotonic() > deadline_s:
            raise TimeoutError("no new model came to judge")
        sleep(1)


def take_pictures(url: str, folder: Path) -> None:
    """Take a picture of every room that is served."""
    query = "/api/v1/inspections?verdict=reject&limit=1"
    source = asked(f"{url}{query}")["inspections"][0]["source"]
    with chromium() as browser:
        for room in ROOMS:
            for theme in room.themes:
                path = (
                    folder / f"dashboard-{room.name}{'-dark' if len(room.themes) > 1 and theme == 'dark' else ''}.png"
                )
                take_picture(browser, url + room.path.format(**source), theme, path)


def take_picture(browser: Browser, url: str, theme: ColorScheme, path: Path) -> None:
    """Take a picture of a page in colours that fit into MAX_BYTES; none if nothing is served there."""
    context = browser.new_context(viewport={"width": WIDTH, "height": LOWEST}, color_scheme=theme)
    page = context.new_page()
    answer = page.goto(url)
    if answer is not None and answer.status == HTTPStatus.NOT_FOUND:
        context.close()
        return
    page.wait_for_timeout(SETTLE_S * 1000)
    path.write_bytes(shrunk(shot(page)))
    context.close()
    sys.stdout.write(f"{path.name}: {path.stat().st_size // 1000} kB\n")


def shot(page: Page) -> Image.Image:
    """Photograph the page down to its end, but not more than HIGHEST pixels."""
    height = min(HIGHEST, max(LOWEST, int(page.evaluate("document.documentElement.scrollHeight"))))
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.wait_for_timeout(500)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def shrunk(picture: Image.Image) -> bytes:
    """Encode as PNG with as many colours as fit into MAX_BYTES."""
    encoded = io.BytesIO()
    for colours in COLOURS:
        encoded = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(encoded, "PNG", optimize=True)
        if encoded.tell() <= MAX_BYTES:
            break
    return encoded.getvalue()


def asked(url: str) -> dict[str, Any]:
    """Ask the API."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
