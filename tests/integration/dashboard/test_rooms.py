"""Live, history and frame in Debian's Chromium, on a real history with pictures."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Outage
from qc_worker.domain.frame import Partition
from qc_worker.domain.inspection import Verdict
from qc_worker.transport.outgoing import OutgoingRecord
from tests.support.browsing import SIZES, THEMES, Opened, check, press
from tests.support.pages_rig import PagesRig, picture
from tests.support.published import MARKUP, RESULTS


@pytest.fixture
def address(rig: PagesRig) -> Iterator[str]:
    """Serve three frames of line A, one of them rejected, and one of a line that is named like markup."""
    rig.release("A", "v1")
    for offset, verdict in enumerate((Verdict.PASS, Verdict.REJECT, Verdict.PASS)):
        rig.clock.advance(1)
        rig.judge(offset, verdict=verdict, part=f"P{offset}", threshold=0.7)
    rig.judge(3, line=MARKUP, camera=MARKUP, part=MARKUP, verdict=Verdict.NO_MODEL, model_version=None, score=None)
    rig.step()
    with rig.served() as url:
        yield url


def in_both_themes(page: Page, name: str) -> None:
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        check(page, f"{name}-{theme}")


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_live_follows_the_lines_and_says_what_is_wrong(rig: PagesRig, address: str, opened: Opened, size: str) -> None:
    page = opened(address, size)
    card = page.locator("[data-line=A]")
    expect(card.locator(".state")).to_contain_text("Running")
    expect(card.locator(".shares")).to_contain_text("33 %")
    expect(card.locator(".promised")).to_contain_text("Promised: at most 1.0 %")
    expect(card.locator(".rejects a")).to_have_count(1)
    expect(card.locator(".chart canvas")).to_be_visible()
    expect(page.get_by_text(f"Line {MARKUP}")).to_be_visible()
    expect(page.locator("[data-level=bad]")).to_contain_text("No model")
    in_both_themes(page, f"live-{size}")
    rig.judge(4, verdict=Verdict.REJECT, part="P4", late=True)
    rig.step()
    expect(card.locator(".shares")).to_contain_text("50 %")
    expect(card.locator(".rejects a")).to_have_count(2)
    expect(card.locator(".problems")).to_contain_text("1 late verdict")
    rig.clock.advance(60)
    expect(card.locator(".problems")).to_contain_text("No frames for")
    rig.outages.append(Outage("samples", rig.clock.now(), "topic samples does not exist"))
    expect(page.locator("#troubles")).to_contain_text("Samples not read.")
    HistoryWriter(rig.database).note_gap(Partition(RESULTS, 0), range(900, 904), to_us(rig.clock.now()))
    expect(page.locator("#troubles")).to_contain_text("The history has a gap. Up to 4 inspections")
    expect(card.locator(".state")).not_to_contain_text("Not known")
    rig.outages.append(Outage(RESULTS, rig.clock.now(), "no broker answers"))
    expect(page.locator("#troubles")).to_contain_text("Broker away")
    expect(card.locator(".state")).to_contain_text("Not known")


def test_live_says_what_is_wrong_with_the_workers(rig: PagesRig, address: str, opened: Opened) -> None:
    page = opened(address, "wide")
    troubles, shown, card = page.locator("#troubles"), page.locator("#workers"), page.locator("[data-line=A]")

    def look(after_s: int, *, send: bool = True) -> None:
        rig.clock.advance(after_s)
        if send:
            rig.broker.append(OutgoingRecord("images", b"A/top", picture(), []))
        rig.workers.step()
        page.reload()

    expect(troubles).to_contain_text("Workers are not known. The broker was not asked yet.")
    rig.settle()
    workers = [rig.join(), rig.join()]
    look(0)
    expect(shown).to_contain_text("Workers: 2 · Frames waiting: 1")
    expect(card.locator(".facts")).to_contain_text("Workers2")
    for _ in range(7):
        look(10)
    expect(troubles).to_contain_text("Workers fall behind. 8 frames wait, the oldest for 60 s.")
    expect(card.locator(".problems")).to_contain_text(
        "Workers have not judged all: 8 frames wait, the oldest for 60 s."
    )
    rig.settle()
    workers[0].close()
    look(3)
    expect(troubles).to_contain_text("One worker is gone. 1 of 2 work on and take its frames.")
    workers[1].close()
    look(3)
    expect(troubles).to_contain_text("No worker runs. 2 frames wait")
    expect(card.locator(".problems")).to_contain_text("No worker runs. Parts are not inspected.")
    in_both_themes(page, "live-no-worker")
    width, height = SIZES["phone"]
    page.set_viewport_size({"width": width, "height": height})
    in_both_themes(page, "live-no-worker-phone")
    rig.settle()
    rig.join()
    look(31, send=False)
    expect(card.locator(".problems")).to_contain_text("Its cameras send nothing.")


def test_frames_that_wait_before_the_first_verdict_are_named(rig: PagesRig, opened: Opened) -> None:
    with rig.served() as url:
        page = opened(url)
        expect(page.get_by_role("heading", level=1)).to_have_text("No frame has arrived yet")
        rig.broker.append(OutgoingRecord("images", b"A/top", picture(), []))
        rig.workers.step()
        expect(page.get_by_role("heading", level=1)).to_have_text("No frame has a verdict yet")
        expect(page.get_by_role("alert").last).to_contain_text("No worker runs. 1 frame waits.")
        in_both_themes(page, "frames-wait")


def test_wall_is_read_from_three_metres(address: str, opened: Opened) -> None:
    page = opened(f"{address}/wall", "wide")
    share = page.locator("[data-line=A] .wall-figure")
    expect(share).to_have_text("33 %")
    assert share.evaluate("each => parseFloat(getComputedStyle(each).fontSize)") >= 80
    in_both_themes(page, "wall")
    press(page, "Escape")
    expect(page.get_by_role("heading", level=1)).to_have_text("Lines now")


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_history_is_searched_by_keyboard(address: str, opened: Opened, size: str) -> None:
    page = opened(f"{address}/history", size)
    expect(page.locator(".tile")).to_have_count(4)
    in_both_themes(page, f"history-{size}")
    page.get_by_label("Reject").focus()
    press(page, "Space")
    page.locator("#since").fill("2026-11-01T00:00")
    press(page, "Enter")
    expect(page.locator(".tile")).to_have_count(1)
    assert "part=" not in page.url
    assert "Z" in page.url.partition("since=")[2]
    expect(page.locator("#since")).to_have_value("2026-11-01T00:00")
    page.locator(".tile").focus()
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Part P1")


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_frame_is_looked_at_and_judged_by_keyboard(address: str, opened: Opened, size: str) -> None:
    page = opened(f"{address}/history/frame/images/0/1", size)
    heat = page.locator(".picture.large .heat")
    strength = "each => Number(getComputedStyle(each).opacity)"
    assert heat.evaluate(strength) == 0.4
    in_both_themes(page, f"frame-{size}")
    page.get_by_label("Heatmap").focus()
    press(page, "End")
    assert heat.evaluate(strength) == 1
    page.locator("h1").click()
    press(page, "b")
    expect(page.locator(".picture.large .boxes")).to_be_hidden()
    page.get_by_role("button", name="Defect").focus()
    press(page, "Enter")
    expect(page.locator("#judged")).to_contain_text("Kept: defect")
    press(page, "ArrowRight")
    expect(page.get_by_role("heading", level=1)).to_have_text("Part P2")
