from qc_worker.engine.device.under_way import UnderWay
from tests.support.factories import ManualClock


def test_it_is_stuck_since_the_last_piece_of_work_ended() -> None:
    clock = ManualClock(100.0)
    under_way = UnderWay(clock)
    under_way.begin()
    clock.advance(5)
    under_way.begin()
    clock.advance(5)
    assert under_way.stuck_s() == 10
    under_way.end()
    clock.advance(3)
    assert under_way.stuck_s() == 3
    under_way.end()
    assert under_way.is_idle()


def test_an_idle_device_is_never_stuck() -> None:
    clock = ManualClock()
    under_way = UnderWay(clock)
    with under_way.work():
        assert not under_way.is_idle()
    clock.advance(1000)
    assert under_way.stuck_s() == 0
    with under_way.work():
        assert under_way.stuck_s() == 0
