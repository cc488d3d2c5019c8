"""Run batches through resident backbones and each frame's own head, in the inference thread."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from qc_worker.engine.decoding import Decoded
from qc_worker.engine.device.report import DeviceReport
from qc_worker.imaging.on_gpu.decode_stream import received
from qc_worker.imaging.preprocessing import stack_pixels
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.runtime.failpoints import failpoint
from qc_worker.simplenet.backbones.backbone import Backbone
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.spec import BackbonePass, EmbeddingSpec


@dataclass(frozen=True, slots=True)
class Inferred:
    """A batch and its scores, in the same order; a GPU may still be computing them."""

    batch: Sequence[Decoded]
    scored: Scored
    started_at: float


class ModelRunner:
    """Score batches whose frames share a backbone pass."""

    def __init__(self, backbones: "BackbonePool", clock: Clock) -> None:
        self._backbones = backbones
        self._clock = clock

    def infer(self, batch: Sequence[Decoded]) -> Inferred:
        """Run one backbone pass for the batch, whose order may change. Raises RuntimeError if the device fails."""
        failpoint("in-inference", *(decoded.frame.frame_id for decoded in batch))
        started = self._clock.monotonic()
        batch = sorted(batch, key=lambda frame: id(frame.resident.head))  # frames of one head side by side
        pixels = stack_pixels(received([frame.picture for frame in batch]))
        heads, boxes = [frame.resident.head for frame in batch], [frame.box for frame in batch]
        scored = self._backbones.scorer(batch[0].spec).score(pixels, heads, boxes=boxes)
        if len(scored.scores) != len(batch):
            raise RuntimeError(f"{len(batch)} frames went into the model, {len(scored.scores)} scores came out")
        metrics.BATCH_FRAMES.observe(len(batch))
        return Inferred(batch, scored, started)

    def check_device(self) -> None:
        """Raise torch.AcceleratorError if the device is lost to this process; takes microseconds."""
        self._backbones.check_device()


LoadBackbone = Callable[[EmbeddingSpec], Backbone]


@dataclass(frozen=True, slots=True)
class Computing:
    """Device, number format and warm-up of all backbones."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    warmup_sizes: tuple[int, ...] = (1,)
    """Batch sizes that are passed through a backbone before it counts as loaded."""
    compiling: Callable[[], AbstractContextManager[None]] = nullcontext
    """Makes the context in which a backbone is compiled; other processes may have to wait for it."""


class BackbonePool:
    """Keep one scorer per backbone pass and one copy of each backbone's weights, however many lines there are."""

    def __init__(self, load: LoadBackbone, computing: Computing) -> None:
        self._load = load
        self._computing = computing
        self._backbones: dict[tuple[object, ...], Backbone] = {}
        self._scorers: dict[BackbonePass, Scorer] = {}
        self._loading = threading.Lock()
        self._report = DeviceReport(computing.device, computing.dtype)

    def scorer(self, spec: EmbeddingSpec) -> Scorer:
        """Return the scorer of the spec's backbone pass; the first call loads, compiles and warms it up.

        Raises ModelError.
        """
        ready = self._scorers.get(spec.backbone_pass)
        if ready is not None:
            return ready  # without the lock: the inference thread must never wait for another line's backbone
        with self._loading:
            if spec.backbone_pass not in self._scorers:
                self._scorers[spec.backbone_pass] = self._new_scorer(spec)
            return self._scorers[spec.backbone_pass]

    def check_device(self) -> None:
        """Raise torch.AcceleratorError if the device is lost to this process."""
        if self._computing.device.type == "cuda":
            # Asks if the queue is empty, and reports a fault of any process that shares the device with us.
            torch.cuda.current_stream(self._computing.device).query()

    def _new_scorer(self, spec: EmbeddingSpec) -> Scorer:
        scorer = Scorer(self._backbone(spec), spec, self._computing.device, self._computing.dtype)
        if self._computing.compiled:
            with self._computing.compiling():
                scorer.compile(max(self._computing.warmup_sizes))
        scorer.warm_up(self._computing.warmup_sizes)
        self._report.report(compiled=scorer.is_compiled)
        return scorer

    def _backbone(self, spec: EmbeddingSpec) -> Backbone:
        """Return the backbone of these weights; specs that differ in the input size only share it."""
        weights = (spec.backbone, spec.weights_sha256, spec.backbone_levels)
        if weights not in self._backbones:
            self._backbones[weights] = self._load(spec)
        return self._backbones[weights]
