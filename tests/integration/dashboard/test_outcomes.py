"""What became of judgements, and judging a frame again, on the page of the frame in Debian's Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from qc_worker.domain.inspection import Verdict
from tests.support.browsing import SIZES, THEMES, Opened, check, press
from tests.support.judgements import Judgements
from tests.support.pages_rig import PagesRig
from tests.support.published import MARKUP


@pytest.fixture
def rig(rig: PagesRig) -> PagesRig:
    """Two frames of line A, one of them rejected, both judged by v1."""
    rig.release("A", "v1")
    rig.judge(0, verdict=Verdict.REJECT, threshold=0.7)
    rig.judge(1)
    return rig


@pytest.fixture
def plant(rig: PagesRig, tmp_path: Path) -> Judgements:
    return Judgements(rig.database, tmp_path)


def everywhere(page: Page, name: str) -> None:
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            check(page, f"{name}-{size}-{theme}")


def test_a_person_sees_what_became_of_their_word(rig: PagesRig, plant: Judgements, opened: Opened) -> None:
    with rig.served() as address:
        page = opened(f"{address}/history/frame/images/0/0")
        told = page.locator("[data-outcomes]")
        expect(told).to_contain_text("Nobody has judged this frame.")
        page.get_by_role("button", name="Good").focus()
        press(page, "Enter")
        expect(page.locator("#judged")).to_contain_text("Kept: good")
        expect(told.locator(".step.next")).to_have_count(4)  # the broker has not got it yet
        (said,) = rig.review.sent()
        rig.review.hear(said)
        expect(told.locator(".step.done")).to_contain_text("Sent")
        expect(told.locator(".step.next")).to_have_count(3)
        plant.collect(said, 1)
        plant.retrain(2, "v2", 0)
        plant.of(said)
        rig.clock.advance(180)
        rig.judge(2, model_version="v2")
        page.reload()
        expect(told.locator(".step.done")).to_have_count(4)
        expect(told).to_contain_text("3 min from “good” to a live version that learned from it.")
        plant.collect(plant.say(4, "defect", by=MARKUP), 5)
        page.reload()
        expect(told.locator(".judgement")).to_have_count(2)
        expect(told.locator(".step.stop")).to_contain_text(f"Replaced, stopped by {MARKUP}")
        expect(told).to_contain_text("The live version was still trained on it as a good one.")
        everywhere(page, "outcomes")


def test_a_frame_is_judged_again_beside_the_line(rig: PagesRig, plant: Judgements, opened: Opened) -> None:
    plant.retrain(2, "v2", 7)
    with rig.served() as address:
        page = opened(f"{address}/history/frame/images/0/0")
        rows = page.locator("#replays tbody.again tr")
        expect(page.locator("#replays")).to_be_hidden()
        page.get_by_role("button", name="Same version").focus()
        press(page, "Enter")
        expect(page.locator("#replay-status")).to_contain_text("Same, scores 0 apart")
        expect(rows).to_have_count(1)
        expect(rows.first.locator(".verdict-reject")).to_be_visible()
        page.get_by_role("button", name="Live version").click()
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("v2")
        expect(page.locator("#replay-status")).to_contain_text("Another version: not compared")
        everywhere(page, "replay")
