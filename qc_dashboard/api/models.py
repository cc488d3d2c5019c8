"""Show the models of every line: what was released, and what judges now."""

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.live.tallies import WINDOW_S, LineTally
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.models import JudgingVersion, LineModels, Models, live_release
from qc_worker.domain.release import Release

MAX_RELEASES = 100


def show_models(request: Request) -> Response:
    """Answer with the models of every line."""
    query_of(request, NoQuery)
    api = api_of(request)
    tallies, history = api.live.tallies(), api.history
    lines = sorted({*history.lines(), *history.released_lines()})
    return json_answer(
        Models(WINDOW_S, tuple(_models(line, history.releases(line), tallies.get(line)) for line in lines))
    )


def _models(line: str, releases: list[Release], tally: LineTally | None) -> LineModels:
    live = live_release(releases)
    at_work = sorted(tally.versions.items()) if tally else []
    judging = (JudgingVersion(name, frames, live is not None and live.version == name) for name, frames in at_work)
    return LineModels(line, live, tuple(judging), tuple(reversed(releases[-MAX_RELEASES:])))
