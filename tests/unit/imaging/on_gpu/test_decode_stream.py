"""The order of work on a device: what is drained before nvJPEG writes, and who waits for the pictures.

Without a GPU a stream that only writes down what it is asked for takes the place of CUDA's.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torchvision.io import decode_jpeg

from qc_worker.imaging.on_gpu import nvjpeg
from qc_worker.imaging.on_gpu.decode_stream import DecodeStream, received
from qc_worker.imaging.on_gpu.fitting import fit_on_device
from qc_worker.imaging.preprocessing import Picture, decode_picture
from tests.unit.imaging.on_gpu.factories import (
    CPU,
    a_decoder,
    a_jpeg,
    a_scene,
    needs_cuda,
    without_quantisation_tables,
)
from tests.unit.simplenet.factories import encoded

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
EVENT = cast("torch.cuda.Event", object())
SPIN = 1_000_000_000
"""Clock cycles of a kernel that does nothing, about half a second."""


class WrittenDown(DecodeStream):
    """Writes down the steps."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__(CPU)
        self.steps = steps
        self.is_lost = False
        self.was_left = threading.Event()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        self.steps.append("enter")
        yield
        self.steps.append("leave")
        self.was_left.set()

    def drain(self) -> None:
        self.steps.append("drain")

    def drain_device(self) -> None:
        self.steps.append("drain device")
        if self.is_lost:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def now(self) -> torch.cuda.Event:
        self.steps.append("event")
        return EVENT


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> WrittenDown:
    steps: list[str] = []

    def decode(pictures: list[Tensor], **options: Any) -> list[Tensor]:
        steps.append(f"decode {len(pictures)}")
        return list(decode_jpeg(pictures, **options))

    def fit(pictures: Tensor, **options: Any) -> list[Picture]:
        steps.append(f"fit {len(pictures)}")
        return list(fit_on_device(pictures, **options))

    monkeypatch.setattr(nvjpeg, "decode_jpeg", decode)
    monkeypatch.setattr(nvjpeg, "fit_on_device", fit)
    return WrittenDown(steps)


def test_its_stream_is_drained_before_each_call_and_all_happens_within_it(stream: WrittenDown) -> None:
    a_decoder(stream=stream).decode([a_jpeg(seed=seed) for seed in range(3)])
    assert stream.steps == ["enter", "drain", "decode 3", "fit 3", "leave", "enter", "event", "leave"]


def test_a_failed_call_is_waited_for_before_its_memory_is_used_again(stream: WrittenDown) -> None:
    a_decoder(stream=stream).decode([a_jpeg(), without_quantisation_tables(a_jpeg())])
    calls = ["drain", "decode 2", "drain device", "drain", "decode 1", "drain", "decode 1", "drain device"]
    assert stream.steps == ["enter", *calls, "fit 1", "leave", "enter", "event", "leave"]


def test_waiting_for_the_cpu_is_no_waiting_for_the_device(stream: WrittenDown, monkeypatch: pytest.MonkeyPatch) -> None:
    left = []

    def decode_slowly(*given: Any, **options: Any) -> Picture:
        left.append(stream.was_left.wait(20))
        return decode_picture(*given, **options)

    monkeypatch.setattr(nvjpeg, "decode_picture", decode_slowly)
    a_decoder(stream=stream).decode([encoded(a_scene())])
    assert left == [True]


def test_every_picture_carries_the_event_of_its_decoding(stream: WrittenDown) -> None:
    pictures = a_decoder(stream=stream).decode([a_jpeg(), encoded(a_scene())])  # by nvJPEG, by the CPU
    assert [isinstance(picture, Picture) and picture.decoded for picture in pictures] == [EVENT, EVENT]


def test_a_lost_device_is_not_tried_again(stream: WrittenDown) -> None:
    stream.is_lost = True
    with pytest.raises(torch.AcceleratorError):
        a_decoder(stream=stream).decode([without_quantisation_tables(a_jpeg())] * 4)
    assert [step for step in stream.steps if step.startswith("decode")] == ["decode 4"]


def test_pictures_of_one_size_are_resized_together_up_to_a_number_of_pixels(
    stream: WrittenDown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvjpeg, "RESIZE_PIXELS", 3 * 300 * 200)
    sizes = [(300, 200), (640, 480)] * 2 + [(300, 200)] * 3
    together = a_decoder(stream=stream).decode([a_jpeg(size=size, seed=i) for i, size in enumerate(sizes)])
    assert [step for step in stream.steps if step.startswith("fit")] == ["fit 3", "fit 2", "fit 1", "fit 1"]
    for index, (size, picture) in enumerate(zip(sizes, together, strict=True)):
        [alone] = a_decoder().decode([a_jpeg(size=size, seed=index)])
        assert isinstance(alone, Picture)
        assert isinstance(picture, Picture)
        assert torch.equal(picture.pixels, alone.pixels)
        assert picture.pixels.stride() == alone.pixels.stride()


@pytest.mark.parametrize(("fitting", "by_nvjpeg"), [(1, 4), (0, 0)])
def test_pictures_that_memory_does_not_allow_together_are_resized_alone_or_decoded_by_the_cpu(
    fitting: int, by_nvjpeg: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[int, ...]] = []

    def fit(pictures: Tensor, **options: Any) -> list[Picture]:
        if len(pictures) > fitting:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(fit_on_device(pictures, **options))

    monkeypatch.setattr(nvjpeg, "fit_on_device", fit)
    decoder = a_decoder(tally=lambda *counts: counted.append(counts))
    pictures = decoder.decode([a_jpeg(seed=seed) for seed in range(4)])
    assert all(isinstance(picture, Picture) for picture in pictures)
    assert counted == [(by_nvjpeg, 4 - by_nvjpeg)]


