"""What the inference thread runs: batches through resident backbones, each frame to its line's head."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from qc_worker.engine.decoding import Decoded
from qc_worker.imaging.preprocessing import stack_pixels
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.runtime.failpoints import failpoint
from qc_worker.simplenet.backbones.backbone import Backbone
from qc_worker.simplenet.inference.scorer import Scored, Scorer
from qc_worker.simplenet.spec import BackbonePass, EmbeddingSpec

LoadBackbone = Callable[[EmbeddingSpec], Backbone]


@dataclass(frozen=True, slots=True)
class Computing:
    """How backbones compute."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    warmup_sizes: tuple[int, ...] = (1,)
    """Batch sizes passed through a backbone before it counts as loaded."""


class BackbonePool:
    """One resident scorer per backbone pass, and one copy of each backbone's weights, whatever the number of lines."""

    def __init__(self, load: LoadBackbone, computing: Computing) -> None:
        self._load = load
        self._computing = computing
        self._backbones: dict[tuple[object, ...], Backbone] = {}
        self._scorers: dict[BackbonePass, Scorer] = {}
        self._loading = threading.Lock()

    def scorer(self, spec: EmbeddingSpec) -> Scorer:
        """The scorer of that backbone pass; loaded, compiled and warmed up on first use. Raises ModelError."""
        ready = self._scorers.get(spec.backbone_pass)
        if ready is not None:
            return ready  # without the lock: the inference thread must never wait for another line's backbone
        with self._loading:
            if spec.backbone_pass not in self._scorers:
                self._scorers[spec.backbone_pass] = self._new_scorer(spec)
            return self._scorers[spec.backbone_pass]

    def _new_scorer(self, spec: EmbeddingSpec) -> Scorer:
        scorer = Scorer(self._backbone(spec), spec, self._computing.device, self._computing.dtype)
        if self._computing.compiled:
            scorer.compile(max(self._computing.warmup_sizes))
        scorer.warm_up(self._computing.warmup_sizes)
        return scorer

    def _backbone(self, spec: EmbeddingSpec) -> Backbone:
        """Input sizes may differ and still share the weights."""
        weights = (spec.backbone, spec.weights_sha256, spec.backbone_levels)
        if weights not in self._backbones:
            self._backbones[weights] = self._load(spec)
        return self._backbones[weights]


@dataclass(frozen=True, slots=True)
class Inferred:
    """A batch and what the model says of each of its frames, in the same order; a GPU may still be computing it."""

    batch: Sequence[Decoded]
    scored: Scored
    started_at: float


class ModelRunner:
    """Scores batches whose frames share an embedding; runs in the inference thread."""

    def __init__(self, backbones: BackbonePool, clock: Clock) -> None:
        self._backbones = backbones
        self._clock = clock

    def infer(self, batch: Sequence[Decoded]) -> Inferred:
        """One backbone pass for the whole batch, whose order may change. Raises RuntimeError if the device fails."""
        failpoint("in-inference", *(decoded.frame.frame_id for decoded in batch))
        started = self._clock.monotonic()
        batch = sorted(batch, key=lambda frame: id(frame.resident.head))  # frames of one head as neighbours
        pixels = stack_pixels([frame.picture.pixels for frame in batch])
        heads, boxes = [frame.resident.head for frame in batch], [frame.box for frame in batch]
        scored = self._backbones.scorer(batch[0].spec).score(pixels, heads, boxes=boxes)
        if len(scored.scores) != len(batch):
            raise RuntimeError(f"{len(batch)} frames went into the model, {len(scored.scores)} scores came out")
        metrics.BATCH_FRAMES.observe(len(batch))
        return Inferred(batch, scored, started)
