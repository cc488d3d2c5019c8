"""Clients that do what an open Live page does, without a browser: follow the stream, load the state every 5 s."""

import asyncio
import json
from collections import Counter
from threading import Thread
from time import time

import httpx

from qc_dashboard.api.live.event_ids import places_in

REFRESH_S = 5.0
TIMEOUT_S = 60.0


class StreamClient:
    """One page: when it got to which places, and what it counted."""

    def __init__(self) -> None:
        self.got: list[tuple[float, dict[int, int]]] = []
        """Time of each event, and the next offset by partition behind it."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self.reloads = 0

    async def follow(self, url: str) -> None:
        """Follow from the beginning of the topic until cancelled."""
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits) as client:
            refreshing = asyncio.ensure_future(_refresh(client))
            try:
                async with client.stream("GET", "/api/v1/stream", headers={"Last-Event-ID": "at"}) as answer:
                    await self._read(answer)
            finally:
                refreshing.cancel()

    async def _read(self, answer: httpx.Response) -> None:
        event, number = "", ""
        async for line in answer.aiter_lines():
            name, _, rest = line.partition(": ")
            if name == "event":
                event = rest
            elif name == "id":
                number = rest
            elif name == "data":
                self._take(event, number, rest)

    def _take(self, event: str, number: str, text: str) -> None:
        self.reloads += event == "reload"
        if event != "inspections":
            return
        self.got.append((time(), places_in(number)))
        for line in json.loads(text)["lines"]:
            self.counts.update({(line["line"], verdict): count for verdict, count in line["counts"].items()})


class StreamClients:
    """Many of them in a thread with an event loop of its own."""

    def __init__(self, count: int, url: str) -> None:
        self.each = [StreamClient() for _ in range(count)]
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._following: list[asyncio.Task[None]] = []
        self._thread = Thread(target=self._run, name="streams", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        for task in self._following:
            self._loop.call_soon_threadsafe(task.cancel)
        self._thread.join()

    def _run(self) -> None:
        self._following = [self._loop.create_task(one.follow(self._url)) for one in self.each]
        if self._following:
            self._loop.run_until_complete(asyncio.wait(self._following))


async def _refresh(client: httpx.AsyncClient) -> None:
    while True:
        (await client.get("/api/v1/lines")).raise_for_status()
        await asyncio.sleep(REFRESH_S)
