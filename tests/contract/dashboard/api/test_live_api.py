"""The live state and the stream by HTTP: exact counts, samples, and no gap between two connections."""

import asyncio
import json
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import delete

from qc_dashboard.api.live import feed, missed
from qc_dashboard.history.tables import consumed, inspections
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Outage
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.domain.release import Release, ReleaseAction
from qc_worker.ports.feeds import PublishedRelease
from qc_worker.wire.json_types import encode_release
from tests.support.api import ApiRig, EventStream, stream
from tests.support.factories import NOON
from tests.support.published import RESULTS, inspection

pytestmark = pytest.mark.anyio

VERDICTS = (Verdict.PASS, Verdict.PASS, Verdict.REJECT, Verdict.REVIEW, Verdict.ERROR)


def recent(offset: int, **fields: object) -> Inspection:
    """An inspection that was judged at noon, which is now."""
    return inspection(offset, scored_at=NOON, **fields)


def mixed(first: int, last: int, *, line: str = "A") -> list[Inspection]:
    return [recent(n, line=line, verdict=VERDICTS[n % 5]) for n in range(first, last)]


async def counted(events: EventStream, total: int) -> tuple[Counter[tuple[str, str]], str]:
    """Add up events until that many inspections were counted; return the counts and the last id."""
    counts: Counter[tuple[str, str]] = Counter()
    last = ""
    while sum(counts.values()) < total:
        event = await events.event()
        assert event["event"] == "inspections"
        for line in json.loads(event["data"])["lines"]:
            counts.update({(line["line"], verdict): count for verdict, count in line["counts"].items()})
        last = event["id"]
    return counts, last


def expected(*judged: Inspection) -> Counter[tuple[str, str]]:
    return Counter((str(one.line), str(one.verdict)) for one in judged)


def step(rig: ApiRig) -> None:
    while rig.live.step():
        pass


async def test_a_line_shows_rates_shares_release_and_lag(rig: ApiRig) -> None:
    rig.write(*mixed(0, 120), recent(120, verdict=Verdict.PASS, captured_at=NOON + timedelta(hours=1), late=True))
    release = Release("A", "v1", "0" * 64, 0.7, NOON, metrics={"max_false_reject": 0.01})
    rolled_back = Release("A", "v1", "0" * 64, 0.7, NOON + timedelta(seconds=9), ReleaseAction.ROLLBACK)
    for number, one in enumerate((release, rolled_back)):
        published = PublishedRelease(one, Position("models", 0, number), encode_release(one))
        HistoryWriter(rig.database).add_releases([published])
    step(rig)
    (line,) = (await rig.get("/lines"))["lines"]
    assert (line["line"], line["frames_per_s"], line["late"]) == ("A", 121 / 60, 1)
    assert line["counts"] == {"pass": 49, "reject": 24, "review": 24, "error": 24}
    assert line["reject_share"] == pytest.approx(24 / 121)
    assert line["release"]["max_false_reject"] == 0.01
    assert (line["release"]["version"], line["release"]["action"]) == ("v1", "rollback")
    assert line["last"]["source"]["offset"] == 120
    assert line["lag_s"] == -3600.0


async def test_newest_inspection_is_the_last_one_taken_however_late_it_came(rig: ApiRig) -> None:
    rig.write(recent(5), recent(3))
    assert (await rig.get("/lines"))["lines"][0]["last"]["source"]["offset"] == 5
    step(rig)
    for written, newest in ((4, 5), (7, 7), (6, 7)):
        rig.write(recent(written))
        step(rig)
        assert (await rig.get("/lines"))["lines"][0]["last"]["source"]["offset"] == newest


async def test_what_was_judged_long_ago_counts_no_longer(rig: ApiRig) -> None:
    rig.write(*mixed(0, 10))
    step(rig)
    rig.clock.advance(61)
    (line,) = (await rig.get("/lines"))["lines"]
    assert (line["frames_per_s"], sum(line["counts"].values())) == (0, 10)
    rig.clock.advance(900)
    (line,) = (await rig.get("/lines"))["lines"]
    assert (line["counts"], line["reject_share"]) == ({}, None)


