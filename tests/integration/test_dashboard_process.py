"""`qc-dashboard run` and `rebuild` as processes, on what a real worker has published."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from qc_dashboard.database.database import open_database
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Order, Search
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.inspection import Inspection
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from tests.conftest import eventually
from tests.faults.books import account
from tests.support.dashboard import DashboardProcess, rebuild
from tests.support.factories import NOON
from tests.support.plant import Plant
from tests.support.postgresql import PostgreSQL

pytestmark = pytest.mark.apache_only


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    database = open_database(database_url)
    database.migrate()
    yield History(database)
    database.close()


def judged(plant: Plant, frames: int) -> list[Inspection]:
    plant.train("A", "v1")
    plant.train("B", "v1")
    with plant.worker():
        plant.push(frames)
        return plant.settled_inspections(frames)


def counts(history: History) -> Counter[tuple[str | None, str]]:
    return Counter({(count.line, count.verdict): count.inspections for count in history.counts(Search())})


def test_history_has_what_the_worker_published(plant: Plant, database_url: str, history: History) -> None:
    dashboard = DashboardProcess(plant, database_url)
    try:
        inspections = judged(plant, 60)
        expected = Counter((one.line, str(one.verdict)) for one in inspections)
        eventually(lambda: counts(history) == expected)
        assert sum(expected.values()) == account(plant).frames
        found = history.search(Search(), order=Order.OLDEST, limit=1000)
        assert {one.inspection for one in found} == set(inspections)
        assert history.lines() == ["A", "B"]
        assert [release.version for release in history.releases("A")] == ["v1"]
        _judge(plant, inspections[0])
        eventually(lambda: history.feedback_on(inspections[0].source))
        assert dashboard.stop() == 0
    finally:
        dashboard.end()
    report = rebuild(plant, database_url)
    assert (report["inspections"], report["duplicates"], report["kept"], report["refused"]) == (60, 0, 0, 0)
    assert counts(history) == expected


def test_database_that_was_away_misses_nothing(plant: Plant, postgresql: PostgreSQL) -> None:
    with postgresql.new_database() as url, closing(open_database(url)) as database:
        dashboard = DashboardProcess(plant, url)
        try:
            judged(plant, 20)
            history = History(database)
            eventually(lambda: "dashboard started" in dashboard.log())
            eventually(lambda: sum(counts(history).values()) == 20)
            postgresql.stop()
            plant.push(20, first=20)
            with plant.worker():
                plant.settled_inspections(40)
                eventually(lambda: "history waits" in dashboard.log())
                postgresql.start()
            eventually(lambda: sum(counts(history).values()) == 40)
            assert history.duplicates() == 0
        finally:
            dashboard.end()
            postgresql.start()


def _judge(plant: Plant, inspection: Inspection) -> None:
    outbox = KafkaFeedbackOutbox(plant.access, topic=plant.topics["feedback"])
    outbox.send(
        Feedback(
            line=str(inspection.line),
            frame_id=str(inspection.frame_id),
            source=inspection.source,
            verdict=Judgement.GOOD,
            accepted_by="an operator",
            accepted_at=NOON,
        )
    )
    outbox.close()
