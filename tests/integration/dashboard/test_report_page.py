"""The report in Debian's Chromium: by keyboard, on paper, with names that are markup."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from qc_dashboard.archive.archive import FrameEvidence
from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Outage
from qc_worker.domain.errors import Reason
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.ports.feeds import PublishedFeedback
from qc_worker.wire.json_types import encode_feedback
from tests.support.browsing import THEMES, Opened, check, findings, press
from tests.support.factories import NOON
from tests.support.pages_rig import PagesRig, picture
from tests.support.published import MARKUP, places

VERDICTS = (*[Verdict.PASS] * 14, Verdict.REJECT, Verdict.REJECT, Verdict.REVIEW, Verdict.ERROR)
SAID = {
    14: (Judgement.GOOD, None),
    15: (Judgement.DEFECT, MARKUP),
    16: (Judgement.DEFECT, "scratch"),
    32: (Judgement.DEFECT, "scratch"),
}


@pytest.fixture
def rig(rig: PagesRig) -> PagesRig:
    fill(rig)
    return rig


@pytest.fixture
def address(rig: PagesRig) -> Iterator[str]:
    with rig.served() as url:
        yield url


def fill(rig: PagesRig) -> None:
    """Have three lines, one of them named like markup, what people said, an archived frame, a gap and an outage."""
    lines = ("A", "B", MARKUP)
    for offset in range(len(VERDICTS) * len(lines)):
        rig.clock.advance(20)
        verdict, line = VERDICTS[offset % len(VERDICTS)], lines[offset // len(VERDICTS)]
        failed = verdict is Verdict.ERROR
        names = {"line": line, "camera": MARKUP if line == MARKUP else "top", "late": offset % 11 == 0}
        model = {"model_version": None, "reason": Reason.UNDECODABLE} if failed else {"model_version": f"v{line}"}
        rig.judge(offset, verdict=verdict, **names, **model)
    feedback = [
        Feedback("A" if offset < 18 else "B", f"f{offset}", Position("images", 0, offset), word, "Ann", NOON, kind=kind)
        for offset, (word, kind) in SAID.items()
    ]
    published = [
        PublishedFeedback(one, Position("feedback", 0, number), encode_feedback(one))
        for number, one in enumerate(feedback)
    ]
    HistoryWriter(rig.database).add_feedback(published)
    evidence = FrameEvidence(Position("images", 0, 16), Verdict.REVIEW, to_us(NOON), picture(True))
    rig.plant.archive.keep([evidence], before={}, after={})
    (partition,) = places(1)
    HistoryWriter(rig.database).note_gap(partition, range(30, 34), to_us(NOON))
    rig.outages.append(Outage("results", rig.clock.now(), MARKUP))


def test_report_of_a_shift_is_chosen_by_keyboard(address: str, opened: Opened) -> None:
    page = opened(f"{address}/report")
    expect(page.get_by_role("heading", name="All lines, 2026-11-23 06:00 to 14:00")).to_be_visible()
    assert "from=2026-11-23T06%3A00%3A00%2B01%3A00" in page.url
    expect(page.get_by_text("No data from")).to_have_count(2)
    page.get_by_label("A", exact=True).focus()
    press(page, "Space")
    page.get_by_role("button", name="Today").focus()
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Line A, 2026-11-23 00:00 to 2026-11-24 00:00")).to_be_visible()
    assert "line=A&" in page.url
    expect(page.locator(".bigs")).to_contain_text("82.4 %")
    expect(page.locator(".report")).to_contain_text(MARKUP)
    expect(page.locator(".map img.part")).to_have_js_property("complete", value=True)
    assert page.locator(".map img.part").evaluate("each => each.naturalWidth") > 0
    page.get_by_label("From").fill("2026-11-23T05:00")
    page.get_by_label("To (").fill("2026-11-23T05:00")
    page.get_by_role("button", name="Show").focus()
    press(page, "Enter")
    expect(page.get_by_role("alert").first).to_contain_text("does not come before its end")
    page.get_by_role("button", name="Yesterday").focus()
    press(page, "Enter")
    expect(page.get_by_text("No frame of this span has been judged")).to_be_visible()


def test_report_fits_screen_and_paper(address: str, opened: Opened, tmp_path: Path) -> None:
    page = opened(f"{address}/report?span=today", "desk")
    for size, (width, height) in {"desk": (1280, 800), "wide": (1920, 1080), "phone": (390, 844)}.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            check(page, f"report-{size}-{theme}")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.report')).color") == "rgb(0, 0, 0)"
    expect(page.locator(".ask")).to_be_hidden()
    assert findings(page) == []
    paper = page.pdf(path=Path(os.environ.get("QC_TEST_PICTURES", tmp_path)) / "report.pdf", format="A4")
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") <= 2


def test_report_leads_to_the_same_figures_for_programs(address: str, opened: Opened) -> None:
    page = opened(f"{address}/report?line=B&from=2026-11-23T13:00&to=2026-11-23T13:30")
    expect(page.get_by_role("heading", name="Line B, 2026-11-23 13:00 to 13:30")).to_be_visible()
    whole = page.request.get(f"{address}{page.get_by_role('link', name='JSON').get_attribute('href')}").json()
    assert whole["span"] == {"lines": ["B"], "from": "2026-11-23T12:00:00Z", "to": "2026-11-23T12:30:00Z"}
    assert whole["by_verdict"]["reject"] == 2
    rows = page.request.get(f"{address}{page.get_by_role('link', name='CSV').get_attribute('href')}").text()
    assert "verdict,reject,2" in rows.splitlines()
