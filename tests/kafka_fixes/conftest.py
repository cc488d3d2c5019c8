"""Fix on, fix off, and what the scenarios have in common.

Each fix has two tests of one scenario. `test_the_fix_holds...` runs with the fix. `test_the_defect_is_still_there` runs
without it and is expected to fail: the day it passes, kafka-python has corrected the defect, CI fails, and the fix, its
row in the register and its tests can be deleted.
"""

import socket
from collections.abc import Callable, Iterator

import pytest
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from qc_worker.transport.kafka_fixes.fix import Fix
from qc_worker.transport.kafka_fixes.register import original_of
from tests.contract.conftest import kafka_rig, open_once

__all__ = ["kafka_rig", "open_once"]

TakeOut = Callable[[Fix], None]


@pytest.fixture
def take_out(monkeypatch: pytest.MonkeyPatch) -> TakeOut:
    """Put the original back for the length of a test."""
    return lambda fix: monkeypatch.setattr(fix.target, original_of(fix))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, KafkaTCPTransport]]:
    """The broker's end of a connection, and ours."""
    broker, worker = socket.socketpair()
    worker.setblocking(False)
    net = NetworkSelector()
    with broker, worker:
        yield broker, KafkaTCPTransport(net, worker)
    net.close()
