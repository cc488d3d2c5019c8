"""What becomes of frames when the device fails: errors are CUDA's own class, which a machine without a GPU has too."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import torch
import typer

from qc_worker.domain.errors import DeviceLost, Reason
from qc_worker.domain.frame import Partition
from qc_worker.engine.gpu_decoding import GpuDecoding
from qc_worker.imaging.on_gpu.nvjpeg import NvJpegDecoder
from qc_worker.imaging.opening import ImageLimits
from qc_worker.observability.exits import TRY_AGAIN, exit_codes
from qc_worker.ports.clock import Clock
from qc_worker.simplenet.inference.device_errors import CUDA_OUT_OF_MEMORY, MPS_ERRORS
from qc_worker.transport.memory.broker import MemoryBroker
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, MakePlant, Plant

BREAK = {
    "inference": lambda plant, fail: setattr(plant.pipeline._runner, "infer", fail),
    "judging": lambda plant, fail: setattr(plant.pipeline._judge, "judge", fail),
}


def lose_device(*_: object) -> NoReturn:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nand what one may try")


def gpu_decoding(clock: Clock, limits: ImageLimits) -> GpuDecoding:
    return GpuDecoding(device=torch.device("cpu"), limits=limits, cpu_threads=1, clock=clock)


def started(plant: Plant, *, frames: int) -> Plant:
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset in range(frames):
        plant.send(factories.record(offset))
    return plant


def assert_ended_with_all_uncommitted(plant: Plant) -> None:
    plant.wait_for(lambda: bool(plant.failure))
    assert plant.records("results") == plant.records("images.dlq") == []
    assert not plant.broker.group("qc-worker").committed().get(Partition("images", 0))


@pytest.mark.parametrize("where", BREAK)
def test_a_lost_device_ends_the_worker_with_its_frames_uncommitted(plant: Plant, where: str) -> None:
    BREAK[where](plant, lose_device)
    assert_ended_with_all_uncommitted(started(plant, frames=5))
    assert isinstance(plant.failure[0], DeviceLost)
    assert str(plant.failure[0]).endswith("AcceleratorError: CUDA error: an illegal memory access was encountered")


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_a_device_lost_while_decoding_ends_the_worker_as_well(
    make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NvJpegDecoder, "decode", lose_device)
    assert_ended_with_all_uncommitted(started(make_plant(decoding=gpu_decoding), frames=5))


def test_no_frame_is_blamed_once_the_device_is_lost(plant: Plant) -> None:
    errors: list[Exception] = [RuntimeError("cuDNN error")] * 8
    errors.insert(0, torch.AcceleratorError("CUDA error: unspecified launch failure"))

    def fail(*_: object) -> NoReturn:
        raise errors.pop(0)

    BREAK["inference"](plant, fail)
    assert_ended_with_all_uncommitted(started(plant, frames=9))


def test_the_next_worker_judges_what_a_lost_device_left_open(make_plant: MakePlant) -> None:
    broker = MemoryBroker()
    first = make_plant(broker=broker)
    BREAK["inference"](first, lose_device)
    assert_ended_with_all_uncommitted(started(first, frames=5))
    second = make_plant(broker=broker)
    second.train(scores=PASSES_ALL)
    second.start()
    assert [i.source.offset for i in second.wait_for_inspections(5)] == list(range(5))


def test_a_lost_device_is_for_the_supervisor_to_try_again(plant: Plant) -> None:
    BREAK["inference"](plant, lose_device)
    assert_ended_with_all_uncommitted(started(plant, frames=1))
    with pytest.raises(typer.Exit) as ended, exit_codes():
        raise plant.failure[0]
    assert ended.value.exit_code == TRY_AGAIN


def left_in_order(plant: Plant) -> list[bool]:
    """Record how the plant's worker leaves its group; not in order: its frames in flight become suspects."""
    close, recorded = plant.source.close, list[bool]()

    def closed(*, in_order: bool = True) -> None:
        recorded.append(in_order)
        close(in_order=in_order)

    plant.source.close = closed  # type: ignore[method-assign]
    return recorded


