"""Make what answers requests: the routes and the parts they work on."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.sessions import SessionLimits
from qc_dashboard.api.live.feed import LiveFeed
from qc_dashboard.api.live.workers import Workers
from qc_dashboard.api.parts import ApiParts
from qc_dashboard.api.pictures.pictures import Pictures
from qc_dashboard.api.reports.parts import ReportParts
from qc_dashboard.api.routes import ROUTES as API_ROUTES
from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.outcomes.outcomes import Outcomes
from qc_dashboard.pages.routes import ROUTES as PAGE_ROUTES
from qc_dashboard.projecting.follower import Outage
from qc_dashboard.reporting.reporter import Reporter
from qc_dashboard.reporting.shifts import Shifts
from qc_dashboard.review.evidence import ThresholdEvidence
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.web.app import create_app
from qc_dashboard.web.routes import RoomRoute
from qc_dashboard.wiring.dashboard import Dashboard
from qc_dashboard.wiring.entering import entrance
from qc_dashboard.wiring.replaying import replaying
from qc_dashboard.wiring.versions import release_log, stored_versions
from qc_worker.imaging.opening import ImageLimits
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.transport.kafka.group.group_watch import KafkaGroupWatch
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache
from qc_worker.wiring.brokers import kafka_access

ROUTES: tuple[RoomRoute, ...] = (*API_ROUTES, *PAGE_ROUTES)
"""What the rooms serve: the JSON routes of `api` and the pages of `pages`."""


@contextmanager
def open_api(settings: DashboardSettings, dashboard: Dashboard) -> Iterator[ApiParts]:
    """Make what the JSON routes work on; brokers and cache are connected to when they are first needed.

    Raises SettingsError.
    """
    access, clock, history = kafka_access(settings), SystemClock(), History(dashboard.database)
    arrivals = dashboard.projection.inspections
    with ExitStack() as stack:
        frames = stack.enter_context(closing(KafkaFrameReader(access)))
        timeout_s = settings.redis_timeout_ms / 1000
        cache = open_heatmap_cache(settings.redis_url, ttl_s=settings.heatmap_ttl_s, timeout_s=timeout_s)
        stack.callback(cache.close)
        live = LiveFeed(history, topic=settings.results_topic, clock=clock, arrivals=arrivals)
        stack.callback(live.close)
        live.start()
        limits = ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)
        pictures = Pictures(cache=cache, archive=dashboard.archive, frames=frames, limits=limits)
        watch = KafkaGroupWatch(access, topic=settings.images_topic, group=settings.consumer_group)
        workers = stack.enter_context(closing(Workers(watch, clock=clock)))
        workers.start()
        replays = stack.enter_context(replaying(settings, dashboard.archive, history))
        versions = stored_versions(settings, stack.enter_context(closing(release_log(settings))))
        yield ApiParts(
            history=history,
            live=live,
            pictures=pictures,
            review=dashboard.review,
            outages=dashboard.projection.outages,
            clock=clock,
            workers=workers,
            reports=report_parts(settings, dashboard),
            outcomes=Outcomes(dashboard.database),
            replays=replays,
            versions=versions,
            evidence=ThresholdEvidence(dashboard.database),
        )


def report_parts(settings: DashboardSettings, dashboard: Dashboard) -> ReportParts:
    """Make what reports are made with."""

    def outages() -> list[Outage]:
        return [outage for outage in dashboard.projection.outages() if outage.topic == settings.results_topic]

    return ReportParts(Reporter(dashboard.database, outages=outages), Shifts(settings.shift_starts, settings.zone))


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
