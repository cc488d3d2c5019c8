"""A member that the group expels while it joins loses its partitions, as one expelled at any other time does.

kafka-python 3.0.12 says so (`on_partitions_lost`), and forgets partitions and positions, while it prepares to join; it
prepares once until a join succeeds (`rejoining`). If JoinGroup or SyncGroup is answered by UNKNOWN_MEMBER_ID, it joins
again as a new member without preparing: it claims its old partitions, the leader believes it, and it reads on from its
old positions (seen on Apache Kafka 4.1.1), where another member may have read and committed in between: whole ranges
would be judged twice. Java's consumer had the same fault (KAFKA-12983) and the same cure.
"""

from collections.abc import Callable
from typing import Any

from kafka.coordinator.base import BaseCoordinator

_reset_generation: Callable[..., None] = BaseCoordinator.reset_generation


def install() -> None:
    """Let kafka-python's group members of this process do so."""
    BaseCoordinator.reset_generation = reset_generation


def reset_generation(coordinator: Any, *arguments: Any, **options: Any) -> None:
    """The same, and prepare before joining again; where nothing is left to lose, preparing tells nobody anything."""
    with coordinator._lock:
        _reset_generation(coordinator, *arguments, **options)
        coordinator.rejoining = False
