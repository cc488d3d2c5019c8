"""Complete a rebalance however short the polls are.

kafka-python 3.0.12 runs JoinGroup and SyncGroup beside the polls and awaits them within one (`join_group_async`). If
they finish between two polls, the next poll takes the finished task for a stale one, throws its outcome away and joins
again, which makes every other member join again as well. A worker that is busy polls without waiting, so its group
could go on like that without an end (seen on Apache Kafka 4.1.1 with two members: a new generation every 1.5 s, no
partition moved in 90 s).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from kafka import KafkaConsumer

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix

JOIN_WAIT_S = 1.0
"""How long a poll waits while the group is joined; meanwhile nothing could be committed anyway."""
REPLAY_DELAY_S = 0.02
"""Polls must last longer than this while the group is joined, as those of `poll_timeout_s` do."""


def install(original: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
    """Return a function that keeps a finished join and then calls the original, which awaits its outcome."""

    async def join_group_async(coordinator: Any, *arguments: Any, **options: Any) -> bool:
        if coordinator.need_rejoin():
            _keep_finished_join(coordinator)
        return await original(coordinator, *arguments, **options)

    return join_group_async


def poll_timeout_s(consumer: KafkaConsumer, timeout_s: float) -> float:
    """Return how long the next poll must wait: JOIN_WAIT_S at least while the group is joined."""
    return max(timeout_s, JOIN_WAIT_S) if consumer._coordinator.need_rejoin() else timeout_s


def _keep_finished_join(coordinator: Any) -> None:
    """Replace a task that has succeeded by one that is about to, because the original awaits only such a one."""
    finished = coordinator._join_task
    if finished is None or not finished.succeeded():
        return  # no join, one still under way, or a failed one that is rightly repeated
    network = coordinator._net

    async def replay() -> Any:
        await network.sleep(REPLAY_DELAY_S)
        return finished.value

    coordinator._join_task = coordinator._manager.call_soon(replay)


FIX = Fix(
    defect="Consumers that poll with short timeouts rebalance without an end: a join that finishes between two polls "
    "is repeated.",
    target="kafka.coordinator.base.BaseCoordinator.join_group_async",
    upstream=NOT_REPORTED,
    install=install,
    relies_on=("kafka.coordinator.base.BaseCoordinator.need_rejoin",),
)
