"""A rebuild replaces what the topic holds, in one step, on SQLite and PostgreSQL."""

import pytest
from sqlalchemy import inspect

from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.history.rebuilding import Rebuild, Rebuilt
from qc_dashboard.history.search import Order, Search
from qc_dashboard.history.writing import HistoryWriter, PlacesMoved, Step
from qc_worker.domain.frame import Position
from qc_worker.runtime import failpoints
from tests.support.published import RESULTS, inspection, places, published


class Crashed(Exception):
    pass


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


@pytest.fixture
def writer(database: Database) -> HistoryWriter:
    """A history of the frames 0 to 9, of which `results` holds 5 to 9 no more; all are wrong by their score."""
    writer = HistoryWriter(database)
    writer.add_inspections([published(inspection(n, score=9.0), n) for n in range(10)], Step({}, places(10)))
    return writer


def offsets(history: History) -> list[int]:
    return [one.source.offset for one in history.search(Search(), order=Order.OLDEST, limit=1000)]


def begun(database: Database, first: int, end: int) -> Rebuild:
    rebuild = Rebuild(database)
    rebuild.begin()
    rebuild.add([published(inspection(n), n) for n in range(first, end)])
    return rebuild


def test_new_history_takes_the_place_of_the_old(database: Database, history: History, writer: HistoryWriter) -> None:
    rebuild = begun(database, 0, 10)
    assert {one.score for one in history.search(Search())} == {9.0}
    assert rebuild.exchange(places(0), places(10)) == Rebuilt(inspections=10, duplicates=0, kept=0, refused=0)
    assert {one.score for one in history.search(Search())} == {0.5}
    assert writer.places(RESULTS) == places(10)


def test_what_retention_has_removed_is_kept(database: Database, history: History, writer: HistoryWriter) -> None:
    assert begun(database, 5, 10).exchange(places(5), places(10)).kept == 5
    assert offsets(history) == list(range(10))
    assert [one.score for one in history.search(Search(), order=Order.OLDEST)] == [9.0] * 5 + [0.5] * 5


def test_what_retention_has_removed_can_be_forgotten(
    database: Database, history: History, writer: HistoryWriter
) -> None:
    begun(database, 0, 3).exchange(places(0), places(3), forget_older=True)
    assert offsets(history) == [0, 1, 2]
    assert writer.places(RESULTS) == places(3)


def test_running_projection_may_go_on(database: Database, history: History, writer: HistoryWriter) -> None:
    rebuild = begun(database, 0, 10)
    writer.add_inspections([published(inspection(10), 10)], Step(places(10), places(11)))
    rebuild.exchange(places(0), places(10))
    writer.add_inspections([published(inspection(11), 11)], Step(places(11), places(12)))
    assert offsets(history) == list(range(12))


def test_projection_that_lags_continues_behind_the_rebuild(
    database: Database, history: History, writer: HistoryWriter
) -> None:
    begun(database, 0, 20).exchange(places(0), places(20))
    with pytest.raises(PlacesMoved):
        writer.add_inspections([published(inspection(10), 10)], Step(places(10), places(11)))
    assert offsets(history) == list(range(20))
    assert writer.places(RESULTS) == places(20)


def test_duplicates_are_counted_again(database: Database, history: History, writer: HistoryWriter) -> None:
    again = [published(inspection(n), 10 + n) for n in range(10)]
    writer.add_inspections(again, Step(places(10), places(20)))
    assert history.duplicates() == 10
    rebuild = begun(database, 5, 10)
    rebuild.add(again)
    assert rebuild.exchange(places(5), places(20)) == Rebuilt(inspections=10, duplicates=10, kept=5, refused=0)
    assert history.duplicates() == 10
    first = history.inspection(Position("images", 0, 7))
    assert first is not None
    assert first.results_offset == 7


@pytest.mark.parametrize(
    ("place", "score"), [("after-rebuilt-rows", 9.0), ("in-exchange", 9.0), ("after-exchange", 0.5)]
)
def test_crash_leaves_the_old_history_or_the_new_one(
    database: Database, writer: HistoryWriter, place: str, score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(here: str) -> None:
        if here == place:
            raise Crashed

    monkeypatch.setattr("qc_dashboard.history.rebuilding.failpoint", crash)
    with pytest.raises(Crashed):
        begun(database, 0, 10).exchange(places(0), places(10))
    found = History(database).search(Search())
    assert [one.score for one in found] == [score] * 10
    monkeypatch.setattr("qc_dashboard.history.rebuilding.failpoint", failpoints.failpoint)
    assert begun(database, 0, 10).exchange(places(0), places(10)).inspections == 10
    with database.reading() as connection:
        assert not [name for name in inspect(connection).get_table_names() if "rebuilt" in name]
