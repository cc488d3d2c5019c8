import os

import pytest

from qc_worker.settings import MEBIBYTE, Settings
from qc_worker.wiring.capacity import Capacity, capacity_on, decode_threads, worker_capacity


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    count = int(request.param)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))
    return count


@pytest.mark.parametrize("cores", [16], indirect=True)
def test_a_gpu_gets_large_batches_and_all_cores_but_two_to_decode(cores: int) -> None:
    assert capacity_on("cuda", Settings()) == Capacity(
        max_batch_size=64, decode_threads=cores - 2, max_in_flight_frames=512, max_in_flight_bytes=1024 * MEBIBYTE
    )


@pytest.mark.parametrize("cores", [16], indirect=True)
def test_a_cpu_leaves_its_cores_to_the_model(cores: int) -> None:
    assert cores > 2
    assert capacity_on("cpu", Settings()) == Capacity(
        max_batch_size=8, decode_threads=2, max_in_flight_frames=128, max_in_flight_bytes=256 * MEBIBYTE
    )


@pytest.mark.parametrize(
    ("cores", "on_cpu", "on_cuda"), [(1, 1, 2), (2, 2, 2), (3, 2, 2), (8, 2, 6)], indirect=["cores"]
)
def test_decode_threads_follow_the_cores(cores: int, on_cpu: int, on_cuda: int) -> None:
    assert cores
    assert decode_threads(Settings(), "cpu") == on_cpu
    assert decode_threads(Settings(), "cuda") == on_cuda


def test_frames_in_flight_follow_the_batch_size_that_was_set() -> None:
    assert capacity_on("cuda", Settings(max_batch_size=16)).max_in_flight_frames == 128


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_numbers_are_used_as_they_are(device_type: str) -> None:
    asked = Capacity(max_batch_size=5, decode_threads=3, max_in_flight_frames=7, max_in_flight_bytes=2 * MEBIBYTE)
    settings = Settings(max_batch_size=5, decode_threads=3, max_in_flight_frames=7, max_in_flight_bytes=2 * MEBIBYTE)
    assert capacity_on(device_type, settings) == asked


def test_the_capacity_is_that_of_the_device_in_the_settings() -> None:
    settings = Settings(device="cpu")
    assert worker_capacity(settings) == capacity_on("cpu", settings)
