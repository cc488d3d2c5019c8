"""Searches, neighbours and counts, compared with a plain model in Python, on SQLite and PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History, advanced
from qc_dashboard.history.search import Order, Place, Search, StoredInspection
from qc_dashboard.history.tables import consumed, duplicates, tallies
from qc_dashboard.history.tables import inspections as inspections_table
from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter, Step
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection, Verdict
from tests.support.factories import NOON
from tests.support.published import RESULTS, inspection, places, published

MINUTE_US = 60_000_000
few_names = st.sampled_from(["A", "B", "b", "é", "A-1"])
few_times = st.integers(-3, 3).map(lambda minutes: NOON + timedelta(seconds=30 * minutes))
scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])
stored_inspections = st.builds(
    Inspection,
    frame_id=st.none() | few_names,
    line=st.none() | few_names,
    camera=st.none() | few_names,
    captured_at=st.none() | few_times,
    scored_at=few_times,
    source=st.builds(
        Position, st.sampled_from(["images", "Images", "images-é"]), st.integers(0, 2), st.integers(0, 2**40)
    ),
    verdict=st.sampled_from(Verdict),
    model_version=st.none() | st.sampled_from(["v1", "v2"]),
    score=st.none() | scores,
)
searches = st.builds(
    Search,
    line=st.none() | few_names,
    camera=st.none() | few_names,
    verdicts=st.lists(st.sampled_from(Verdict), max_size=2).map(tuple),
    model_version=st.none() | st.sampled_from(["v1", "v2"]),
    frame_id=st.none() | few_names,
    since_us=st.none() | few_times.map(to_us),
    until_us=st.none() | few_times.map(to_us),
    min_score=st.none() | scores,
    max_score=st.none() | scores,
)
populations = st.lists(stored_inspections, max_size=25, unique_by=lambda one: one.source)
on_one_database = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


def fill(database: Database, population: Sequence[Inspection]) -> None:
    """Have these inspections in the history, and no others."""
    with database.writing() as connection:
        for table in (inspections_table, tallies, duplicates, consumed):
            connection.execute(delete(table))
    batch = [published(one, offset) for offset, one in enumerate(population)]
    HistoryWriter(database).add_inspections(batch, Step({}, places(len(batch))))


def place(one: Inspection) -> Place:
    return Place(to_us(one.captured_at or one.scored_at), one.source)


def meets(search: Search, one: Inspection) -> bool:
    score = one.score
    return (
        all(getattr(search, name) in (None, getattr(one, name)) for name in ("line", "camera", "model_version"))
        and search.frame_id in (None, one.frame_id)
        and (not search.verdicts or one.verdict in search.verdicts)
        and (search.since_us is None or place(one).taken_us >= search.since_us)
        and (search.until_us is None or place(one).taken_us < search.until_us)
        and (search.min_score is None or (score is not None and score >= search.min_score))
        and (search.max_score is None or (score is not None and score <= search.max_score))
    )


def model(population: Sequence[Inspection], search: Search, order: Order) -> list[Position]:
    found = sorted((place(one) for one in population if meets(search, one)), reverse=order is Order.NEWEST)
    return [one.source for one in found]


def sources(found: Sequence[StoredInspection]) -> list[Position]:
    return [one.source for one in found]


@on_one_database
@given(population=populations, search=searches, order=st.sampled_from(Order), limit=st.integers(1, 5))
def test_pages_of_a_search_are_those_of_the_model(  # noqa: PLR0917  (hypothesis passes them by name)
    database: Database, history: History, population: list[Inspection], search: Search, order: Order, limit: int
) -> None:
    fill(database, population)
    expected = model(population, search, order)
    assert sources(history.search(search, order=order, limit=1000)) == expected
    pages: list[Position] = []
    after: Place | None = None
    while page := history.search(search, order=order, after=after, limit=limit):
        pages += sources(page)
        after = Place.parse(str(page[-1].place))
    assert pages == expected


@on_one_database
@given(population=populations, search=searches, bucket_us=st.sampled_from([None, MINUTE_US, 7 * MINUTE_US]))
def test_counts_are_those_of_the_model(
    database: Database, history: History, population: list[Inspection], search: Search, bucket_us: int | None
) -> None:
    fill(database, population)
    expected = Counter(
        (one.line, one.verdict, place(one).taken_us // bucket_us * bucket_us if bucket_us else 0)
        for one in population
        if meets(search, one)
    )
    found = history.counts(search, bucket_us=bucket_us)
    assert {(count.line, count.verdict, count.bucket_us): count.inspections for count in found} == expected


@on_one_database
@given(population=populations)
def test_lines_cameras_and_versions_are_listed(
    database: Database, history: History, population: list[Inspection]
) -> None:
    fill(database, population)
    assert history.lines() == sorted({one.line for one in population if one.line is not None})
    for line in history.lines():
        same = [one for one in population if one.line == line]
        assert history.cameras(line) == sorted({one.camera for one in same if one.camera is not None})
        assert history.versions(line) == sorted({one.model_version for one in same if one.model_version is not None})


def test_neighbours_are_of_the_same_line_and_camera_nearest_first(database: Database, history: History) -> None:
    others: list[dict[str, Any]] = [{"line": "B"}, {"camera": "side"}]
    population = [inspection(offset, **(others[offset % 4] if offset % 4 < 2 else {})) for offset in range(40)]
    fill(database, population)
    found = history.neighbours(Position("images", 0, 18), count=2)
    assert found is not None
    assert [one.source.offset for one in found.before] == [15, 14]
    assert [one.source.offset for one in found.after] == [19, 22]
    assert history.neighbours(Position("images", 0, 99)) is None


def test_inspections_of_one_time_are_paged_by_source(database: Database, history: History) -> None:
    population = [inspection(offset, captured_at=NOON) for offset in range(7)]
    fill(database, population)
    first = history.search(Search(), limit=3)
    second = history.search(Search(), limit=3, after=first[-1].place)
    assert [one.source.offset for one in [*first, *second]] == [6, 5, 4, 3, 2, 1]


def test_stream_continues_where_it_was_left(database: Database, history: History) -> None:
    fill(database, [inspection(offset) for offset in range(10)])
    first = history.published_after(places(2), limit=3)
    assert [one.results_offset for one in first] == [2, 3, 4]
    then = advanced(places(2), first)
    assert then == places(5)
    assert [one.results_offset for one in history.published_after(then)] == [5, 6, 7, 8, 9]
    assert history.places(RESULTS) == places(10)


@pytest.mark.parametrize(
    "search",
    [
        Search(line="A\0"),
        Search(part="\0"),
        Search(frame_id="x" * 100_000),
        Search(since_us=10**30),
        Search(until_us=-(10**30)),
        Search(min_score=float("inf")),
    ],
)
def test_search_for_what_no_row_can_have_finds_nothing(database: Database, history: History, search: Search) -> None:
    fill(database, [inspection(0)])
    assert history.search(search) == []
    assert history.counts(search) == []


@pytest.mark.parametrize(
    "source", [Position("a\0", 0, 0), Position("images", 2**31, 0), Position("images", 0, 10**30), Position("", -1, -1)]
)
def test_position_that_no_row_can_have_is_not_found(database: Database, history: History, source: Position) -> None:
    fill(database, [inspection(0)])
    assert history.inspection(source) is None
    assert history.neighbours(source) is None
    assert history.feedback_on(source) == []
    assert history.search(Search(), after=Place(0, source)) == []


@pytest.mark.parametrize("text", ["", "1", "x:images:0:1", "1:images:0", "-:images:0:1", "9" * 30 + ":images:0:1"])
def test_text_that_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Place.parse(text)
