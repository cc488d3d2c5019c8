"""What a batch leaves in the history, on SQLite and PostgreSQL."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Search
from qc_dashboard.history.writing import HistoryWriter, PlacesMoved, Step, Written
from qc_worker.domain.frame import Partition, Position
from qc_worker.ports.feeds import PublishedFeedback, PublishedRelease
from qc_worker.wire.json_types import encode_feedback, encode_release
from tests.contract.rigs import feedback, release
from tests.support.published import RESULTS, inspection, places, published
from tests.unit.wire.strategies import inspections


@pytest.fixture
def writer(database: Database) -> HistoryWriter:
    return HistoryWriter(database)


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


def test_batch_and_its_places_are_stored_together(writer: HistoryWriter, history: History) -> None:
    batch = [published(inspection(offset), offset) for offset in range(3)]
    assert writer.add_inspections(batch, Step({}, places(3))) == Written(3, 0, 0)
    assert writer.places(RESULTS) == history.places(RESULTS) == places(3)
    assert [one.source.offset for one in history.search(Search())] == [2, 1, 0]


def test_whole_inspection_is_kept_as_results_carried_it(writer: HistoryWriter, history: History) -> None:
    sent = published(inspection(7), 0)
    writer.add_inspections([sent], Step({}, places(1)))
    stored = history.inspection(Position("images", 0, 7))
    assert stored is not None
    assert stored.document.encode() == sent.content
    assert stored.inspection == sent.inspection
    assert history.inspection(Position("images", 0, 8)) is None


def test_first_inspection_of_a_frame_counts_and_others_are_duplicates(writer: HistoryWriter, history: History) -> None:
    writer.add_inspections([published(inspection(1, score=1.0), 0)], Step({}, places(1)))
    again = [published(inspection(1, score=2.0), 1), published(inspection(2), 2), published(inspection(2), 3)]
    assert writer.add_inspections(again, Step(places(1), places(4))) == Written(1, 2, 0)
    assert [one.score for one in history.search(Search())] == [0.5, 1.0]
    assert history.duplicates() == 2


def test_many_duplicates_at_once_are_all_counted(writer: HistoryWriter, history: History) -> None:
    batch = [published(inspection(offset), offset) for offset in range(1000)]
    writer.add_inspections(batch, Step({}, places(1000)))
    again = [published(inspection(offset), 1000 + offset) for offset in range(500, 1500)]
    assert writer.add_inspections(again, Step(places(1000), places(2000))) == Written(500, 500, 0)
    assert history.duplicates() == 500


def test_batch_of_another_process_leaves_nothing_of_ours(writer: HistoryWriter, history: History) -> None:
    writer.add_inspections([published(inspection(1), 0)], Step({}, places(1)))
    with pytest.raises(PlacesMoved):
        writer.add_inspections([published(inspection(2), 0)], Step({}, places(1)))
    assert len(history.search(Search())) == 1
    assert writer.places(RESULTS) == places(1)


def test_partitions_of_a_topic_have_places_of_their_own(writer: HistoryWriter) -> None:
    writer.add_inspections([published(inspection(1), 0)], Step({}, places(1)))
    step = Step(places(1), {**places(1), **places(8, partition=1)})
    writer.add_inspections([published(inspection(2), 7, partition=1)], step)
    assert writer.places(RESULTS) == {Partition(RESULTS, 0): 1, Partition(RESULTS, 1): 8}


@pytest.mark.parametrize(
    "fields",
    [
        {"line": "A\0B"},
        {"camera": "c" * 10_000},
        {"source": Position("images", 2**31, 0)},
        {"source": Position("images", 0, 2**63)},
        {"source": Position("images", -1, 0)},
    ],
)
def test_what_no_database_can_hold_is_refused_and_stops_nothing(
    writer: HistoryWriter, history: History, fields: dict[str, object]
) -> None:
    batch = [published(inspection(1, **fields), 0), published(inspection(2), 1)]
    assert writer.add_inspections(batch, Step({}, places(2))) == Written(1, 0, 1)
    assert [one.source.offset for one in history.search(Search())] == [2]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(inspections, max_size=5))
def test_any_inspection_is_stored_or_refused(writer: HistoryWriter, history: History, batch: list[object]) -> None:
    before = writer.places(RESULTS)
    start = before.get(Partition(RESULTS, 0), 0)
    sent = [published(one, start + index) for index, one in enumerate(batch)]  # type: ignore[arg-type]
    written = writer.add_inspections(sent, Step(before, places(start + len(sent))))
    assert written.stored + written.duplicates + written.refused == len(sent)
    assert sum(count.inspections for count in history.counts(Search())) == len(history.search(Search(), limit=10_000))
    for one in sent:
        stored = history.inspection(one.inspection.source)
        assert stored is None or stored.inspection.source == one.inspection.source


def test_releases_are_stored_once(writer: HistoryWriter, history: History) -> None:
    both = [release("A", "v1"), release("A", "v2")]
    sent = [
        PublishedRelease(one, Position("models", 0, offset), encode_release(one))
        for offset, one in enumerate([*both, both[0]])
    ]
    after = {Partition("models", 0): 3}
    assert writer.add_releases(sent, Step({}, after)) == Written(2, 1, 0)
    assert history.releases("A") == both
    assert history.releases("B") == []
    assert writer.places("models") == after


def test_feedback_is_stored_once(writer: HistoryWriter, history: History) -> None:
    said = feedback("f1")
    sent = [PublishedFeedback(said, Position("feedback", 0, offset), encode_feedback(said)) for offset in range(2)]
    assert writer.add_feedback(sent, Step({}, {Partition("feedback", 0): 2})) == Written(1, 1, 0)
    assert history.feedback_on(said.source) == [said]
    assert history.feedback_on(Position("images", 5, 5)) == []