@pytest.mark.parametrize("where", BREAK)
def test_frames_that_were_on_a_device_when_it_was_lost_are_suspects(plant: Plant, where: str) -> None:
    in_order = left_in_order(plant)
    BREAK[where](plant, lose_device)
    assert_ended_with_all_uncommitted(started(plant, frames=5))
    assert in_order == [False]


def test_a_frame_that_kills_a_shared_device_counts_and_no_frame_of_its_neighbours(make_plant: MakePlant) -> None:
    broker = MemoryBroker()
    for _ in range(3):
        poisoned, neighbour = make_plant(broker=broker), make_plant(broker=broker)
        in_order, neighbours_in_order = left_in_order(poisoned), left_in_order(neighbour)
        BREAK["inference"](poisoned, lose_device)
        neighbour.pipeline._runner.check_device = lose_device  # type: ignore[method-assign]
        assert_ended_with_all_uncommitted(started(poisoned, frames=1))
        assert_ended_with_all_uncommitted(started(neighbour, frames=1))
        assert (in_order, neighbours_in_order) == ([False], [True])
        assert str(neighbour.failure[0]).startswith("the device is lost to this process: AcceleratorError")


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_frames_that_a_device_decoded_are_suspects_although_no_batch_was_on_it(
    make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = NvJpegDecoder.decode

    def on_device(self: NvJpegDecoder, contents: Sequence[bytes]) -> list[Any]:
        pictures: list[Any] = decode(self, contents)
        return [replace(picture, decoded=object()) for picture in pictures]

    monkeypatch.setattr(NvJpegDecoder, "decode", on_device)
    plant = make_plant(decoding=gpu_decoding)
    in_order = left_in_order(plant)
    BREAK["inference"](plant, lose_device)
    plant.pipeline._runner.check_device = lose_device  # type: ignore[method-assign]
    assert_ended_with_all_uncommitted(started(plant, frames=1))
    assert in_order == [False]


def test_a_worker_that_the_server_of_a_shared_device_ends_suspects_no_frame(plant: Plant) -> None:
    def terminate(*_: object) -> NoReturn:
        error: Any = torch.AcceleratorError("CUDA error: the MPS client has been terminated by the MPS server")
        error.error_code = MPS_ERRORS[-1]
        raise error

    in_order = left_in_order(plant)
    BREAK["inference"](plant, terminate)
    assert_ended_with_all_uncommitted(started(plant, frames=5))
    assert in_order == [True]


def test_a_device_lost_between_frames_ends_the_worker_and_suspects_none(plant: Plant) -> None:
    in_order = left_in_order(plant)
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.pipeline.give_up("the device is lost to this process")
    plant.wait_for(lambda: bool(plant.failure))
    assert in_order == [True]


@pytest.mark.parametrize("kind", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_a_want_of_memory_is_the_frames_failure_and_not_the_devices(plant: Plant, kind: type[Exception]) -> None:
    def fail(*_: object) -> NoReturn:
        error: Any = kind("out of memory")
        error.error_code = CUDA_OUT_OF_MEMORY
        raise error

    BREAK["inference"](plant, fail)
    inspections = started(plant, frames=3).wait_for_inspections(3)
    assert {inspection.reason for inspection in inspections} == {Reason.MODEL_FAILED}


@pytest.mark.parametrize("where", BREAK)
def test_failed_batches_do_not_count_as_under_way(make_plant: MakePlant, where: str) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError

    plant = make_plant(max_wait_s=600.0)  # a single frame is judged at once only while the device has nothing to do
    BREAK[where](plant, fail)
    started(plant, frames=0)
    for offset in range(5):
        plant.send(factories.record(offset))
        plant.wait_for_inspections(offset + 1)
    assert {inspection.reason for inspection in plant.published()} == {Reason.MODEL_FAILED}


@pytest.mark.parametrize("thread", ["inference", "judging"])
def test_a_thread_that_ends_ends_the_worker_too(plant: Plant, monkeypatch: pytest.MonkeyPatch, thread: str) -> None:
    def no_memory(*_: object) -> NoReturn:
        raise MemoryError

    BREAK[thread](plant, no_memory)
    monkeypatch.setattr("qc_worker.engine.pipeline.failure", no_memory)
    assert_ended_with_all_uncommitted(started(plant, frames=5))
    assert str(plant.failure[0]).startswith(f"{thread} ended: MemoryError")
