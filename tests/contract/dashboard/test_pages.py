"""The pages without a browser: what they lead to, and that nothing from a topic becomes markup."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from qc_dashboard.database.database import Database
from qc_dashboard.projecting.follower import Outage
from qc_worker.domain.inspection import Verdict
from tests.support.factories import NOON
from tests.support.pages_rig import PagesRig
from tests.support.published import MARKUP
from tests.support.web import Visitor

ONE = "/history/frame/images/0/0"


@pytest.fixture
def rig(database: Database, tmp_path: Path) -> PagesRig:
    return PagesRig(database, tmp_path)


@pytest.fixture
def visitor(rig: PagesRig) -> Visitor:
    return Visitor(rig.app)


def tiles(page: str) -> list[str]:
    return re.findall(r'class="card tile" href="([^"]+)"', page)


def test_before_the_first_frame_the_page_says_so_and_names_a_broker_that_is_away(
    rig: PagesRig, visitor: Visitor
) -> None:
    rig.outages.append(Outage("results", NOON, "no broker answers"))
    page = visitor.get("/").text
    assert "No frame has arrived yet" in page
    assert "Broker away" in page
    assert "The history is empty" in visitor.get("/history").text


@pytest.mark.parametrize("path", ["/", "/wall", "/review", "/history", "/history?line=A&min_score=x", ONE])
def test_pages_have_no_inline_script_or_style(rig: PagesRig, visitor: Visitor, path: str) -> None:
    rig.judge(0, verdict=Verdict.REJECT)
    page = visitor.get(path).text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\s(?:style|on[a-z]+)=", page) == []
    assert re.findall(r'(?:src|href)="https?:', page) == []


@pytest.mark.parametrize("path", ["/", "/review", "/history", f"/history?line={MARKUP}&part={MARKUP}", ONE])
def test_markup_in_line_camera_part_and_model_stays_text(rig: PagesRig, visitor: Visitor, path: str) -> None:
    names = dict.fromkeys(("line", "camera", "part", "frame_id", "model_version"), MARKUP)
    rig.judge(0, verdict=Verdict.REJECT, **names)
    page = visitor.get(path)
    assert page.status_code == 200
    assert "<img src=x" not in page.text


def test_pages_of_a_search_continue_and_miss_nothing(rig: PagesRig, visitor: Visitor) -> None:
    for offset in range(30):
        rig.clock.advance(1)
        rig.judge(offset, line="A" if offset % 3 else "B")
    first = visitor.get("/history?line=A&verdict=pass&since=&part=").text
    assert len(tiles(first)) == 20
    first = visitor.get("/history").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = visitor.get(following[1]).text
    assert [*tiles(first), *tiles(second)] == [f"/history/frame/images/0/{n}" for n in reversed(range(30))]
    assert "First page" in second
    assert 'rel="next"' not in second


@pytest.mark.parametrize("order", ["", "&order=oldest"])
def test_pages_of_a_search_lead_back(rig: PagesRig, visitor: Visitor, order: str) -> None:
    for offset in range(60):
        rig.clock.advance(1)
        rig.judge(offset)
    pages = [visitor.get(f"/history?line=A{order}").text]
    while following := re.search(r'rel="next" href="([^"]+)"', pages[-1]):
        pages.append(visitor.get(following[1].replace("&amp;", "&")).text)
    assert [len(tiles(page)) for page in pages] == [24, 24, 12]
    assert 'rel="prev"' not in pages[0]
    page = pages[-1]
    for expected in reversed(pages[:-1]):
        previous = re.search(r'rel="prev" href="([^"]+)"', page)
        assert previous
        page = visitor.get(previous[1].replace("&amp;", "&")).text
        assert tiles(page) == tiles(expected)
    assert 'rel="prev"' not in page


def test_report_of_markup_is_text_and_wrong_spans_are_named(rig: PagesRig, visitor: Visitor) -> None:
    rig.judge(0, verdict=Verdict.REJECT, **dict.fromkeys(("line", "camera", "model_version"), MARKUP))
    span = "from=2026-11-23T13:00&to=2026-11-23T14:00"
    page = visitor.get(f"/report?{span}&line={MARKUP}").text
    assert "1 defect on 1 frame" in page
    assert "<img src=x" not in page
    assert "Nobody has reviewed any of the 1 rejects" in page
    for query, sentence in (
        ("from=2026-11-23T13:00&to=2026-11-23T13:00", "does not come before its end"),
        ("from=2020-11-23T13:00&to=2026-11-23T13:00", "longer than 366 days"),
        ("from=soon", "from: give a time"),
        ("span=weekend", "span:"),
        ("from=9999-12-31T23:00", "calendar"),
        ("to=0001-01-01T00:00", "calendar"),
    ):
        refused = visitor.get(f"/report?{query}")
        assert (refused.status_code, sentence in refused.text) == (400, True), query


def test_named_spans_lead_to_an_address_that_stays(visitor: Visitor) -> None:
    assert visitor.get("/report").headers["location"].startswith("/report?from=2026-11-23T06")
    answer = visitor.get("/report?line=A&line=B&span=last-shift&from=2020-01-01T00:00&to=")
    assert answer.status_code == 303
    times = "from=2026-11-22T22%3A00%3A00%2B01%3A00&to=2026-11-23T06%3A00%3A00%2B01%3A00"
    assert answer.headers["location"] == f"/report?line=A&line=B&{times}"


def test_form_takes_times_with_and_without_zone_and_hands_them_to_the_csv(rig: PagesRig, visitor: Visitor) -> None:
    for offset in range(3):
        rig.judge(offset)
        rig.clock.advance(60)
    until = (NOON + timedelta(seconds=90)).isoformat().replace("+", "%2B")
    page = visitor.get(f"/history?since=2026-11-23T12:01&until={until}").text
    assert tiles(page) == ["/history/frame/images/0/1"]
    csv = re.search(r'href="([^"]+\.csv[^"]*)" download', page)
    assert csv
    rows = visitor.get(csv[1].replace("&amp;", "&")).text.splitlines()
    assert len(rows) == 2


def test_a_wrong_field_is_named_and_what_was_typed_stays(rig: PagesRig, visitor: Visitor) -> None:
    rig.judge(0)
    page = visitor.get("/history?min_score=much&part=P1")
    assert page.status_code == 400
    assert "min_score: give a number." in page.text
    assert 'value="much"' in page.text
    assert 'value="P1"' in page.text


def test_a_frame_shows_verdict_boxes_heatmap_and_neighbours(rig: PagesRig, visitor: Visitor) -> None:
    for offset in range(3):
        rig.clock.advance(1)
        rig.judge(offset, verdict=Verdict.REJECT if offset == 1 else Verdict.PASS, part=f"P{offset}")
    page = visitor.get("/history/frame/images/0/1").text
    assert "<h1>Part P1</h1>" in page
    assert '<rect x="200" y="90" width="50" height="40">' in page
    assert "heatmap.png" in page
    assert 'href="/history/frame/images/0/0" data-earlier' in page
    assert 'href="/history/frame/images/0/2" data-later' in page
    assert 'data-nobody="Nobody has judged this frame."' in page
    assert visitor.get("/history/frame/images/0/9").status_code == 404


def test_a_frame_is_found_by_position_part_and_id(rig: PagesRig, visitor: Visitor) -> None:
    rig.judge(0, part="P 7")
    rig.judge(1, part="twice")
    rig.judge(2, part="twice")
    for text in ("images:0:0", " P 7 ", "f0"):
        assert visitor.get("/history/find", params={"q": text}).headers["location"] == ONE
    assert visitor.get("/history/find?q=twice").headers["location"] == "/history?part=twice"
    for text in (MARKUP, "", "x" * 999):
        missing = visitor.get("/history/find", params={"q": text})
        assert missing.status_code == 404
        assert "<img src=x" not in missing.text
