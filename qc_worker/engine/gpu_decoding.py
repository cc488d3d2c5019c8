"""Decode on the GPU: one thread decodes all waiting frames of one target together."""

import queue
import threading
from collections.abc import Sequence
from itertools import groupby

import torch

from qc_worker.domain.errors import InvalidFrame
from qc_worker.engine.decoding import Decoded, Deliver
from qc_worker.engine.intake import Admitted
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.nvjpeg import NvJpegDecoder
from qc_worker.imaging.preprocessing import ImageLimits
from qc_worker.ports.clock import Clock

Target = tuple[InputSize, Aspect, int]
"""Input size, aspect and bit depth; frames with an equal target can be decoded together."""


class GpuDecoding:
    """Decode frames in order, up to `max_batch_size` at once; the CPU decodes the formats that the GPU cannot."""

    def __init__(
        self, *, device: torch.device, limits: ImageLimits, max_batch_size: int, cpu_threads: int, clock: Clock
    ) -> None:
        self._device = device
        self._limits = limits
        self._max_batch_size = max_batch_size
        self._cpu_threads = cpu_threads
        self._clock = clock
        self._decoders: dict[Target, NvJpegDecoder] = {}
        self._waiting: queue.SimpleQueue[Admitted | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver) -> None:
        self._thread = threading.Thread(target=self._run, args=(deliver,), name="gpu-decode", daemon=True)
        self._thread.start()

    def submit(self, admitted: Admitted) -> None:
        self._waiting.put(admitted)

    def close(self, timeout_s: float) -> None:
        """Finish the frames that are being decoded and drop those behind them."""
        self._waiting.put(None)
        if self._thread:
            self._thread.join(timeout_s)
        for decoder in self._decoders.values():
            decoder.close()

    def _run(self, deliver: Deliver) -> None:
        while frames := self._take():
            for target, group in groupby(frames, key=_target):
                self._decode(list(group), target, deliver)

    def _take(self) -> list[Admitted]:
        """Wait for a frame and return it with those that wait behind it; empty once closed."""
        frames: list[Admitted] = []
        while not frames or (len(frames) < self._max_batch_size and not self._waiting.empty()):
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
            for admitted in frames:
                deliver(admitted, error)
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
                device=self._device,
                cpu_threads=self._cpu_threads,
            )
        return self._decoders[target]


def _target(admitted: Admitted) -> Target:
    spec = admitted.resident.spec
    return spec.input_size, spec.aspect, spec.bit_depth
