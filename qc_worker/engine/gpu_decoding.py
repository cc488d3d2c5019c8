"""Decode on the GPU: one thread decodes all waiting frames of one target together."""

import queue
import threading
from collections.abc import Sequence

import structlog
import torch

from qc_worker.domain.errors import InvalidFrame
from qc_worker.engine.decoding import Decoded, Deliver
from qc_worker.engine.device.decode_share import DecodeShare
from qc_worker.engine.device.under_way import UnderWay
from qc_worker.engine.intake import Admitted
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.on_gpu.decode_stream import DecodeStream
from qc_worker.imaging.on_gpu.nvjpeg import NvJpegDecoder, try_nvjpeg
from qc_worker.imaging.opening import ImageLimits
from qc_worker.ports.clock import Clock
from qc_worker.simplenet.inference.device_errors import lacks_memory, loses_device

CALL_FRAMES = 64
"""Most frames decoded in one call. A GPU has several JPEG engines (5 on an A100, 7 on an H100), which calls of a few
pictures leave idle; calls of 32 and more keep them busy."""

Target = tuple[InputSize, Aspect, int]
"""Input size, aspect and bit depth; frames with an equal target can be decoded together."""

log = structlog.get_logger()


class GpuDecoding:
    """Decode the frames that wait, at most CALL_FRAMES at once; the CPU decodes the formats that the GPU cannot."""

    def __init__(self, *, device: torch.device, limits: ImageLimits, cpu_threads: int, clock: Clock) -> None:
        self._under_way = UnderWay(clock)
        self._stream = DecodeStream(device, counted=self._under_way.work)
        self._limits = limits
        self._cpu_threads = cpu_threads
        self._clock = clock
        self._share = DecodeShare(clock)
        self._with_nvjpeg = True
        self._decoders: dict[Target, NvJpegDecoder] = {}
        self._waiting: queue.SimpleQueue[Admitted | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver) -> None:
        self._thread = threading.Thread(target=self._run, args=(deliver,), name="gpu-decode", daemon=True)
        self._thread.start()

    def submit(self, admitted: Admitted) -> None:
        self._waiting.put(admitted)

    def stuck_s(self) -> float:
        return self._under_way.stuck_s()

    def close(self, timeout_s: float) -> None:
        """Finish the frames that are being decoded and drop those behind them."""
        self._waiting.put(None)
        if self._thread:
            self._thread.join(timeout_s)
        for decoder in self._decoders.values():
            decoder.close()

    def _run(self, deliver: Deliver) -> None:
        self._with_nvjpeg = _nvjpeg_works(self._stream)
        while frames := self._take():
            for target, group in _by_target(frames).items():
                self._decode(group, target, deliver)

    def _take(self) -> list[Admitted]:
        """Wait for a frame and return it with those that wait behind it; empty once closed."""
        frames: list[Admitted] = []
        while not frames or (len(frames) < CALL_FRAMES and not self._waiting.empty()):
            admitted = self._waiting.get()
            if admitted is None:
                return []
            if not admitted.ticket.skip_if_void():
                frames.append(admitted)
        return frames

    def _decode(self, frames: Sequence[Admitted], target: Target, deliver: Deliver) -> None:
        started = self._clock.monotonic()
        try:
            pictures = self._decoder(target).decode([admitted.frame.content for admitted in frames])
        except Exception as error:  # noqa: BLE001  (a batch that breaks the decoder must not get lost)
            if len(frames) == 1 or loses_device(error):
                for admitted in frames:
                    deliver(admitted, error)
            else:
                for admitted in frames:
                    self._decode([admitted], target, deliver)
            return
        share_ms = 1000 * (self._clock.monotonic() - started) / len(frames)
        for admitted, picture in zip(frames, pictures, strict=True):
            if isinstance(picture, InvalidFrame):
                deliver(admitted, picture)
            else:
                deliver(admitted, Decoded(admitted.ticket, admitted.frame, admitted.resident, picture, share_ms))

    def _decoder(self, target: Target) -> NvJpegDecoder:
        if target not in self._decoders:
            input_size, aspect, bit_depth = target
            self._decoders[target] = NvJpegDecoder(
                input_size=input_size,
                aspect=aspect,
                bit_depth=bit_depth,
                limits=self._limits,
                stream=self._stream,
                cpu_threads=self._cpu_threads,
                with_nvjpeg=self._with_nvjpeg,
                tally=self._share.add,
            )
        return self._decoders[target]


def _nvjpeg_works(stream: DecodeStream) -> bool:
    """Decode a first JPEG and log which of the two decodes; False: nvJPEG cannot, so no frame need be tried on it."""
    try:
        try_nvjpeg(stream)
    except Exception as error:  # noqa: BLE001  (this thread must not end, or frames would wait forever)
        works = lacks_memory(error) or loses_device(error)  # says nothing about nvJPEG; the frames will show it
        said = "the first JPEG was not decoded" if works else "nvJPEG does not work: the CPU decodes all frames"
        log.warning(said, error=_first_line(error))
        return works
    log.info("nvJPEG decodes JPEGs")
    return True


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _by_target(frames: Sequence[Admitted]) -> dict[Target, list[Admitted]]:
    """Put frames of one target together: those of lines with different input sizes may alternate."""
    groups: dict[Target, list[Admitted]] = {}
    for admitted in frames:
        groups.setdefault(_target(admitted), []).append(admitted)
    return groups


def _target(admitted: Admitted) -> Target:
    spec = admitted.resident.spec
    return spec.input_size, spec.aspect, spec.bit_depth
