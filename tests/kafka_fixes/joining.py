"""A real coordinator of kafka-python on its real loop, with a scripted group in the place of the broker."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.coordinator.base import BaseCoordinator
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

Join = Callable[["ScriptedCoordinator"], Awaitable[bytes]]


class ScriptedCoordinator(BaseCoordinator):  # type: ignore[misc]  # kafka-python has no types
    """Joins by `join`, and counts how often it prepares to and does."""

    def __init__(self, client: KafkaNetClient, join: Join) -> None:
        super().__init__(client, group_id="workers", api_version=(2, 5), metrics=None)
        self._join = join
        self.prepared = 0
        self.joins = 0
        self.assignments: list[bytes] = []

    async def ensure_coordinator_ready_async(self, **_options: Any) -> bool:
        return True

    def _maybe_start_heartbeat_loop(self) -> None:
        return

    async def _on_join_prepare_async(self, *_arguments: Any, **_options: Any) -> None:
        self.prepared += 1

    async def _do_join_and_sync_async(self) -> bytes:
        self.joins += 1
        return await self._join(self)

    async def _on_join_complete_async(self, _generation: int, _member: str, _protocol: str, assignment: bytes) -> None:
        self.assignments.append(assignment)

    def protocol_type(self) -> str:
        return "consumer"

    def group_protocols(self) -> list[Any]:
        return []

    def _perform_assignment(self, *_arguments: Any) -> dict[str, bytes]:
        return {}


@contextmanager
def coordinator(join: Join) -> Iterator[ScriptedCoordinator]:
    """Run a coordinator on a loop of its own."""
    net = NetworkSelector()
    client = KafkaNetClient(net=net, manager=KafkaConnectionManager(net, bootstrap_servers="127.0.0.1:1"))
    net.start()
    try:
        yield ScriptedCoordinator(client, join)
    finally:
        net.stop(timeout_ms=1_000)
        net.close()
