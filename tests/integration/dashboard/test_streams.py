"""Streams over real connections: nothing of a client stays when it leaves, however often clients come."""

import asyncio
import gc
import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import enumerate as enumerate_threads
from urllib.parse import urlsplit

from qc_dashboard.api.live.subscription import Subscription
from tests.conftest import eventually
from tests.support.pages import Dashboard
from tests.support.pages_rig import PagesRig

CLIENTS = 20
TIMES = 50
POOL = "AnyIO worker thread"
"""Threads that requests share: their number is bounded, and one that is idle stays for a while."""
ASK = b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_clients_that_come_and_go_leave_nothing_behind(rig: PagesRig) -> None:
    rig.step()
    with rig.served() as url:
        address = ("localhost", urlsplit(url).port or 0)
        for offset in range(3):  # the first ones start threads that stay
            come_and_go(rig, address, offset)
        before = held()
        for offset in range(3, TIMES):
            come_and_go(rig, address, offset)
        eventually(lambda: not (held() - before) or Dashboard.pause())


def come_and_go(rig: PagesRig, address: tuple[str, int], offset: int) -> None:
    """Have clients connect, get an event each, and leave without a word."""
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(ASK)
        for client in clients:
            received(client, b"event: start")
        rig.judge(offset)
        rig.step()
        for client in clients:
            received(client, b"event: inspections")
    eventually(lambda: rig.live.clients == 0 or Dashboard.pause())


def received(client: socket.socket, wanted: bytes) -> None:
    found = b""
    while wanted not in found:
        chunk = client.recv(65536)
        assert chunk, found
        found += chunk


def held() -> Counter[str]:
    """Count what a client may leave behind in this process, which is client and server."""
    gc.collect()
    kinds = (Subscription, asyncio.Task, asyncio.Transport)
    # By its type: `isinstance` would ask lazy modules for theirs.
    objects = Counter(type(one).__name__ for one in gc.get_objects() if issubclass(type(one), kinds))
    sockets = sum(
        str(each.readlink()).startswith("socket:") for each in Path("/proc/self/fd").iterdir() if each.exists()
    )
    threads = Counter(one.name for one in enumerate_threads() if not one.name.startswith(POOL))
    return objects + Counter(sockets=sockets) + threads
