"""Makes objects from settings: the only place that knows adapters."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Thread
from typing import Any, TypeVar

from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from qc_dashboard.accounts.sessions import SessionLimits
from qc_dashboard.api.feedback.judging import Judging
from qc_dashboard.api.live.feed import LiveFeed
from qc_dashboard.api.parts import ApiParts
from qc_dashboard.api.pictures.pictures import Pictures
from qc_dashboard.api.routes import ROUTES as API_ROUTES
from qc_dashboard.archive.archive import Archive
from qc_dashboard.archive.archivist import Archivist
from qc_dashboard.archive.blobs import BlobStore
from qc_dashboard.archive.policy import ArchivePolicy
from qc_dashboard.archive.retention import Retention
from qc_dashboard.database.database import Database, open_database
from qc_dashboard.history.history import History
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.pages.routes import ROUTES as PAGE_ROUTES
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
from qc_dashboard.web.app import create_app
from qc_dashboard.web.door import Entrance
from qc_dashboard.web.routes import RoomRoute
from qc_dashboard.web.server import Tls
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Offsets, Record
from qc_worker.imaging.opening import ImageLimits
from qc_worker.ports.feeds import Feed, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.transport.published import published_feedback, published_inspection, published_release
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache
from qc_worker.wiring.brokers import kafka_access

ROUTES: tuple[RoomRoute, ...] = (*API_ROUTES, *PAGE_ROUTES)
"""What the rooms serve: the JSON routes of `api` and the pages of `pages`."""
STOP_TIMEOUT_S = 2.0
"""Time for the batch in hand; with the server's own time for requests less than its `LATEST_EXIT_S`."""
MAX_POLL_RECORDS = 2_000
"""Records in one transaction at most."""

GIBIBYTE = 1024**3

T = TypeVar("T")


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
        following = projection(settings, database)
        stack.callback(_stop_following, following)
        following.start()
        reviewing = stack.enter_context(closing(review(settings, database)))
        reviewing.start()
        yield Dashboard(database, following, stack.enter_context(archiving(settings, database)), reviewing)


def _stop_following(projection: Projection) -> None:
    """Stop the threads that follow the topics; one that waits for a broker is left behind, which loses nothing."""
    stopping = Thread(target=projection.close, name="history-stop", daemon=True)
    stopping.start()
    stopping.join(STOP_TIMEOUT_S)


@contextmanager
def archiving(settings: DashboardSettings, database: Database) -> Iterator[Archive]:
    """Archive evidence until the block ends. Raises SettingsError, and ArchiveAway if the archive cannot be opened."""
    clock, store = SystemClock(), BlobStore(settings.archive_address)
    max_bytes = int(settings.archive_max_gib * GIBIBYTE)
    policy = ArchivePolicy(settings.archive_days, settings.archive_pass_share, max_bytes)
    archive = Archive(database, store, clock=clock)
    heatmaps = open_heatmap_cache(settings.redis_url, ttl_s=settings.heatmap_ttl_s)
    archivist = Archivist(
        archive,
        Retention(database, store, policy),
        History(database),
        frames=KafkaFrameReader(kafka_access(settings)),
        heatmaps=heatmaps if settings.redis_url else None,
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


@contextmanager
def open_api(settings: DashboardSettings, dashboard: Dashboard) -> Iterator[ApiParts]:
    """Make what the JSON routes work on; brokers and cache are connected to when they are first needed.

    Raises SettingsError.
    """
    access, clock, history = kafka_access(settings), SystemClock(), History(dashboard.database)
    arrivals = dashboard.projection.inspections
    with ExitStack() as stack:
        frames = stack.enter_context(closing(KafkaFrameReader(access)))
        outbox = stack.enter_context(closing(KafkaFeedbackOutbox(access, topic=settings.feedback_topic)))
        timeout_s = settings.redis_timeout_ms / 1000
        cache = open_heatmap_cache(settings.redis_url, ttl_s=settings.heatmap_ttl_s, timeout_s=timeout_s)
        stack.callback(cache.close)
        live = LiveFeed(history, topic=settings.results_topic, clock=clock, arrivals=arrivals)
        stack.callback(live.close)
        live.start()
        limits = ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)
        pictures = Pictures(cache=cache, archive=dashboard.archive, frames=frames, limits=limits)
        judging = Judging(outbox, clock=clock)
        yield ApiParts(history, live, pictures, judging, dashboard.projection.outages, clock)


def build_accounts(settings: DashboardSettings, database: Database) -> Accounts:
    """Make users, sessions and audit on that database."""
    limits = SessionLimits(idle_s=settings.session_idle_s, total_s=settings.session_total_s)
    return Accounts(database, clock=SystemClock(), session_limits=limits)


def build_app(
    settings: DashboardSettings,
    accounts: Accounts,
    *,
    routes: Sequence[RoomRoute] = ROUTES,
    state: dict[str, Any] | None = None,
) -> Starlette:
    """Make the web app. Raises SettingsError if people could come in who should not."""
    return create_app(accounts, entrance(settings, has_users=accounts.users.any()), routes=routes, state=state)


def entrance(settings: DashboardSettings, *, has_users: bool) -> Entrance:
    """Decide how people may come in. Raises SettingsError."""
    loopback_only = is_loopback(settings.dashboard_host)
    if settings.trusted_header and not settings.proxy_networks:
        raise SettingsError("trusted_header needs trusted_proxies: the addresses that may send it")
    if not (loopback_only or has_users or settings.trusted_header):
        raise SettingsError(
            f"without users the dashboard serves this machine only, not {settings.dashboard_host}: add a user with "
            "`qc-dashboard users add NAME --role engineer`, set trusted_header, or use --host 127.0.0.1"
        )
    return Entrance(
        loopback_only=loopback_only,
        proxies=settings.proxy_networks,
        trusted_header=settings.trusted_header,
        trusted_header_role=Role(settings.trusted_header_role),
        names=(*settings.page_names, *_own_names(settings.dashboard_host)),
    )


def tls(settings: DashboardSettings) -> Tls | None:
    """Return the certificate's files, if there are any. Raises SettingsError."""
    if settings.dashboard_certfile is None:
        if settings.dashboard_keyfile is not None:
            raise SettingsError("dashboard_keyfile needs dashboard_certfile")
        return None
    for file in (settings.dashboard_certfile, settings.dashboard_keyfile):
        if file is not None and not file.is_file():
            raise SettingsError(f"{file} is not a file: check dashboard_certfile and dashboard_keyfile")
    return Tls(settings.dashboard_certfile, settings.dashboard_keyfile)


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach that address."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _own_names(host: str) -> set[str]:
    return {host, socket.gethostname(), socket.getfqdn()}
