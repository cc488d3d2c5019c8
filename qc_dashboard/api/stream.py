"""Tell browsers of new inspections as server-sent events (HTML standard, 9.2), without gaps between connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.answers import encoded
from qc_dashboard.api.live.event_ids import ID, MAX_ID_LENGTH, event_id, places_in
from qc_dashboard.api.live.missed import TooFarApart, news_missed, spans_missed
from qc_dashboard.api.live.news import News
from qc_dashboard.api.live.same_text import SameText
from qc_dashboard.api.live.subscription import Subscription
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.live import Reload, StreamStart, id_after, shown_news
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.web.guard import still_admitted
from qc_dashboard.web.problems import RETRY_AFTER_S, Problem
from qc_dashboard.web.requests import web_of

EVENT_STREAM = "text/event-stream"
LEAST = Role.VIEWER
KEEP_ALIVE_S = 15.0
"""Proxies close connections on which nothing comes."""
ADMISSION_S = 60.0
"""Time after which it is asked again if the session still holds."""
RECONNECT_MS = 2_000
MISSED_TOO_MUCH = "Too much came in since the last event, or the history was made again."


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """The place from which the stream continues."""

    __pydantic_config__: ClassVar = DOCUMENTED

    after: Annotated[str, Field(pattern=f"^{ID.pattern}$", max_length=MAX_ID_LENGTH)] | None = None
    """Id of an event, or `event_id` of the lines' state: the stream continues there. The header `Last-Event-ID`, which
    browsers send when they connect again, comes before it. Missing: the stream begins now."""


async def show_stream(request: Request) -> Response:
    """Answer with a stream that ends when the client goes, the session ends or the server stops."""
    seen = _seen(request)
    if api_of(request).live.is_full:
        retry = {"Retry-After": str(RETRY_AFTER_S)}
        raise Problem(503, "Too many pages follow the lines at once. Close some of them.", headers=retry)
    # X-Accel-Buffering: nginx would collect events before it passes them on.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(media_type=EVENT_STREAM, headers=headers)
    return StreamingResponse(_events(request, seen), media_type=EVENT_STREAM, headers=headers)


def _seen(request: Request) -> Mapping[int, int] | None:
    """Return the places that the client has seen; None if it begins now. Raises Problem."""
    query = query_of(request, StreamQuery)
    text = request.headers.get("last-event-id", query.after)
    try:
        return None if text is None else places_in(text)
    except ValueError as error:
        raise Problem(400, f"Last-Event-ID: {error}.") from None


async def _events(request: Request, seen: Mapping[int, int] | None) -> AsyncIterator[str]:
    live = api_of(request).live
    with live.subscription() as client, _wakes(client, web_of(request).stopping) as stopping:
        yield f"retry: {RECONNECT_MS}\n\n"
        while client.places is None and not stopping.done():
            await _woken(client)
        try:
            async for text in _beginning(request, client, seen):
                yield text
        except DatabaseAway:
            return  # the client connects again, from the last event that it got
        async for text in _continuing(request, client, stopping):
            yield text


async def _beginning(request: Request, client: Subscription, seen: Mapping[int, int] | None) -> AsyncIterator[str]:
    """Yield the first event, and what the client has missed."""
    places = client.places or {}
    try:
        spans = None if seen is None else spans_missed(seen, places)
    except TooFarApart:
        yield _event("reload", Reload(MISSED_TOO_MUCH), event_id(places))
        spans = None
    if spans is None:
        yield _event("start", StreamStart(event_id(places), resumed=False), event_id(places))
        return
    first = event_id({partition: span.start for partition, span in spans.items()})
    yield _event("start", StreamStart(first, resumed=True), first)
    async for news in iterate_in_threadpool(news_missed(api_of(request).history, spans)):
        yield _news_event(news)


async def _continuing(request: Request, client: Subscription, stopping: "asyncio.Task[Any]") -> AsyncIterator[str]:
    """Yield what comes in; a slow client gets fewer and larger sums."""
    clock = api_of(request).clock
    asked_s = clock.monotonic()
    while not stopping.done():
        if client.is_void():
            return  # the client connects again, and is told to load its state again
        if news := client.take():
            yield SENT.of(news)
        elif not await _woken(client):
            yield ": nothing new\n\n"
        if clock.monotonic() - asked_s > ADMISSION_S:
            asked_s = clock.monotonic()
            if not await still_admitted(request, LEAST):
                return


async def _woken(client: Subscription) -> bool:
    """Wait until something is new; False if nothing was for a while."""
    try:
        async with asyncio.timeout(KEEP_ALIVE_S):
            await client.woken.wait()
    except TimeoutError:
        return False
    return True


@contextmanager
def _wakes(client: Subscription, stopping: asyncio.Event) -> Iterator["asyncio.Task[Any]"]:
    """Wake the client when the server stops; the task that is yielded is done then."""
    waiting = asyncio.ensure_future(stopping.wait())
    waiting.add_done_callback(lambda _: client.woken.set())
    try:
        yield waiting
    finally:
        waiting.cancel()


def _news_event(news: News) -> str:
    return _event("inspections", shown_news(news), id_after(news))


SENT = SameText(_news_event)


def _event(name: str, content: Any, number: str) -> str:
    return f"event: {name}\nid: {number}\ndata: {encoded(content).decode()}\n\n"
