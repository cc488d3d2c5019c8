"""Lets a rebalance come to its end however short the polls are.

kafka-python 3.0.12 runs JoinGroup and SyncGroup beside the polls and awaits them within one (`join_group_async`). If
they finish between two polls, the next poll takes the finished task for a stale one, throws its outcome away and joins
anew, which makes every other member join anew as well. A worker that is busy polls without waiting, so its group could
go on like that for ever (seen on Apache Kafka 4.1.1 with two members: a new generation every 1.5 s, no partition moved
in 90 s).
"""

from typing import Any

from kafka import KafkaConsumer

JOIN_WAIT_S = 1.0
"""How long a poll waits while the group is joined; meanwhile nothing could be committed anyway."""
REPLAY_DELAY_S = 0.02


def poll_timeout_s(consumer: KafkaConsumer, timeout_s: float) -> float:
    """How long the next poll must wait at the least; `timeout_s` unless the group is being joined."""
    coordinator = consumer._coordinator
    if not coordinator.need_rejoin():
        return timeout_s
    _keep_finished_join(coordinator)
    return max(timeout_s, JOIN_WAIT_S)


def _keep_finished_join(coordinator: Any) -> None:
    """Put a task that is about to finish in the place of the one that has, so that the poll awaits its outcome."""
    finished = coordinator._join_task
    if finished is None or not finished.succeeded():
        return  # nothing to keep, still on its way, or failed and rightly begun anew
    network = coordinator._net

    async def replay() -> Any:
        await network.sleep(REPLAY_DELAY_S)
        return finished.value

    coordinator._join_task = coordinator._manager.call_soon(replay)
