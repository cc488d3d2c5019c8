"""Hold what the JSON routes work on; one for each app, in `app.state.api`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from qc_dashboard.api.live.feed import LiveFeed
from qc_dashboard.api.live.workers import Workers
from qc_dashboard.api.pictures.pictures import Pictures
from qc_dashboard.api.reports.parts import ReportParts
from qc_dashboard.history.history import History
from qc_dashboard.outcomes.outcomes import Outcomes
from qc_dashboard.projecting.follower import Outage
from qc_dashboard.replaying.replays import Replays
from qc_dashboard.review.evidence import ThresholdEvidence
from qc_dashboard.review.review import Review
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import Versions


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The parts of one app."""

    history: History
    live: LiveFeed
    pictures: Pictures
    review: Review
    outages: Callable[[], Sequence[Outage]]
    """Returns what cannot be followed at the moment."""
    clock: Clock
    workers: Workers
    reports: ReportParts
    outcomes: Outcomes
    replays: Replays
    versions: Versions
    evidence: ThresholdEvidence


def api_of(request: Request) -> ApiParts:
    """Return the app's parts."""
    parts: ApiParts = request.app.state.api
    return parts
