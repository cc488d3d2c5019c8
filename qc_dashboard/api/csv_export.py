"""Export a search as CSV: streamed page by page, so its size is not limited by memory."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from qc_dashboard.api.inspections import SearchQuery
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.history.history import History
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.history.times import from_us

CSV = "text/csv"
MEDIA_TYPE = f"{CSV}; charset=utf-8; header=present"
PAGE_ROWS = 1_000
COLUMNS = (
    "taken_at",
    "scored_at",
    "line",
    "camera",
    "frame_id",
    "part",
    "verdict",
    "reason",
    "model_version",
    "score",
    "p_value",
    "threshold",
    "late",
    "topic",
    "partition",
    "offset",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  (spreadsheets accept them)
"""Beginnings that make spreadsheets run a cell's text as a formula (OWASP: CSV injection)."""


def export_inspections(request: Request) -> Response:
    """Answer with all that meets the search."""
    query = query_of(request, SearchQuery)
    headers = {"Content-Disposition": 'attachment; filename="inspections.csv"'}
    if request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE, headers=headers)
    # A generator that is not async runs in threads, so it may wait for the database.
    return StreamingResponse(_pages(api_of(request).history, query), media_type=MEDIA_TYPE, headers=headers)


def _pages(history: History, query: SearchQuery) -> Iterator[str]:
    """Yield the text of each page; a failure in between breaks the connection off, so no file ends too early unseen."""
    yield _lines([COLUMNS])
    after = None
    while True:
        found = history.search(query.search, order=query.order, after=after, limit=PAGE_ROWS)
        if found:
            yield _lines(map(_cells, found))
        if len(found) < PAGE_ROWS:
            return
        after = found[-1].place


def _cells(stored: StoredInspection) -> tuple[object, ...]:
    texts = (stored.line, stored.camera, stored.frame_id, stored.part, stored.verdict.value, stored.reason)
    return (
        from_us(stored.taken_us).isoformat(),
        from_us(stored.scored_us).isoformat(),
        *map(harmless, texts),
        harmless(stored.model_version),
        stored.score,
        stored.p_value,
        stored.threshold,
        "true" if stored.late else "false",
        harmless(stored.source.topic),
        stored.source.partition,
        stored.source.offset,
    )


def harmless(text: str | None) -> str | None:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    return f"'{text}" if text and text.startswith(FORMULA_STARTS) else text


def _lines(rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