async def test_a_start_counts_what_was_judged_before_it(rig: ApiRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "READ_AT_ONCE", 7)
    rig.write(*mixed(0, 50))
    rig.live.step()
    (line,) = (await rig.get("/lines"))["lines"]
    assert sum(line["counts"].values()) == 50


async def test_a_topic_that_cannot_be_followed_is_named(rig: ApiRig) -> None:
    rig.outages += [Outage(topic, NOON, "no broker answers") for topic in (RESULTS, "samples")]
    same = {"since": "2026-11-23T12:00:00Z", "reason": "no broker answers", "away": "broker"}
    assert (await rig.get("/lines"))["waiting"] == [
        {"topic": RESULTS, **same, "hides_verdicts": True},
        {"topic": "samples", **same, "hides_verdicts": False},
    ]


async def test_models_show_what_is_live_and_what_judges(rig: ApiRig) -> None:
    rig.write(*(recent(n, model_version="v1" if n < 3 else "v2") for n in range(8)))
    releases = [Release("A", f"v{n}", "0" * 64, 0.5, NOON + timedelta(minutes=n)) for n in (1, 2)]
    releases.append(Release("B", "v1", "0" * 64, 0.5, NOON))
    for number, one in enumerate(releases):
        published = PublishedRelease(one, Position("models", 0, number), encode_release(one))
        HistoryWriter(rig.database).add_releases([published])
    step(rig)
    first, second = (await rig.get("/models"))["lines"]
    assert [one["version"] for one in first["releases"]] == ["v2", "v1"]
    assert first["live"]["version"] == "v2"
    judging = [(one["version"], one["frames"], one["is_live"], one["partitions"]) for one in first["judging"]]
    assert judging == [("v1", 3, False, []), ("v2", 5, True, [0])]
    assert (second["line"], second["judging"]) == ("B", [])


async def test_a_stream_counts_exactly_and_samples_the_rare_verdicts(rig: ApiRig) -> None:
    rig.write(*mixed(0, 5))
    step(rig)
    async with stream(rig.app) as events:
        start = await events.event()
        assert (start["event"], json.loads(start["data"])["resumed"]) == ("start", False)
        news = [*mixed(5, 300), *mixed(300, 340, line="B")]
        rig.write(*news)
        step(rig)
        event = await events.event()
    lines = json.loads(event["data"])["lines"]
    assert {one["line"]: sum(one["counts"].values()) for one in lines} == {"A": 295, "B": 40}
    assert all(len(one["sample"]) == 3 for one in lines)
    assert all(sample["verdict"] != "pass" for one in lines for sample in one["sample"])


async def test_clients_that_keep_pace_are_sent_the_same(rig: ApiRig) -> None:
    step(rig)
    async with stream(rig.app) as one, stream(rig.app) as other:
        for events in (one, other):
            await events.event()
        for first in (0, 10):
            rig.write(*mixed(first, first + 10))
            step(rig)
            event = await one.event()
            assert event == await other.event()
            assert event["id"] == f"at.0-{first + 10}"


async def test_a_slow_client_gets_one_sum_of_what_came_in_meanwhile(rig: ApiRig) -> None:
    step(rig)
    async with stream(rig.app) as events:
        await events.event()
        for first in range(0, 100, 10):
            rig.write(*mixed(first, first + 10))
            step(rig)  # the event loop has not run since: the client was sent nothing
        event = await events.event()
    (line,) = json.loads(event["data"])["lines"]
    assert sum(line["counts"].values()) == 100
    assert len(line["sample"]) == 3


