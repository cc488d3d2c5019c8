"""Show what every line does now."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.live.event_ids import event_id
from qc_dashboard.api.live.tallies import RATE_S, WINDOW_S, LineTally
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.inspections import listed
from qc_dashboard.api.shapes.live import LineState, LineStates, Lost, Waiting, shown_workers
from qc_dashboard.api.shapes.models import live_release
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.history.slots import DAY_US
from qc_dashboard.history.times import from_us, to_us
from qc_worker.domain.inspection import Verdict

NOTHING = LineTally(0, {}, 0, {})
MAX_LOST = 20


def show_lines(request: Request) -> Response:
    """Answer with the state of every line."""
    query_of(request, NoQuery)
    api = api_of(request)
    # The places first: what comes in meanwhile is then counted by the stream, and at most shown twice in between.
    places, tallies = api.live.places(), api.live.tallies()
    lines = tuple(_state(api, line, tallies.get(line, NOTHING)) for line in api.history.lines())
    waiting = tuple(
        Waiting(outage.topic, outage.since, outage.reason, outage.away, hides_verdicts=outage.topic == api.live.topic)
        for outage in api.outages()
    )
    at = None if places is None else event_id(places)
    workers = shown_workers(api.workers.state())
    return json_answer(LineStates(api.clock.now(), WINDOW_S, lines, waiting, workers, _lost(api), at))


def _lost(api: ApiParts) -> tuple[Lost, ...]:
    now_us = to_us(api.clock.now())
    gaps = api.history.gaps(now_us - DAY_US, now_us + DAY_US)

    def time(us: int | None) -> datetime | None:
        return None if us is None else from_us(us)

    return tuple(Lost(time(gap.since_us), time(gap.until_us), gap.records) for gap in gaps[-MAX_LOST:])


def _state(api: ApiParts, line: str, tally: LineTally) -> LineState:
    newest = api.live.newest(line)
    total = sum(tally.counts.values())

    def share(*verdicts: Verdict) -> float | None:
        return sum(tally.counts.get(verdict, 0) for verdict in verdicts) / total if total else None

    return LineState(
        line=line,
        last=None if newest is None else listed(newest),
        lag_s=None if newest is None else _lag_s(newest),
        frames_per_s=tally.frames_last_minute / RATE_S,
        counts=tally.counts,
        reject_share=share(Verdict.REJECT),
        review_share=share(Verdict.REVIEW),
        error_share=share(Verdict.ERROR, Verdict.NO_MODEL),
        late=tally.late,
        release=live_release(api.history.releases(line)),
    )


def _lag_s(stored: StoredInspection) -> float | None:
    if stored.inspection.captured_at is None:
        return None
    return (stored.scored_us - stored.taken_us) / 1_000_000
