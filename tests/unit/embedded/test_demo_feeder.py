import itertools
from threading import Event

from qc_worker.embedded.cameras import Shot
from qc_worker.embedded.demo.feeder import STAYING_HZ, Feeder
from qc_worker.embedded.demo.tally import Tally
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameOutbox
from tests.conftest import eventually

SHOTS = [Shot("A", "cam1", b"frame", None, "A-1"), Shot("B", "cam1", b"frame", "dent", "B-1")]


def make_feeder() -> Feeder:
    outbox = MemoryFrameOutbox(MemoryBroker(), topic="images")
    return Feeder(itertools.cycle(SHOTS), outbox, Tally(), clock=SystemClock(), rate_hz=1000)


def test_cameras_end_with_the_last_frame() -> None:
    feeder = make_feeder()
    feeder.start(4, reserve=0)
    eventually(feeder.finished)
    assert (feeder.sent, feeder.staying) == (4, False)


def test_cameras_that_stay_go_on_slowly_until_they_are_stopped() -> None:
    feeder = make_feeder()
    feeder.start(3, reserve=0, stay=True)
    eventually(lambda: feeder.sent > 3 or Event().wait(0.01))
    assert feeder.staying
    assert feeder.wanted_hz == STAYING_HZ
    assert not feeder.finished()
    feeder.stop()
    assert feeder.finished()
    assert feeder.frames_per_s() > STAYING_HZ


def test_cameras_that_were_stopped_before_the_last_frame_do_not_stay() -> None:
    feeder = make_feeder()
    feeder.start(4, reserve=1, stay=True)
    eventually(lambda: feeder.holding or Event().wait(0.01))
    feeder.stop()
    assert (feeder.sent, feeder.staying) == (3, False)