def test_pictures_are_counted_by_their_decoder_and_broken_frames_are_not() -> None:
    counted: list[tuple[int, ...]] = []
    decoder = a_decoder(tally=lambda *counts: counted.append(counts))
    decoder.decode([a_jpeg(), a_jpeg(), encoded(a_scene()), b"no image", without_quantisation_tables(a_jpeg())])
    assert counted == [(2, 1)]


def test_a_first_picture_shows_that_nvjpeg_works(stream: WrittenDown) -> None:
    nvjpeg.try_nvjpeg(stream)
    assert stream.steps == ["enter", "drain", "decode 1", "leave"]


def test_a_first_picture_that_is_decoded_wrongly_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvjpeg, "decode_jpeg", lambda *_, **__: [torch.zeros((3, 256, 256), dtype=torch.uint8)])
    with pytest.raises(RuntimeError, match="wrongly"):
        nvjpeg.try_nvjpeg(DecodeStream(CPU))


class Cuda:
    """Stands for CUDA's functions and one of its streams."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def synchronize(self, device: torch.device | None = None) -> None:
        self.steps.append("drain" if device is None else f"drain {device}")

    def record_event(self) -> torch.cuda.Event:
        self.steps.append("event")
        return EVENT

    @contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        assert stream is self
        self.steps.append("enter")
        yield
        self.steps.append("leave")


def test_on_cuda_it_uses_one_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda()
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: cuda)
    monkeypatch.setattr(torch.cuda, "stream", cuda.stream)
    monkeypatch.setattr(torch.cuda, "synchronize", cuda.synchronize)
    stream = DecodeStream(torch.device("cuda:1"))
    with stream.decoding():
        stream.drain()
        stream.drain_device()
        assert stream.now() is EVENT
    assert cuda.steps == ["enter", "drain", "drain cuda:1", "event", "leave"]


class Reading:
    """Stands for the stream of the inference thread."""

    def __init__(self) -> None:
        self.waited: list[object] = []

    def wait_event(self, event: object) -> None:
        self.waited.append(event)


class Pixels:
    """Stands for pixels on a GPU."""

    device = torch.device("cuda:0")

    def __init__(self) -> None:
        self.read_by: list[object] = []

    def record_stream(self, stream: object) -> None:
        self.read_by.append(stream)


def test_a_reading_stream_waits_once_for_each_decoding_and_keeps_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, other = Reading(), cast("torch.cuda.Event", object())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: reading)
    pixels = [Pixels() for _ in range(4)]
    pictures = [Picture(cast("Tensor", p), (1, 1), event) for p, event in zip(pixels, [EVENT, other] * 2, strict=True)]
    assert received(pictures) == pixels
    assert reading.waited == [EVENT, other]
    assert [each.read_by for each in pixels] == [[reading]] * 4


def test_pictures_of_the_cpu_need_no_stream() -> None:
    pixels = torch.zeros((3, 1, 1), dtype=torch.uint8)
    assert received([Picture(pixels, (1, 1))])[0] is pixels


def spin() -> None:
    torch.cuda._sleep(SPIN)  # type: ignore[no-untyped-call]  # torch leaves it out


@needs_cuda
def test_memory_that_kernels_of_the_decoding_still_read_is_not_decoded_into() -> None:
    stream = DecodeStream(torch.device("cuda", 0))
    decoder, content, shape = a_decoder(stream=stream), a_jpeg(size=(2000, 1500)), (3, 1500, 2000)
    decoder.decode([content])  # leaves memory of a picture's size behind
    with stream.decoding():
        earlier = torch.full(shape, 7, dtype=torch.uint8, device="cuda")
        target = torch.empty(shape, dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        spin()
        target.copy_(earlier)
        del earlier  # its memory is the first that fits the next picture
    decoder.decode([content])
    torch.cuda.synchronize()
    assert bool((target == 7).all())


@needs_cuda
def test_pictures_that_another_stream_has_yet_to_read_are_not_decoded_into() -> None:
    decoder, contents = a_decoder(torch.device("cuda", 0)), [a_jpeg(seed=seed) for seed in range(8)]
    pictures = [picture for picture in decoder.decode(contents) if isinstance(picture, Picture)]
    torch.cuda.synchronize()
    expected = torch.stack([picture.pixels for picture in pictures]).clone()
    spin()
    read = torch.stack(received(pictures))  # queued behind the kernel that spins
    del pictures
    for _ in range(4):
        decoder.decode([a_jpeg(seed=seed) for seed in range(8, 16)])
    assert torch.equal(read, expected)


@needs_cuda
def test_decoding_does_not_wait_for_computing() -> None:
    decoder, contents = a_decoder(torch.device("cuda", 0)), [a_jpeg(seed=seed) for seed in range(8)]
    for _ in range(2):
        decoder.decode(contents)  # nvJPEG and all memory are there now
    torch.cuda.synchronize()
    spin()
    decoder.decode(contents)
    assert not torch.cuda.current_stream().query()
