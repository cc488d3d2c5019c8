import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from qc_worker.engine.device.decode_share import WINDOW_S, DecodeShare
from tests.support.factories import ManualClock


def test_pictures_are_counted_by_decoder() -> None:
    before = counted()
    DecodeShare(ManualClock()).add(by_nvjpeg=5, by_cpu=2)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [5, 2]


def counted() -> list[float]:
    return [REGISTRY.get_sample_value("qc_gpu_decoded_total", {"by": by}) or 0 for by in ("nvjpeg", "cpu")]


@pytest.mark.parametrize(("by_nvjpeg", "by_cpu", "warnings"), [(10, 10, 0), (10, 11, 1), (0, 1, 1), (1, 0, 0)])
def test_a_window_mostly_decoded_by_the_cpu_is_a_warning(by_nvjpeg: int, by_cpu: int, warnings: int) -> None:
    clock = ManualClock()
    share = DecodeShare(clock)
    with capture_logs() as logged:
        share.add(by_nvjpeg, 0)
        clock.advance(WINDOW_S)
        share.add(0, by_cpu)
    assert [entry["log_level"] for entry in logged] == ["warning"] * warnings
    assert [(entry["nvjpeg"], entry["cpu"]) for entry in logged] == [(by_nvjpeg, by_cpu)] * warnings


def test_there_is_one_warning_in_a_window_at_most_and_each_window_counts_for_itself() -> None:
    clock = ManualClock()
    share = DecodeShare(clock)
    with capture_logs() as logged:
        for second in range(180):
            clock.advance(1)
            share.add(by_nvjpeg=int(second >= 60), by_cpu=int(second < 60))
    assert len(logged) == 1
