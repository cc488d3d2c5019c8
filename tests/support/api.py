"""The web app with its API in this process: on a real history, with memory siblings of broker and cache."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import time
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from starlette.applications import Starlette
from starlette.types import Message

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.api.live.feed import LiveFeed
from qc_dashboard.api.live.workers import Workers
from qc_dashboard.api.parts import ApiParts
from qc_dashboard.api.pictures.pictures import Pictures
from qc_dashboard.api.reports.parts import ReportParts
from qc_dashboard.api.routes import ROUTES
from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.history.writing import HistoryWriter, Step
from qc_dashboard.outcomes.outcomes import Outcomes
from qc_dashboard.projecting.arrivals import Arrivals
from qc_dashboard.projecting.follower import Outage
from qc_dashboard.replaying.command import ReplayFailed, Report
from qc_dashboard.replaying.replay import Replay
from qc_dashboard.replaying.replays import Replays
from qc_dashboard.reporting.reporter import Reporter
from qc_dashboard.reporting.shifts import Shifts
from qc_dashboard.review.evidence import ThresholdEvidence
from qc_dashboard.web.app import create_app
from qc_dashboard.web.door import Entrance
from qc_dashboard.web.routes import RoomRoute
from qc_worker.domain.inspection import Inspection
from qc_worker.imaging.opening import ImageLimits
from qc_worker.registry.store import FsspecModelStore
from qc_worker.registry.stored_versions import StoredVersions
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameReader
from qc_worker.transport.memory.groups import MemoryGroupWatch
from qc_worker.transport.memory.heatmaps import MemoryHeatmapCache
from qc_worker.transport.memory.models import MemoryReleaseLog
from tests.support.archives import Plant
from tests.support.factories import ManualClock
from tests.support.published import RESULTS, places, published
from tests.support.review import ReviewRig

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)
HERE = ("127.0.0.1", 50_000)
URL = "http://localhost"
API = "/api/v1"
GROUP = "qc-worker"
SHIFTS = Shifts((time(6), time(14), time(22)), ZoneInfo("Europe/Berlin"))


class ApiRig:
    """One app, and what stands around it."""

    def __init__(self, database: Database, folder: Path, *, routes: Sequence[RoomRoute] = ROUTES) -> None:
        self.database = database
        self.clock = ManualClock()
        self.broker = MemoryBroker(partitions=1)
        for topic in ("images", "feedback"):
            self.broker.create_topic(topic, partitions=1)
        self.cache = MemoryHeatmapCache(ttl_s=3600)
        self.plant = Plant(database, str(folder / "archive"))
        self.history = History(database)
        self.live = LiveFeed(self.history, topic=RESULTS, clock=self.clock, arrivals=Arrivals())
        self.outages: list[Outage] = []
        self.workers = Workers(MemoryGroupWatch(self.broker, topic="images", group=GROUP), clock=self.clock)
        self.accounts = Accounts(database, clock=self.clock)
        self.review = ReviewRig(database, clock=self.clock, broker=self.broker)
        self.reviewing = self.review.review
        self.store = FsspecModelStore(str(folder / "models"))
        self.broker.create_topic("models", partitions=1)
        self.releases = MemoryReleaseLog(self.broker, topic="models")
        self.versions = StoredVersions(lambda: self.store, self.releases, self.clock)
        self.app = self._app(routes)
        self._written: dict[int, int] = {}

    def _app(self, routes: Sequence[RoomRoute]) -> Starlette:
        pictures = Pictures(
            cache=self.cache, archive=self.plant.archive, frames=MemoryFrameReader(self.broker), limits=LIMITS
        )
        replays = Replays(self._judge_again, self.clock)
        replays.start()
        parts = ApiParts(
            history=self.history,
            live=self.live,
            pictures=pictures,
            review=self.reviewing,
            outages=lambda: self.outages,
            clock=self.clock,
            workers=self.workers,
            reports=ReportParts(Reporter(self.database, outages=lambda: self.outages), SHIFTS),
            outcomes=Outcomes(self.database),
            replays=replays,
            versions=self.versions,
            evidence=ThresholdEvidence(self.database),
        )
        return create_app(self.accounts, Entrance(loopback_only=True), routes=routes, state={"api": parts})

    def _judge_again(self, asked: Replay, stop: Event) -> Report:
        """Stand in for `qc-worker replay`: the second judgement is the first one, of another version if asked."""
        stored = self.history.inspection(asked.source)
        if stored is None or stop.is_set():
            raise ReplayFailed(f"{asked.source} holds no frame")
        again = replace(stored.inspection, model_version=asked.version or stored.model_version)
        return Report(None if asked.version else True, 0.0, 0.01, None, again)

    def write(self, *inspections: Inspection, partition: int = 0) -> None:
        """Have these in the history, as the projection writes them: one after the other on `results`."""
        start = self._written.get(partition, 0)
        end = start + len(inspections)
        batch = [published(one, start + number, partition=partition) for number, one in enumerate(inspections)]
        before = {key: at for number, at in self._written.items() for key, at in places(at, partition=number).items()}
        step = Step(before, {**before, **places(end, partition=partition)})
        HistoryWriter(self.database).add_inspections(batch, step)
        self._written[partition] = end

    def forget(self) -> None:
        """Begin again at the first offsets, as after the topic was made again."""
        self._written.clear()

    def client(self, address: str = HERE[0]) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, HERE[1]))
        return httpx.AsyncClient(transport=transport, base_url=URL)

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of a request that succeeds."""
        async with self.client() as client:
            answer = await client.get(f"{API}{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, client: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
        """Send JSON as a page does, with its CSRF token."""
        return await client.post(f"{API}{path}", json=body, headers={"X-CSRF-Token": await csrf_token(client)})


async def csrf_token(client: httpx.AsyncClient) -> str:
    """Fetch the token as scripts of a page have it."""
    return token_in(await client.get("/"))


def token_in(page: httpx.Response) -> str:
    """Read the CSRF token from a page."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


class EventStream:
    """What comes on an open stream; httpx would wait for its end."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[Message] = asyncio.Queue()
        self._text = ""
        self.gone = asyncio.Event()
        self._asked = False
        self.status = 0

    async def send(self, message: Message) -> None:
        await self._parts.put(message)

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def event(self) -> dict[str, str]:
        """Return the next event's fields; empty at the end of the stream."""
        while "\n\n" not in self._text:
            message = await self._parts.get()
            if message["type"] == "http.response.start":
                self.status = message["status"]
            elif not message.get("more_body", False):
                return {}
            else:
                self._text += message["body"].decode()
        block, _, self._text = self._text.partition("\n\n")
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        return fields if "event" in fields else await self.event()


@asynccontextmanager
async def stream(app: Starlette, *, after: str = "", last_event_id: str = "") -> AsyncIterator[EventStream]:
    """Open the stream of new inspections; leaving the block is what a closed page is to the server."""
    opened = EventStream()
    headers: Sequence[tuple[bytes, bytes]] = [(b"host", b"localhost"), (b"last-event-id", last_event_id.encode())]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"{API}/stream",
        "raw_path": f"{API}/stream".encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": f"after={after}".encode() if after else b"",
        "headers": [header for header in headers if header[1]],
        "client": HERE,
        "server": ("localhost", 80),
    }
    serving = asyncio.ensure_future(app(scope, opened.receive, opened.send))
    try:
        yield opened
    finally:
        opened.gone.set()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
