"""The timeline above the gallery in Debian's Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from qc_dashboard.history.writing import HistoryWriter
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.domain.release import Release
from qc_worker.ports.feeds import PublishedRelease
from qc_worker.wire.json_types import encode_release
from tests.support.browsing import SIZES, THEMES, Opened, check, press
from tests.support.databases import migrated, new_url
from tests.support.pages_rig import PagesRig
from tests.support.published import MARKUP, inspection

FRAMES = 240


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve two hours of a line, with more rejects from the second release on, whose version is named like markup."""
    with new_url(None, tmp_path) as url, migrated(url) as database:
        rig = PagesRig(database, tmp_path)
        for version in ("v1", MARKUP):
            one = Release("A", version, "0" * 64, 0.7, rig.clock.now())
            position = Position("models", 0, rig.clock.now().hour)
            HistoryWriter(database).add_releases([PublishedRelease(one, position, encode_release(one))])
            made = []
            for number in range(FRAMES // 2):
                rig.clock.advance(30)
                rejected = number % 7 == 0 if version == "v1" else number % 3 == 0
                verdict = Verdict.REJECT if rejected else Verdict.PASS if number % 11 else Verdict.REVIEW
                at = rig.clock.now()
                offset = number if version == "v1" else FRAMES // 2 + number
                made.append(inspection(offset, verdict=verdict, captured_at=at, scored_at=at, model_version=version))
            rig.write(*made)
        with rig.served() as served:
            yield served


def test_timeline_narrows_the_search_by_keyboard_and_by_click(address: str, opened: Opened) -> None:
    page = opened(f"{address}/history?line=A&verdict=reject&verdict=pass")
    chart = page.get_by_role("slider", name="Time")
    expect(chart).to_have_attribute("aria-valuemax", "25")
    expect(page.locator(".timeline-label")).to_have_text(["v1", MARKUP])
    chart.focus()
    press(page, "Home", "ArrowRight")
    expect(chart).to_have_attribute("aria-valuenow", "2")
    expect(page.locator(".timeline-said")).to_contain_text("1 reject, 8 pass")
    press(page, "Enter")
    expect(page.locator(".tile")).to_have_count(9)
    assert "since=2026-11-23T12%3A05%3A00Z&until=2026-11-23T12%3A10%3A00Z" in page.url
    expect(page.get_by_role("slider", name="Time")).to_have_attribute("aria-valuemax", "9")
    page.get_by_role("link", name="Whole time").click()
    expect(chart).to_have_attribute("aria-valuemax", "25")
    box = chart.bounding_box()
    assert box
    chart.click(position={"x": box["width"] - 3, "y": 90})
    page.wait_for_url("**until=2026-11-23T14**")
    assert "verdict=reject" in page.url


def test_timeline_fits_and_axe_finds_nothing(address: str, opened: Opened) -> None:
    page = opened(f"{address}/history?line=A")
    expect(page.get_by_role("slider", name="Time")).to_be_visible()
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.reload()
        expect(page.get_by_role("slider", name="Time")).to_be_visible()
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            check(page, f"timeline-{size}-{theme}")
