"""Reports and timelines by HTTP, on both databases."""

from datetime import timedelta

import pytest

from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Outage
from qc_worker.domain.inspection import Verdict
from tests.support.api import API, ApiRig
from tests.support.factories import NOON
from tests.support.published import inspection, places

pytestmark = pytest.mark.anyio
SPAN = {"from": "2026-11-23T12:00:00Z", "to": "2026-11-23T21:00:00+01:00"}


def some(rig: ApiRig) -> None:
    rig.write(
        *(inspection(offset, verdict=Verdict.REJECT if offset < 2 else Verdict.PASS) for offset in range(8)),
        inspection(8, line="B", verdict=Verdict.REVIEW, camera="=side"),
    )


async def test_report_is_that_of_its_lines_and_span(rig: ApiRig) -> None:
    some(rig)
    one = await rig.get("/report", line="A", **SPAN)
    assert one["span"] == {"lines": ["A"], "from": "2026-11-23T12:00:00Z", "to": "2026-11-23T20:00:00Z"}
    assert one["by_verdict"] == {"pass": 6, "reject": 2, "review": 0, "error": 0, "no_model": 0}
    assert one["pass_share"] == 6 / 8
    assert one["assumptions"]
    every = await rig.get("/report", line=["A", "B"], **SPAN)
    assert [line["frames"] for line in every["by_line"]] == [8, 1]
    assert (await rig.get("/report", **SPAN))["frames"] == 9
    rig.clock.advance(3600)
    assert (await rig.get("/report"))["frames"] == 9


async def test_report_comes_as_csv(rig: ApiRig) -> None:
    some(rig)
    async with rig.client() as client:
        answer = await client.get(f"{API}/report.csv", params=SPAN)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = answer.text.splitlines()
    assert {"verdict,reject,2", "line reject,A,2", 'camera,"B, =side",1'} <= set(rows)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"from": "2026-11-23T12:00:00Z", "to": "2026-11-23T12:00:00Z"}, "does not come before its end"),
        ({"from": "2020-11-23T12:00:00Z", "to": "2026-11-23T12:00:00Z"}, "longer than 366 days"),
        ({"to": "0001-01-01T00:00:00Z"}, "calendar"),
        ({"from": "9999-12-31T22:00:00-09:00", "to": "9999-12-31T23:00:00-09:00"}, "calendar"),
        ({"line": "A\0"}, "not a line"),
        ({"from": "yesterday"}, "from: give a time"),
    ],
)
async def test_span_or_line_that_cannot_be_is_refused(rig: ApiRig, parameters: dict[str, str], sentence: str) -> None:
    async with rig.client() as client:
        answer = await client.get(f"{API}/report", params=parameters)
    assert answer.status_code == 400
    assert sentence in answer.json()["detail"]


async def test_what_retention_took_and_what_waits_is_shown(rig: ApiRig) -> None:
    rig.write(inspection(0))
    (partition,) = places(1)
    HistoryWriter(rig.database).note_gap(partition, range(1, 9), to_us(NOON))
    rig.outages.append(Outage("results", NOON + timedelta(hours=1), "no broker answers"))
    lost, waiting = (await rig.get("/report", **SPAN))["missing"]
    assert (lost["from"], lost["to"], lost["records"], lost["is_lost"]) == ("2026-11-23T12:00:00Z", None, 8, True)
    assert (waiting["from"], waiting["is_lost"]) == ("2026-11-23T13:00:00Z", False)
    assert (await rig.get("/lines"))["lost"] == [{"since": "2026-11-23T12:00:00Z", "until": None, "records": 8}]
    rig.clock.advance(3 * 86_400)
    rig.write(*(inspection(offset) for offset in range(60, 69)))
    assert (await rig.get("/lines"))["lost"] == []


async def test_timeline_counts_by_bucket(rig: ApiRig) -> None:
    some(rig)
    found = await rig.get("/timeline", line="A")
    assert (found["since"], found["until"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:00:10Z")
    assert found["bucket_s"] == 10
    (bucket,) = found["buckets"]
    assert bucket["counts"] == {"pass": 6, "reject": 2}
    wide = await rig.get("/timeline", since="2026-11-23T00:00:00Z", until="2026-11-24T00:00:00Z", verdict="review")
    assert wide["bucket_s"] == 900
    assert [one["counts"] for one in wide["buckets"]] == [{"review": 1}]
    assert (await rig.get("/timeline", since="2026-11-24T00:00:00Z", until="2026-11-23T00:00:00Z"))["buckets"] == []
    assert (await rig.get("/timeline", since="0001-01-01T00:00:00Z", until="9999-12-31T00:00:00Z"))["buckets"]
