"""A join of the group that finishes between two polls."""

from types import SimpleNamespace

import pytest

from qc_worker.transport.kafka_fixes import finished_join
from qc_worker.transport.kafka_fixes.finished_join import JOIN_WAIT_S, poll_timeout_s
from tests.conftest import eventually
from tests.kafka_fixes.conftest import TakeOut
from tests.kafka_fixes.joining import ScriptedCoordinator, coordinator


async def join_in_50_ms(member: ScriptedCoordinator) -> bytes:
    await member._net.sleep(0.05)
    return b"two partitions"


def joins_needed() -> int:
    """Poll for a moment, let the join finish, poll again; return how often JoinGroup was sent."""
    with coordinator(join_in_50_ms) as member:
        assert not member.ensure_active_group(timeout_ms=5)
        eventually(member._join_task.succeeded)
        assert member.ensure_active_group(timeout_ms=JOIN_WAIT_S * 1000)
        assert member.assignments == [b"two partitions"]
        return member.joins


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python keeps a finished join")
def test_the_defect_is_still_there(take_out: TakeOut) -> None:
    take_out(finished_join.FIX)
    assert joins_needed() == 1


def test_the_fix_holds_the_group_is_joined_once() -> None:
    assert joins_needed() == 1


@pytest.mark.parametrize(("joining", "expected_s"), [(True, JOIN_WAIT_S), (False, 0.0)])
def test_a_poll_is_long_only_while_the_group_is_joined(joining: bool, expected_s: float) -> None:
    consumer = SimpleNamespace(_coordinator=SimpleNamespace(need_rejoin=lambda: joining))
    assert poll_timeout_s(consumer, 0.0) == expected_s
