"""Tallies and timelines, compared with counting the inspections in Python, on SQLite and PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.history.rebuilding import Rebuild
from qc_dashboard.history.search import Search
from qc_dashboard.history.slots import MAX_BUCKETS, SLOTS_US, bucket_for, spans
from qc_dashboard.history.tables import consumed, tallies
from qc_dashboard.history.tallying import line_tallies, tally_again
from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter, Step
from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.ports.feeds import PublishedRelease
from qc_worker.wire.json_types import encode_release
from tests.contract.dashboard.test_history_search import few_names, fill, meets, place
from tests.contract.rigs import release
from tests.support.factories import NOON
from tests.support.published import RESULTS, inspection, places, published

NOW_US = to_us(NOON) + 3_600_000_000
MINUTE = timedelta(minutes=1)
minutes = st.integers(-3_000, 3_000)
populations = st.lists(
    st.builds(
        lambda line, camera, minute, verdict, version, late: {
            "line": line,
            "camera": camera,
            "captured_at": NOON + minute * MINUTE,
            "verdict": verdict,
            "model_version": version,
            "late": late,
        },
        st.none() | few_names,
        st.none() | few_names,
        minutes,
        st.sampled_from(Verdict),
        st.none() | st.sampled_from(["v1", "v2"]),
        st.booleans(),
    ),
    max_size=30,
).map(lambda fields: [inspection(offset, **one) for offset, one in enumerate(fields)])
moments = st.tuples(minutes, st.integers(0, 59)).map(lambda at: to_us(NOON + at[0] * MINUTE + timedelta(seconds=at[1])))
edges = st.none() | moments
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


@few
@given(
    population=populations,
    line=st.none() | few_names,
    camera=st.none() | few_names,
    verdicts=st.lists(st.sampled_from(Verdict), max_size=2, unique=True).map(tuple),
    since=edges,
    until=edges,
)
def test_timeline_counts_each_inspection_of_the_search_once_in_its_bucket(
    database: Database,
    history: History,
    *,
    population: list[Inspection],
    line: str | None,
    camera: str | None,
    verdicts: tuple[Verdict, ...],
    since: int | None,
    until: int | None,
) -> None:
    fill(database, population)
    search = Search(line=line, camera=camera, verdicts=verdicts, since_us=since, until_us=until)
    found = history.timeline(search, now_us=to_us(NOON + 4_000 * MINUTE))
    expected = Counter(
        (place(one).taken_us // found.bucket_us * found.bucket_us, one.verdict)
        for one in population
        if meets(search, one)
    )
    assert {(b.start_us, verdict): n for b in found.buckets for verdict, n in b.counts.items()} == expected
    assert len(found.buckets) <= MAX_BUCKETS + 1


@few
@given(population=populations, since=moments, until=moments)
def test_tallies_of_a_line_are_those_of_counting(
    database: Database, *, population: list[Inspection], since: int, until: int
) -> None:
    fill(database, population)
    for line in {one.line for one in population}:
        expected = Counter(
            (one.camera or "", one.verdict, one.model_version or "", one.late)
            for one in population
            if one.line == line and since <= place(one).taken_us < until
        )
        with database.reading() as connection:
            found = line_tallies(connection, line, since, until)
        counted = Counter[tuple[str, str, str, bool]]()
        for one in found:
            counted[one.camera, one.verdict, one.model_version, True] += one.late
            counted[one.camera, one.verdict, one.model_version, False] += one.frames - one.late
        assert +counted == expected


def rows(database: Database) -> Sequence[object]:
    with database.reading() as connection:
        return connection.execute(select(tallies).order_by(*tallies.primary_key)).all()


def test_repetitions_are_not_counted_and_counting_again_finds_the_same(database: Database) -> None:
    writer = HistoryWriter(database)
    first = [published(inspection(n, verdict=Verdict.ERROR, reason=Reason.UNDECODABLE), n) for n in range(5)]
    again = [published(inspection(n // 2, score=1.0), 5 + n) for n in range(3, 20)]
    writer.add_inspections(first, Step({}, places(5)))
    writer.add_inspections(again, Step(places(5), places(25)))
    with database.reading() as connection:
        counted = line_tallies(connection, "A", 0, NOW_US)
    assert [(one.verdict, one.reason, one.frames) for one in counted] == [("error", "undecodable", 5), ("pass", "", 5)]
    written = rows(database)
    with database.writing() as connection:
        tally_again(connection)
    assert rows(database) == written


def test_batch_that_is_read_again_counts_once(database: Database) -> None:
    writer, batch = HistoryWriter(database), [published(inspection(n), n) for n in range(3)]
    writer.add_inspections(batch, Step({}, places(3)))
    written = rows(database)
    with database.writing() as connection:
        connection.execute(update(consumed).values(next_offset=0))
    writer.add_inspections(batch, Step(places(0), places(3)))
    assert rows(database) == written


def test_rebuild_counts_what_it_leaves(database: Database) -> None:
    HistoryWriter(database).add_inspections([published(inspection(n), n) for n in range(4)], Step({}, places(4)))
    rebuild = Rebuild(database)
    rebuild.begin()
    rebuild.add([published(inspection(n, verdict=Verdict.REJECT), n) for n in range(2, 4)])
    rebuild.exchange(places(2), places(4))
    with database.reading() as connection:
        found = line_tallies(connection, "A", 0, NOW_US)
    assert {one.verdict: one.frames for one in found} == {"pass": 2, "reject": 2}


def test_marks_are_the_releases_of_the_line_in_the_span(history: History, database: Database) -> None:
    fill(database, [inspection(0)])
    published_releases = [release("A", "v1"), release("B", "v2")]
    HistoryWriter(database).add_releases(
        [
            PublishedRelease(one, Position("models", 0, number), encode_release(one))
            for number, one in enumerate(published_releases)
        ]
    )
    since, until = 0, NOW_US
    found = history.timeline(Search(line="A", since_us=since, until_us=until), now_us=NOW_US)
    assert [(mark.line, mark.version) for mark in found.marks] == [("A", "v1")]
    assert len(history.timeline(Search(since_us=since, until_us=until), now_us=NOW_US).marks) == 2


def test_cameras_clock_in_the_far_future_does_not_stretch_the_timeline(history: History, database: Database) -> None:
    fill(database, [inspection(0), inspection(1, captured_at=NOON.replace(year=9000))])
    found = history.timeline(Search(), now_us=NOW_US)
    assert found.until_us <= NOW_US + 8 * SLOTS_US[-1]
    assert sum(sum(bucket.counts.values()) for bucket in found.buckets) == 1


def test_gap_is_told_by_the_times_around_it(history: History, database: Database) -> None:
    writer = HistoryWriter(database)
    writer.add_inspections([published(inspection(0), 0)], Step({}, places(1)))
    (partition,) = places(1)
    for _ in range(2):
        writer.note_gap(partition, range(1, 50), NOW_US)
    (gap,) = history.gaps(0, NOW_US)
    assert (gap.since_us, gap.until_us, gap.records) == (to_us(NOON), None, 49)
    writer.add_inspections([published(inspection(60), 50)], Step(places(1), places(51)))
    (gap,) = history.gaps(0, NOW_US)
    assert gap.until_us == to_us(NOON + MINUTE)
    assert history.gaps(0, to_us(NOON)) == history.gaps(to_us(NOON + MINUTE), NOW_US) == []
    assert list(places(1)) == list(history.places(RESULTS))


@given(since=st.integers(-(10**12), 10**12), length=st.integers(0, 10**12))
def test_spans_cover_the_time_once_and_few_of_them_are_short(since: int, length: int) -> None:
    found = list(spans(since, since + length))
    ends = [since, *(span.until_us for span in found)]
    assert [span.since_us for span in found] == ends[:-1]
    assert ends[-1] == since + length
    assert len(found) <= 2 * len(SLOTS_US) + 1
    assert all(span.until_us - span.since_us < 2 * SLOTS_US[0] for span in found if span.length_us == 0)
    assert length <= bucket_for(length) * MAX_BUCKETS
