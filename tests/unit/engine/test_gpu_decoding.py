"""Everything but the GPU itself: torchvision's CPU decoder takes nvJPEG's place."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from structlog.testing import capture_logs
from torchvision.io import decode_jpeg

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.inspection import Verdict
from qc_worker.engine import gpu_decoding
from qc_worker.engine.gpu_decoding import GpuDecoding
from qc_worker.imaging.on_gpu import nvjpeg
from qc_worker.imaging.on_gpu.nvjpeg import NvJpegDecoder
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture
from qc_worker.ports.clock import Clock
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, MakePlant, Plant

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")


def decoding(clock: Clock, limits: ImageLimits) -> GpuDecoding:
    return GpuDecoding(device=torch.device("cpu"), limits=limits, cpu_threads=2, clock=clock)


def test_frames_get_the_verdicts_and_order_that_decode_threads_give(make_plant: MakePlant) -> None:
    scores = []
    for options in ({}, {"decoding": decoding}):
        plant = make_plant(**options)
        plant.train(scores=PASSES_ALL)
        plant.start()
        for offset in range(9):
            plant.send(factories.record(offset))
        inspections = plant.wait_for_inspections(9)
        assert [i.source.offset for i in inspections] == list(range(9))
        scores.append([i.score for i in inspections])
    assert torch.allclose(torch.tensor(scores[0]), torch.tensor(scores[1]), atol=0.05)


def test_a_broken_frame_fails_alone(make_plant: MakePlant) -> None:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset in range(5):
        plant.send(factories.record(offset, content=b"no image" if offset == 2 else factories.jpeg(offset)))
    inspections = plant.wait_for_inspections(5)
    assert [i.verdict is Verdict.ERROR for i in inspections] == [False, False, True, False, False]
    assert inspections[2].reason is Reason.UNDECODABLE


def test_a_verdict_after_its_deadline_is_flagged(make_plant: MakePlant) -> None:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset, deadline_ms in enumerate([b"1", b"86400000"]):
        record = factories.record(offset)
        plant.send(replace(record, headers=(*record.headers, ("deadline-ms", deadline_ms))))
    assert [inspection.late for inspection in plant.wait_for_inspections(2)] == [True, False]


def test_frames_that_wait_at_the_end_stay_open(make_plant: MakePlant) -> None:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.finish()
    assert plant.in_flight.frames == 0


def test_the_log_says_at_the_start_that_nvjpeg_decodes(make_plant: MakePlant) -> None:
    assert [entry["event"] for entry in logged_at_start(make_plant)] == ["nvJPEG decodes JPEGs"]


def test_an_nvjpeg_that_does_not_work_is_reported_at_the_start_and_no_frame_is_tried_on_it(
    make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(*_: object, **__: object) -> NoReturn:
        calls.append(1)
        raise RuntimeError("Error while decoding JPEG images: Failed to initialize nvjpeg with hardware backend: 6")

    monkeypatch.setattr(nvjpeg, "decode_jpeg", fail)
    (entry,) = logged_at_start(make_plant)
    assert entry["log_level"] == "warning"
    assert "the CPU decodes all frames" in entry["event"]
    assert "Failed to initialize nvjpeg" in entry["error"]
    assert len(calls) == 1


def test_a_first_picture_that_memory_does_not_allow_says_nothing_of_nvjpeg(
    make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [RuntimeError("Error while decoding JPEG images: CUDA out of memory. Tried to ...")]
    calls = []

    def decode(*given: Any, **options: Any) -> object:
        calls.append(1)
        if errors:
            raise errors.pop()
        return decode_jpeg(*given, **options)

    monkeypatch.setattr(nvjpeg, "decode_jpeg", decode)
    (entry,) = logged_at_start(make_plant)
    assert entry["event"] == "the first JPEG was not decoded"
    assert len(calls) > 1


def logged_at_start(make_plant: MakePlant) -> list[dict[str, str]]:
    """Judge three frames and return what the decoding has logged."""
    with capture_logs() as logged:
        plant = make_plant(decoding=decoding)
        plant.train(scores=PASSES_ALL)
        plant.start()
        for offset in range(3):
            plant.send(factories.record(offset))
        assert [i.verdict for i in plant.wait_for_inspections(3)] == [Verdict.PASS] * 3
    return [dict(entry) for entry in logged if "JPEG" in entry["event"]]


def test_frames_of_one_target_share_a_call_though_others_lie_between_them() -> None:
    def admitted(number: int, side: int) -> Any:
        spec = SimpleNamespace(input_size=(side, side), aspect="squash", bit_depth=8)
        return SimpleNamespace(number=number, resident=SimpleNamespace(spec=spec))

    frames = [admitted(number, side=96 if number % 2 else 64) for number in range(4)]
    groups = gpu_decoding._by_target(frames)
    assert list(groups.values()) == [[frames[0], frames[2]], [frames[1], frames[3]]]


def plant_that_passes_all(make_plant: MakePlant) -> Plant:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.refresher.catch_up()
    return plant


def test_frames_of_a_call_that_fails_are_decoded_alone(make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = NvJpegDecoder.decode

    def only_alone(self: NvJpegDecoder, contents: Sequence[bytes]) -> list[Picture | InvalidFrame]:
        if len(contents) > 1 or contents[0] == factories.jpeg(3):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, contents)

    monkeypatch.setattr(NvJpegDecoder, "decode", only_alone)
    plant = plant_that_passes_all(make_plant)
    for offset in range(6):
        plant.send(factories.record(offset, content=factories.jpeg(offset)))
    plant.run()
    inspections = plant.wait_for_inspections(6)
    assert [i.verdict is Verdict.ERROR for i in inspections] == [False, False, False, True, False, False]


def test_a_call_takes_the_frames_of_one_target_that_wait_and_no_more_than_fit(
    make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_decoding, "CALL_FRAMES", 4)
    calls = []
    decode = NvJpegDecoder.decode

    def counted(self: NvJpegDecoder, contents: Sequence[bytes]) -> list[Picture | InvalidFrame]:
        calls.append(len(contents))
        return decode(self, contents)

    monkeypatch.setattr(NvJpegDecoder, "decode", counted)
    plant = plant_that_passes_all(make_plant)
    for offset in range(20):
        plant.send(factories.record(offset))
    plant.run()
    plant.wait_for_inspections(20)
    assert sum(calls) == 20
    assert max(calls) <= 4
