"""Show the models of every line: what was released, and what judges now."""

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.live.tallies import WINDOW_S, LineTally
from qc_dashboard.api.parameters.nothing import NoQuery
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.models import JudgingVersion, LineModels, LiveRelease, Models, live_release
from qc_dashboard.history.times import SECOND_US, from_us, to_us

MAX_RELEASES = 100


def show_models(request: Request) -> Response:
    """Answer with the models of every line."""
    query_of(request, NoQuery)
    api = api_of(request)
    tallies, history = api.live.tallies(), api.history
    lines = sorted({*history.lines(), *history.released_lines()})
    return json_answer(Models(WINDOW_S, tuple(line_models(api, line, tallies.get(line)) for line in lines)))


def line_models(api: ApiParts, line: str, tally: LineTally | None) -> LineModels:
    """Collect what the history knows of a line's models."""
    releases = api.history.releases(line)
    live = live_release(releases)
    first_us = None if live is None else _first_judged_us(api, line, live)
    return LineModels(
        line,
        live,
        None if first_us is None else from_us(first_us),
        None if first_us is None or live is None else (first_us - to_us(live.released_at)) / SECOND_US,
        () if tally is None else _judging(tally, None if live is None else live.version),
        tuple(reversed(releases[-MAX_RELEASES:])),
    )


def _first_judged_us(api: ApiParts, line: str, live: LiveRelease) -> int | None:
    return api.history.first_judged_us(line, live.version, since_us=to_us(live.released_at))


def _judging(tally: LineTally, live: str | None) -> tuple[JudgingVersion, ...]:
    return tuple(
        JudgingVersion(
            version,
            frames,
            version == live,
            from_us(tally.last_us[version]),
            tuple(sorted(number for number, newest in tally.partitions.items() if newest == version)),
        )
        for version, frames in sorted(tally.versions.items())
    )
