"""Take the partitions from a member that the group expels while it joins.

kafka-python 3.0.12 calls `on_partitions_lost`, and forgets partitions and positions, while it prepares to join; it
prepares once until a join succeeds (`rejoining`). If JoinGroup or SyncGroup is answered by UNKNOWN_MEMBER_ID, it joins
again as a new member without preparing: it claims its old partitions, the leader believes it, and it reads on from its
old positions (seen on Apache Kafka 4.1.1), where another member may have read and committed in between: whole ranges
would be judged twice. Java's consumer had the same defect and got the same fix (KAFKA-12983).
"""

from collections.abc import Callable
from typing import Any

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix


def install(original: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls the original and lets the next join be prepared.

    Where no partition is left to lose, preparing calls no listener.
    """

    def reset_generation(coordinator: Any, *arguments: Any, **options: Any) -> None:
        with coordinator._lock:
            original(coordinator, *arguments, **options)
            coordinator.rejoining = False

    return reset_generation


FIX = Fix(
    defect="A consumer that is expelled while it joins keeps its partitions, and reads again what others have read.",
    target="kafka.coordinator.base.BaseCoordinator.reset_generation",
    upstream=NOT_REPORTED,
    install=install,
)
