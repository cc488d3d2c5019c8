"""Make the parts that run beside the pages: history, review, archive, and reading what versions were made from."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from qc_dashboard.archive.archive import Archive
from qc_dashboard.archive.archivist import Archivist
from qc_dashboard.archive.blobs import BlobStore
from qc_dashboard.archive.policy import ArchivePolicy
from qc_dashboard.archive.retention import Retention
from qc_dashboard.database.database import Database, open_database
from qc_dashboard.history.history import History
from qc_dashboard.outcomes.version_reader import VersionReader
from qc_dashboard.projecting.projection import Projection
from qc_dashboard.review.desk import ReviewDesk
from qc_dashboard.review.expiring import QueueExpiry
from qc_dashboard.review.filling import QueueFiller
from qc_dashboard.review.kinds import LineKinds
from qc_dashboard.review.nearest import GoodSamples
from qc_dashboard.review.queue import ReviewQueue
from qc_dashboard.review.recent import RecentWords
from qc_dashboard.review.repeating import Repeating
from qc_dashboard.review.review import Review, ReviewParts
from qc_dashboard.review.sending import WordSender
from qc_dashboard.review.statistics import ReviewStatistics
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.wiring.following import oldest_offsets, projection
from qc_worker.imaging.opening import ImageLimits
from qc_worker.registry.store import FsspecModelStore
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache
from qc_worker.wiring.brokers import kafka_access

GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the web application is made of."""

    database: Database
    projection: Projection
    archive: Archive
    review: Review


@contextmanager
def open_dashboard(settings: DashboardSettings) -> Iterator[Dashboard]:
    """Open the database with its newest tables, and follow the topics until the block ends.

    Raises SettingsError, and DatabaseAway if the database cannot be reached at the start.
    """
    with ExitStack() as stack:  # last in, first out
        database = stack.enter_context(migrated_database(settings))
        following = stack.enter_context(closing(projection(settings, database)))
        following.start()
        reviewing = stack.enter_context(closing(review(settings, database)))
        reviewing.start()
        following.inspections.tell(reviewing.history_grew)
        stack.enter_context(reading_versions(settings, database))
        yield Dashboard(database, following, stack.enter_context(archiving(settings, database)), reviewing)


@contextmanager
def reading_versions(settings: DashboardSettings, database: Database) -> Iterator[None]:
    """Read until the block ends which samples released versions were made from. Raises SettingsError."""
    url = settings.model_store_url
    reader = VersionReader(database, lambda: FsspecModelStore(url), SystemClock())
    with closing(Repeating("model-cards", reader.step)) as reading:
        reading.start()
        yield


@contextmanager
def archiving(settings: DashboardSettings, database: Database) -> Iterator[Archive]:
    """Archive evidence until the block ends. Raises SettingsError, and ArchiveAway if the archive cannot be opened."""
    clock, store = SystemClock(), BlobStore(settings.archive_address)
    max_bytes = int(settings.archive_max_gib * GIBIBYTE)
    policy = ArchivePolicy(settings.archive_days, settings.archive_pass_share, max_bytes)
    archive = Archive(database, store, clock=clock)
    timeout_s = settings.redis_timeout_ms / 1000
    heatmaps = open_heatmap_cache(settings.redis_url, ttl_s=settings.heatmap_ttl_s, timeout_s=timeout_s)
    archivist = Archivist(
        archive,
        Retention(database, store, policy),
        History(database),
        frames=KafkaFrameReader(kafka_access(settings)),
        heatmaps=heatmaps if settings.redis_url else None,
        limits=ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels),
        policy=policy,
        results_topic=settings.results_topic,
        clock=clock,
    )
    with closing(heatmaps), closing(archivist):
        archivist.start()
        yield archive


@contextmanager
def migrated_database(settings: DashboardSettings) -> Iterator[Database]:
    """Open the database with its newest tables. Raises SettingsError, DatabaseAway."""
    with closing(open_database(settings.database_url)) as database:
        database.migrate()
        yield database


def review(settings: DashboardSettings, database: Database) -> Review:
    """Make the review, not started yet. Raises SettingsError."""
    clock, kinds = SystemClock(), LineKinds(database, settings.review_kinds)
    access, queue = kafka_access(settings), ReviewQueue(database, clock, lease_s=settings.review_lease_s)
    parts = ReviewParts(
        queue,
        ReviewDesk(database, clock, kinds, lease_s=settings.review_lease_s),
        kinds,
        ReviewStatistics(database),
        QueueFiller(
            database,
            results_topic=settings.results_topic,
            feedback_topic=settings.feedback_topic,
            pass_share=settings.review_pass_share,
        ),
        WordSender(database, KafkaFeedbackOutbox(access, topic=settings.feedback_topic), clock),
        QueueExpiry(database, queue, clock, oldest=oldest_offsets(access)),
        GoodSamples(database),
        RecentWords(database),
    )
    return Review(parts)
