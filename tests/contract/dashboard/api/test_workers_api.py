"""The workers by HTTP: as the broker said last, and unknown once it no longer answers."""

import asyncio
from threading import enumerate as enumerate_threads

import pytest

from qc_worker.transport.memory.frames import MemoryFrameSource
from qc_worker.transport.outgoing import OutgoingRecord
from tests.support.api import GROUP, ApiRig

pytestmark = pytest.mark.anyio


async def test_workers_and_what_waits_for_them_are_shown_as_the_broker_said_last(rig: ApiRig) -> None:
    assert (await rig.get("/lines"))["workers"] == unknown("the broker was not asked yet")
    worker = MemoryFrameSource(rig.broker, topic="images", group=GROUP)
    worker.start()
    for _ in range(5):
        rig.broker.append(OutgoingRecord("images", b"A/top", b"frame", []))
    rig.workers.step()
    rig.clock.advance(10)
    workers = (await rig.get("/lines"))["workers"]
    assert (workers["alive"], workers["waiting_frames"], workers["oldest_waits_s"]) == (1, 5, 10)
    assert (workers["asked_at"], workers["reason"]) == ("2026-11-23T12:00:00Z", None)
    worker.close()
    rig.workers.step()
    assert (await rig.get("/lines"))["workers"]["alive"] == 0


async def test_workers_are_unknown_once_the_broker_no_longer_answers(rig: ApiRig) -> None:
    rig.workers.step()
    rig.clock.advance(13)
    assert (await rig.get("/lines"))["workers"] == unknown("the broker does not answer")
    rig.broker.available = False
    rig.workers.step()
    assert (await rig.get("/lines"))["workers"] == unknown("the in-memory broker is down")
    rig.broker.available = True
    rig.workers.step()
    assert (await rig.get("/lines"))["workers"]["alive"] == 0


async def test_thread_that_asks_for_the_workers_ends_with_the_dashboard(rig: ApiRig) -> None:
    rig.workers.start()
    while (await rig.get("/lines"))["workers"]["alive"] is None:
        await asyncio.sleep(0)
    rig.workers.close()
    assert not any(thread.name == "workers" for thread in enumerate_threads())


def unknown(reason: str) -> dict[str, object]:
    names = ("asked_at", "alive", "usual", "waiting_frames", "oldest_waits_s", "arriving_per_s")
    return {**dict.fromkeys(names), "reason": reason}
