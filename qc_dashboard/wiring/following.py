"""Make what follows the topics into the history, and what reads them from end to end."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from qc_dashboard.database.database import Database
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Source
from qc_dashboard.projecting.projection import Projection
from qc_dashboard.projecting.reading import WholeTopic
from qc_dashboard.settings import DashboardSettings
from qc_worker.domain.frame import Offsets, Record
from qc_worker.ports.feeds import Feed, PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.published import (
    published_collected,
    published_feedback,
    published_inspection,
    published_release,
)
from qc_worker.wiring.brokers import kafka_access

MAX_POLL_RECORDS = 2_000
"""Records in one transaction at most."""
T = TypeVar("T")


def projection(settings: DashboardSettings, database: Database) -> Projection:
    """Make the projection, not started yet. Raises SettingsError."""
    access, writer = kafka_access(settings), HistoryWriter(database)
    results, models = settings.results_topic, settings.models_topic
    feedback, samples = settings.feedback_topic, settings.samples_topic
    return Projection(
        writer,
        results=Source(
            results, _opening(access, results, published_inspection), writer.add_inspections, writer.note_gap
        ),
        models=Source(models, _opening(access, models, published_release), writer.add_releases),
        feedback=Source(feedback, _opening(access, feedback, published_feedback), writer.add_feedback),
        samples=Source(samples, _opening(access, samples, published_collected), writer.add_collected),
        clock=SystemClock(),
    )


@dataclass(frozen=True, slots=True)
class WholeTopics:
    """What a rebuild reads."""

    results: WholeTopic[PublishedInspection]
    models: WholeTopic[PublishedRelease]
    feedback: WholeTopic[PublishedFeedback]
    samples: WholeTopic[PublishedCollected]


@contextmanager
def whole_topics(settings: DashboardSettings) -> Iterator[WholeTopics]:
    """Connect to the brokers, to read topics from end to end. Raises SettingsError."""
    with closing(KafkaBooks(kafka_access(settings))) as books:
        yield WholeTopics(
            WholeTopic(settings.results_topic, books, published_inspection),
            WholeTopic(settings.models_topic, books, published_release),
            WholeTopic(settings.feedback_topic, books, published_feedback),
            WholeTopic(settings.samples_topic, books, published_collected),
        )


def _opening(access: KafkaAccess, topic: str, decode: Callable[[Record], T | None]) -> Callable[[], Feed[T]]:
    return lambda: KafkaFeed(access, topic=topic, decode=decode, max_records=MAX_POLL_RECORDS)


def oldest_offsets(access: KafkaAccess) -> Callable[[str], Offsets]:
    """Return what looks up the first offsets of a topic that retention has left."""

    def oldest(topic: str) -> Offsets:
        with closing(KafkaBooks(access)) as books:
            return books.oldest(topic)

    return oldest
