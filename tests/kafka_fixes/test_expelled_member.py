"""A member that the group expels while it joins."""

import pytest
from kafka.errors import UnknownMemberIdError

from qc_worker.transport.kafka_fixes import expelled_member
from tests.kafka_fixes.conftest import TakeOut
from tests.kafka_fixes.joining import ScriptedCoordinator, coordinator


async def expelled_once(member: ScriptedCoordinator) -> bytes:
    """Answer the first join by UNKNOWN_MEMBER_ID, as kafka-python processes it."""
    if member.joins == 1:
        member.reset_generation()
        raise UnknownMemberIdError
    return b"assigned"


def preparations() -> int:
    """Join after having been expelled; return how often the member gave up what it had."""
    with coordinator(expelled_once) as member:
        assert member.ensure_active_group(timeout_ms=5_000)
        assert member.joins == 2
        return member.prepared


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python prepares each join")
def test_the_defect_is_still_there(take_out: TakeOut) -> None:
    take_out(expelled_member.FIX)
    assert preparations() == 2


def test_the_fix_holds_partitions_are_lost_before_the_next_join() -> None:
    assert preparations() == 2
