"""The review page in Debian's Chromium: by keyboard, two people at once, broker or dashboard away, markup in names."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from qc_dashboard.accounts.roles import Role
from qc_dashboard.archive.archive import FrameEvidence
from qc_dashboard.archive.looks import FrameLook, look_of
from qc_dashboard.review.wanted import Reviewer, Wanted
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from tests.support.api import LIMITS
from tests.support.browsing import THEMES, Opened, check, press
from tests.support.pages_rig import DEFECT, PagesRig, picture
from tests.support.published import MARKUP, inspection
from tests.support.review import LEASE_S
from tests.support.web import BY_TEST, PASSWORD

SOMEBODY = Reviewer("another page", "Bob")
OPACITY = "each => Number(getComputedStyle(each).opacity)"


@pytest.fixture
def address(rig: PagesRig) -> Iterator[str]:
    with rig.served() as url:
        yield url


def offer(rig: PagesRig, start: int, end: int, **fields: object) -> None:
    """Have rejects in the queue."""
    for offset in range(start, end):
        rig.clock.advance(1)
        rig.judge(offset, **{"verdict": Verdict.REJECT, "part": f"P{offset}", "score": 0.9, "threshold": 0.7, **fields})
    rig.review.fill()


def archive_a_pass(rig: PagesRig, offset: int) -> None:
    content = picture()
    look = look_of(content, LIMITS)
    assert look is not None
    rig.judge(offset, part=f"P{offset}")
    evidence = FrameEvidence(
        Position("images", 0, offset), Verdict.PASS, 0, content, look=FrameLook("A", "top", offset, look)
    )
    rig.plant.keep(evidence)


def on(page: Page, title: str) -> None:
    expect(page.locator("#title")).to_have_text(title)
    expect(page.locator("#desk")).to_be_visible()


def words(rig: PagesRig) -> list[tuple[int, str, str | None]]:
    return [(one.source.offset, one.verdict.value, one.kind) for one in rig.review.sent()]


def look_by_keyboard(page: Page) -> None:
    """Look at the first frame, its heatmap and the list of keys, and judge nothing."""
    expect(page.locator("#why")).to_contain_text("The model rejected it")
    expect(page.locator("#nearest li")).to_have_text("Part P0 passed")
    expect(page.locator("#said")).to_have_text("Nobody has judged it.")
    heat = page.locator("#stage .heat")
    press(page, "+", "ArrowUp")
    assert heat.evaluate(OPACITY) == pytest.approx(0.6)
    page.locator("#stage").hover()
    page.mouse.wheel(0, 100)
    expect(page.locator("#opacity")).to_have_value("55")
    press(page, "h")
    assert heat.evaluate(OPACITY) == 0
    press(page, "?")
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "review-keys")
    press(page, "g", "Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    on(page, "Part P1")


def test_a_session_by_keyboard_alone(rig: PagesRig, address: str, opened: Opened) -> None:
    rig.clock.advance((datetime.now(UTC) - rig.clock.now()).total_seconds())
    archive_a_pass(rig, 0)
    offer(rig, 1, 7)
    page = opened(f"{address}/review")
    on(page, "Part P1")
    expect(page.locator("#left")).to_have_text("6")
    look_by_keyboard(page)
    press(page, "g")
    on(page, "Part P2")
    press(page, "x", "ArrowRight", "Shift+ArrowDown", "n", "Delete", "2")
    on(page, "Part P3")
    press(page, "u")
    on(page, "Part P4")
    press(page, "s")
    on(page, "Part P5")
    press(page, "d")
    on(page, "Part P6")
    expect(page.locator("#words li")).to_have_count(4)
    press(page, "z")
    on(page, "Part P5")
    press(page, "a", "1")
    on(page, "Part P6")
    press(page, "g")
    expect(page.locator("#empty")).to_contain_text("Nothing to review")
    expect(page.locator("#people")).to_contain_text("local")
    check(page, "review-empty")
    page.get_by_role("button", name="Show the 1 that you skipped").focus()
    press(page, "Enter")
    on(page, "Part P4")
    press(page, "g")
    expect(page.locator("#empty")).to_be_visible()
    offer(rig, 7, 8)
    on(page, "Part P7")
    expected = [
        (1, "good", None),
        (2, "defect", "dent"),
        (3, "unsure", None),
        (5, "defect", None),
        (5, "unsure", None),
        (5, "defect", "scratch"),
        (6, "good", None),
        (4, "good", None),
    ]
    assert words(rig) == expected
    moved, confirmed = (one.boxes for one in rig.review.topic() if one.kind)
    assert [(box.x, box.y, box.width, box.height) for box in moved] == [(203, 90, 50, 43)]
    assert (confirmed[0].x, confirmed[0].width) == (DEFECT.x, DEFECT.width)


@pytest.mark.parametrize("size", ["desk", "wide", "phone"])
def test_page_fits_and_boxes_are_drawn_with_the_mouse(rig: PagesRig, address: str, opened: Opened, size: str) -> None:
    archive_a_pass(rig, 0)
    offer(rig, 1, 3)
    page = opened(f"{address}/review", size)
    on(page, "Part P1")
    page.wait_for_load_state("networkidle")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        check(page, f"review-{size}-{theme}")
    editor = page.locator("#stage svg.editor")
    editor.scroll_into_view_if_needed()
    shown = editor.bounding_box()
    assert shown
    scale = shown["width"] / 320
    corner = (shown["x"] + 20 * scale, shown["y"] + 30 * scale)
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(corner[0] + 40 * scale, corner[1] + 50 * scale, steps=4)
    page.mouse.up()
    expect(page.locator("#box-words")).to_contain_text("Box 2 of 2")
    page.get_by_role("button", name="dent").click()
    on(page, "Part P2")
    expect(page.locator("#words li")).to_contain_text(["Defect: dent"])
    (sent,) = rig.review.sent()
    (box,) = sent.boxes
    for edge, wanted in zip((box.x, box.y, box.width, box.height), (20, 30, 40, 50), strict=True):
        assert abs(edge - wanted) <= 2


def test_two_people_at_once_never_see_the_same_frame(rig: PagesRig, address: str, opened: Opened) -> None:
    frames = 14
    offer(rig, 0, frames)
    pages = [opened(f"{address}/review") for _ in range(2)]
    seen: list[list[str]] = [[], []]
    for page in pages:
        expect(page.locator("#desk")).to_be_visible()
    while True:
        titles = [page.locator("#title").inner_text() if page.locator("#desk").is_visible() else "" for page in pages]
        assert titles[0] != titles[1] or not any(titles)
        if not any(titles):
            break
        for number, (page, title) in enumerate(zip(pages, titles, strict=True)):
            if title:
                seen[number].append(title)
                press(page, "g")
        for page, title in zip(pages, titles, strict=True):
            page.wait_for_function(
                "title => !document.getElementById('empty').hidden || (!document.getElementById('desk').hidden"
                " && document.getElementById('title').textContent !== title)",
                arg=title,
            )
    assert all(seen)
    assert sorted(seen[0] + seen[1]) == sorted(f"Part P{offset}" for offset in range(frames))
    for page in pages:
        expect(page.locator("#left")).to_have_text("0")
    assert sorted(words(rig)) == [(offset, "good", None) for offset in range(frames)]


def test_words_wait_for_broker_and_dashboard_and_are_sent_once(rig: PagesRig, address: str, opened: Opened) -> None:
    offer(rig, 0, 3)
    page = opened(f"{address}/review")
    on(page, "Part P0")
    page.wait_for_load_state("networkidle")
    rig.reviewing.start()
    rig.broker.available = False
    press(page, "g")
    on(page, "Part P1")
    expect(page.locator("#troubles")).to_contain_text("The broker is away. 1 judgement is stored")
    expect(page.locator("#words")).to_contain_text("waits for the broker")
    check(page, "review-broker-away")
    rig.broker.available = True
    expect(page.locator("#troubles")).to_be_empty()
    expect(page.locator("#words")).to_contain_text("sent")
    page.route("**/review/judge", lambda route: route.abort())
    press(page, "u")
    expect(page.locator("#troubles")).to_contain_text("The dashboard does not answer. 1 of your judgements waits")
    page.reload()
    expect(page.locator("#troubles")).to_contain_text("1 of your judgements waits in this page")
    page.unroute("**/review/judge")
    expect(page.locator("#troubles")).to_be_empty()
    on(page, "Part P2")
    rig.reviewing.close()
    assert words(rig) == [(0, "good", None), (1, "unsure", None)]


def test_a_lost_lease_and_a_lost_picture_are_said(rig: PagesRig, address: str, opened: Opened) -> None:
    offer(rig, 0, 6)
    rig.write(inspection(6, verdict=Verdict.REJECT, part="P6"))
    rig.review.fill()
    page = opened(f"{address}/review")
    on(page, "Part P0")
    page.wait_for_load_state("networkidle")
    rig.clock.advance(LEASE_S + 1)
    rig.review.queue.claim(SOMEBODY, Wanted(), count=2)
    press(page, "g")
    expect(page.locator("#notes")).to_contain_text("“good” was not taken for Part P0: your time with it")
    on(page, "Part P2")
    expect(page.locator("#notes")).to_contain_text("Too late: Part P1 went back to the queue")
    expect(page.locator("#others")).to_have_text("2 of them at other pages")
    check(page, "review-lost")
    for offset in range(3, 7):
        press(page, "s")
        on(page, f"Part P{offset}")
    expect(page.locator(".missing")).to_contain_text("not kept any more")
    check(page, "review-gone")
    press(page, "u")
    expect(page.locator("#words li").first).to_contain_text("Unsure")
    assert words(rig) == [(6, "unsure", None)]


def test_markup_in_names_stays_text(rig: PagesRig, address: str, opened: Opened) -> None:
    rig.clock.advance((datetime.now(UTC) - rig.clock.now()).total_seconds())
    rig.accounts.users.add(MARKUP, PASSWORD, Role.OPERATOR, by=BY_TEST)
    rig.review.kinds.set("A", [MARKUP])
    rig.judge(0, line=MARKUP, part=MARKUP)
    offer(rig, 1, 3, camera=MARKUP, part=MARKUP, model_version=MARKUP)
    page = opened(f"{address}/review?line={MARKUP}&order={MARKUP}")
    page.get_by_label("Name").fill(MARKUP)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#chosen")).to_contain_text("onerror")
    page.locator("summary").click()
    check(page, "review-choosing")
    page.get_by_label("Line").select_option("A")
    on(page, f"Part {MARKUP}")
    expect(page.locator("#facts")).to_contain_text(MARKUP)
    page.get_by_role("button", name=MARKUP).click()
    expect(page.locator("#words")).to_contain_text(f"Defect: {MARKUP}")
    expect(page.locator("#people")).to_contain_text(MARKUP)
    assert [(one.kind, one.accepted_by) for one in rig.review.sent()] == [(MARKUP, MARKUP)]
