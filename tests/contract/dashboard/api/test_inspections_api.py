"""Searching by HTTP: every filter, pages without gaps or repetitions, single inspections, CSV."""

import asyncio
import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qc_dashboard.database.database import Database
from qc_dashboard.history.writing import HistoryWriter
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.ports.feeds import PublishedFeedback
from qc_worker.wire.json_types import decode_inspection, encode_feedback
from tests.contract.dashboard.test_history_search import fill, meets, populations, searches
from tests.support.api import API, ApiRig
from tests.support.factories import NOON
from tests.support.published import inspection

NOON_US = int(NOON.timestamp()) * 1_000_000
pytestmark = pytest.mark.anyio

FRAME = "/inspections/images/0/0"


def offsets(page: Any) -> list[int]:
    return [one["source"]["offset"] for one in page["inspections"]]


def filters(search: Any) -> dict[str, Any]:
    """The parameters of a search, as a client writes them."""
    given = {name: getattr(search, name) for name in ("line", "camera", "model_version", "part", "frame_id")}
    given |= {"min_score": search.min_score, "max_score": search.max_score}
    for name in ("since", "until"):
        us = getattr(search, f"{name}_us")
        given[name] = None if us is None else (NOON + timedelta(microseconds=us - NOON_US)).isoformat()
    given["verdict"] = [str(verdict) for verdict in search.verdicts]
    return {name: value for name, value in given.items() if value not in (None, [])}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    population=populations,
    search=searches,
    order=st.sampled_from(["newest", "oldest"]),
    limit=st.integers(1, 7),
)
def test_paging_through_any_search_returns_each_inspection_once_in_order(
    rig: ApiRig, *, population: list[Inspection], search: Any, order: str, limit: int
) -> None:
    fill(rig.database, population)
    found = asyncio.run(_all_pages(rig, filters(search), order=order, limit=limit))
    expected = [one for one in population if meets(search, one)]
    expected.sort(key=lambda one: (one.captured_at or one.scored_at, one.source), reverse=order == "newest")
    assert found == [str(one.source) for one in expected]


async def _all_pages(rig: ApiRig, parameters: dict[str, Any], *, order: str, limit: int) -> list[str]:
    found: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = await rig.get("/inspections", **parameters, **more, order=order, limit=limit)
        sources = [Position(**one["source"]) for one in page["inspections"]]
        assert len(sources) <= limit
        found += map(str, sources)
        if page["next"] is None:
            return found
        more = {"cursor": page["next"]}


async def test_a_list_has_what_the_history_has_and_where_to_find_more(rig: ApiRig) -> None:
    rig.write(inspection(0, part="4711", verdict=Verdict.REJECT, late=True))
    (one,) = (await rig.get("/inspections", part="4711"))["inspections"]
    assert one["verdict"] == "reject"
    assert (one["line"], one["camera"], one["frame_id"], one["part"]) == ("A", "top", "f0", "4711")
    assert one["taken_at"] == "2026-11-23T12:00:00Z"
    assert one["late"] is True
    assert one["links"]["frame"] == f"{API}{FRAME}/frame.jpg"


async def test_verdicts_are_alternatives_and_empty_text_is_no_condition(rig: ApiRig) -> None:
    rig.write(inspection(0), inspection(1, verdict=Verdict.REVIEW), inspection(2, verdict=Verdict.REJECT))
    page = await rig.get("/inspections", verdict=["review", "reject"], line="", order="oldest")
    assert offsets(page) == [1, 2]


@pytest.mark.parametrize(
    "query",
    [
        "lines=A",
        "line=A&line=B",
        "verdict=good",
        "limit=0",
        "limit=501",
        "limit=1_0",
        "since=yesterday",
        "since=2026-11-29T08:00:00",
        "since=0",
        "min_score=nan",
        "min_score=1_0",
        "order=random",
        "cursor=abc",
        "cursor=%00",
        "cursor=" + "A" * 2000,
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused_with_a_reason(rig: ApiRig, query: str) -> None:
    async with rig.client() as client:
        answer = await client.get(f"{API}/inspections?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 10


async def test_one_inspection_is_whole_as_it_was_published(rig: ApiRig) -> None:
    published = inspection(0, image_size=(64, 96), notes=("header x ignored: too long",))
    rig.write(published)
    whole = await rig.get(FRAME)
    assert decode_inspection(json.dumps(whole["inspection"]).encode()) == published
    assert whole["feedback"] == []


async def test_one_inspection_has_what_people_said_about_it(rig: ApiRig, database: Database) -> None:
    rig.write(inspection(0))
    said = Feedback("A", "f0", Position("images", 0, 0), Judgement.DEFECT, "Ada", NOON, kind="scratch")
    HistoryWriter(database).add_feedback([PublishedFeedback(said, Position("feedback", 0, 0), encode_feedback(said))])
    (one,) = (await rig.get(FRAME))["feedback"]
    assert (one["verdict"], one["kind"], one["accepted_by"]) == ("defect", "scratch", "Ada")
    assert one["outcome"]["stage"] == "sent"


@pytest.mark.parametrize(
    "path",
    [
        "images/0/7",
        "images/1/0",
        "results/0/0",
        "images/x/0",
        "images/0/-1",
        "images/0/" + "9" * 18,
        "images/0/" + "9" * 5000,
        "images/99999999999/0",
        "%00/0/0",
    ],
)
@pytest.mark.parametrize("what", ["", "/neighbours", "/frame.jpg", "/heatmap.png"])
async def test_a_frame_without_an_inspection_is_not_found(rig: ApiRig, path: str, what: str) -> None:
    rig.write(inspection(0))
    async with rig.client() as client:
        answer = await client.get(f"{API}/inspections/{path}{what}")
    assert answer.status_code == 404
    assert answer.json()["status"] == 404


async def test_neighbours_are_of_the_same_line_and_camera_nearest_first(rig: ApiRig) -> None:
    rig.write(*(inspection(n) for n in range(6)), inspection(6, line="B"), inspection(7, camera="side"))
    found = await rig.get("/inspections/images/0/3/neighbours", count=2)
    assert [one["source"]["offset"] for one in found["before"]] == [2, 1]
    assert [one["source"]["offset"] for one in found["after"]] == [4, 5]


async def test_csv_has_every_row_of_a_search_over_many_pages(rig: ApiRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qc_dashboard.api.csv_export.PAGE_ROWS", 3)
    rig.write(*(inspection(n, verdict=Verdict.REJECT if n % 2 else Verdict.PASS, score=n - 5.5) for n in range(12)))
    async with rig.client() as client:
        answer = await client.get(f"{API}/inspections.csv?verdict=reject&order=oldest")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert [row["offset"] for row in rows] == ["1", "3", "5", "7", "9", "11"]
    assert [float(row["score"]) for row in rows] == [-4.5, -2.5, -0.5, 1.5, 3.5, 5.5]


async def test_csv_never_holds_a_formula(rig: ApiRig) -> None:
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"]  # noqa: RUF001
    rig.write(*(inspection(n, part=part, camera=part) for n, part in enumerate(evil)))
    async with rig.client() as client:
        answer = await client.get(f"{API}/inspections.csv?order=oldest")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["part"] for row in rows] == [f"'{part}" for part in evil]
    assert all(row["camera"].startswith("'") for row in rows)
