"""Makes objects from settings: the only place that knows adapters."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from qc_dashboard.database.database import Database, open_database
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.follower import Source
from qc_dashboard.projecting.projection import Projection
from qc_dashboard.projecting.reading import WholeTopic
from qc_dashboard.review.desk import ReviewDesk
from qc_dashboard.review.filling import QueueFiller
from qc_dashboard.review.kinds import LineKinds
from qc_dashboard.review.queue import ReviewQueue
from qc_dashboard.review.review import Review, ReviewParts
from qc_dashboard.review.sending import WordSender
from qc_dashboard.review.statistics import ReviewStatistics
from qc_dashboard.settings import DashboardSettings
from qc_worker.domain.frame import Offsets, Record
from qc_worker.ports.feeds import Feed, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from qc_worker.transport.published import published_feedback, published_inspection, published_release
from qc_worker.wiring.brokers import kafka_access

MAX_POLL_RECORDS = 2_000
"""Records in one transaction at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the web application is made of."""

    database: Database
    projection: Projection
    review: Review


@contextmanager
def open_dashboard(settings: DashboardSettings) -> Iterator[Dashboard]:
    """Open the database with its newest tables, and follow the topics until the block ends.

    Raises SettingsError, and DatabaseAway if the database cannot be reached at the start.
    """
    with (
        migrated_database(settings) as database,
        closing(projection(settings, database)) as following,
        closing(review(settings, database)) as reviewing,
    ):
        following.start()
        reviewing.start()
        yield Dashboard(database, following, reviewing)


@contextmanager
def migrated_database(settings: DashboardSettings) -> Iterator[Database]:
    """Open the database with its newest tables. Raises SettingsError, DatabaseAway."""
    with closing(open_database(settings.database_url)) as database:
        database.migrate()
        yield database


def projection(settings: DashboardSettings, database: Database) -> Projection:
    """Make the projection, not started yet. Raises SettingsError."""
    access, writer = kafka_access(settings), HistoryWriter(database)
    results, models, feedback = settings.results_topic, settings.models_topic, settings.feedback_topic
    return Projection(
        writer,
        results=Source(results, *_opening(access, results, published_inspection), writer.add_inspections),
        models=Source(models, *_opening(access, models, published_release), writer.add_releases),
        feedback=Source(feedback, *_opening(access, feedback, published_feedback), writer.add_feedback),
        clock=SystemClock(),
    )


def review(settings: DashboardSettings, database: Database) -> Review:
    """Make the review, not started yet. Raises SettingsError."""
    clock, kinds = SystemClock(), LineKinds(database, settings.review_kinds)
    outbox = KafkaFeedbackOutbox(kafka_access(settings), topic=settings.feedback_topic)
    parts = ReviewParts(
        ReviewQueue(database, clock, lease_s=settings.review_lease_s),
        ReviewDesk(database, clock, kinds, lease_s=settings.review_lease_s),
        kinds,
        ReviewStatistics(database),
        QueueFiller(
            database,
            results_topic=settings.results_topic,
            feedback_topic=settings.feedback_topic,
            pass_share=settings.review_pass_share,
        ),
        WordSender(database, outbox, clock),
    )
    return Review(parts)


@dataclass(frozen=True, slots=True)
class WholeTopics:
    """What a rebuild reads."""

    results: WholeTopic[PublishedInspection]
    models: WholeTopic[PublishedRelease]
    feedback: WholeTopic[PublishedFeedback]


@contextmanager
def whole_topics(settings: DashboardSettings) -> Iterator[WholeTopics]:
    """Connect to the brokers, to read topics from end to end. Raises SettingsError."""
    with closing(KafkaBooks(kafka_access(settings))) as books:
        yield WholeTopics(
            WholeTopic(settings.results_topic, books, published_inspection),
            WholeTopic(settings.models_topic, books, published_release),
            WholeTopic(settings.feedback_topic, books, published_feedback),
        )


def _opening(
    access: KafkaAccess, topic: str, decode: Callable[[Record], T | None]
) -> tuple[Callable[[], Feed[T]], Callable[[], Offsets]]:
    """Return how to open the topic's feed, and how to look up its oldest offsets."""

    def oldest() -> Offsets:
        with closing(KafkaBooks(access)) as books:
            return books.oldest(topic)

    return lambda: KafkaFeed(access, topic=topic, decode=decode, max_records=MAX_POLL_RECORDS), oldest
