from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from qc_worker.simplenet.inference.device_memory import GROW_AFTER_S, BatchLimit
from tests.support.factories import ManualClock


def halved() -> float:
    return REGISTRY.get_sample_value("qc_halved_batches_total") or 0.0


def test_without_lack_of_memory_no_batch_is_limited() -> None:
    assert BatchLimit(ManualClock().monotonic).within(256) == 256


def test_a_limit_doubles_after_each_minute_without_lack_of_memory() -> None:
    clock = ManualClock()
    limit = BatchLimit(clock.monotonic)
    assert limit.halve(limit.halve(8)) == 2
    sizes = [limit.within(8)]
    for _ in range(3):
        clock.advance(GROW_AFTER_S)
        sizes.append(limit.within(8))
    assert sizes == [2, 4, 8, 8]


def test_a_limit_that_is_still_needed_comes_back_at_once() -> None:
    clock = ManualClock()
    limit = BatchLimit(clock.monotonic)
    limit.halve(8)
    clock.advance(GROW_AFTER_S)
    assert limit.within(8) == 8
    limit.halve(8)
    clock.advance(GROW_AFTER_S - 1)
    assert limit.within(8) == 4


def test_each_halving_is_counted_and_warned_of() -> None:
    before = halved()
    with capture_logs() as logged:
        BatchLimit().halve(8)
    assert halved() == before + 1
    assert [(entry["log_level"], entry["frames"], entry["halved_to"]) for entry in logged] == [("warning", 8, 4)]