async def test_a_client_that_connects_again_misses_nothing_and_gets_nothing_twice(
    rig: ApiRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "READ_AT_ONCE", 7)
    before, away, after = mixed(0, 20), mixed(20, 70), mixed(70, 90)
    other = [recent(n, source=Position("images", 1, n)) for n in range(9)]
    step(rig)
    async with stream(rig.app) as events:
        await events.event()
        rig.write(*before)
        step(rig)
        counts, last = await counted(events, 20)
    assert counts == expected(*before)
    rig.write(*away)
    rig.write(*other, partition=3)  # a partition that came meanwhile
    step(rig)
    async with stream(rig.app, last_event_id=last) as events:
        assert json.loads((await events.event())["data"])["resumed"] is True
        rig.write(*after)
        step(rig)
        counts, last = await counted(events, 79)
    assert counts == expected(*away, *other, *after)
    step(rig)
    async with stream(rig.app, last_event_id=last) as events:
        await events.event()
        rig.write(*mixed(90, 91))
        step(rig)
        assert (await counted(events, 1))[0].total() == 1


async def test_a_stream_continues_the_state_of_the_lines(rig: ApiRig) -> None:
    rig.write(*mixed(0, 8))
    step(rig)
    state = await rig.get("/lines")
    rig.write(*mixed(8, 20))
    step(rig)
    async with stream(rig.app, after=state["event_id"]) as events:
        await events.event()
        counts, _ = await counted(events, 12)
    assert sum(state["lines"][0]["counts"].values()) + counts.total() == 20


@pytest.mark.parametrize("id_", ["at.0-900", "at.7-1", "at"])
async def test_who_has_missed_too_much_is_told_to_load_again(
    rig: ApiRig, monkeypatch: pytest.MonkeyPatch, id_: str
) -> None:
    monkeypatch.setattr(missed, "MOST_MISSED", 10)
    rig.write(*mixed(0, 20))
    step(rig)
    async with stream(rig.app, last_event_id=id_) as events:
        assert (await events.event())["event"] == "reload"
        start = await events.event()
    assert (start["event"], start["id"]) == ("start", "at.0-20")


async def test_a_stream_opened_before_the_first_look_begins_with_it(rig: ApiRig) -> None:
    rig.write(*mixed(0, 20))
    async with stream(rig.app) as events:
        beginning = asyncio.ensure_future(events.event())
        while rig.live.clients == 0:
            await asyncio.sleep(0)
        step(rig)
        assert (await beginning)["id"] == "at.0-20"


async def test_streams_end_when_the_server_stops(rig: ApiRig) -> None:
    step(rig)
    async with stream(rig.app) as events:
        await events.event()
        rig.app.state.web.stopping.set()
        assert await events.event() == {}
    assert rig.live.clients == 0


async def test_a_client_that_goes_is_forgotten(rig: ApiRig) -> None:
    step(rig)
    async with stream(rig.app) as events:
        await events.event()
        assert rig.live.clients == 1
    assert rig.live.clients == 0


async def test_more_clients_than_are_allowed_are_refused(rig: ApiRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_CLIENTS", 0)
    async with rig.client() as client:
        answer = await client.get("/api/v1/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("id_", ["x", "at.0", "at.0-1.", "at." + "1-1." * 3000 + "1-1"])
async def test_an_id_that_is_none_of_ours_is_refused(rig: ApiRig, id_: str) -> None:
    async with rig.client() as client:
        answer = await client.get("/api/v1/stream", headers={"Last-Event-ID": id_})
    assert answer.status_code == 400


async def test_a_topic_that_was_made_again_ends_the_streams_and_starts_the_counts_again(rig: ApiRig) -> None:
    rig.write(*mixed(0, 20))
    step(rig)
    async with stream(rig.app) as events:
        start = await events.event()
        with rig.database.writing() as connection:
            for table in (inspections, consumed):
                connection.execute(delete(table))
        rig.forget()
        rig.write(*mixed(0, 3))
        step(rig)
        assert await events.event() == {}
    async with stream(rig.app, last_event_id=start["id"]) as events:
        assert (await events.event())["event"] == "reload"
    (line,) = (await rig.get("/lines"))["lines"]
    assert sum(line["counts"].values()) == 3


async def test_the_feeds_own_thread_tells_clients(rig: ApiRig) -> None:
    rig.live.start()
    try:
        async with stream(rig.app) as events:
            await events.event()
            rig.write(*mixed(0, 20))
            assert (await counted(events, 20))[0].total() == 20
    finally:
        rig.live.close()
