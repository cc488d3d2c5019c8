"""Sides of `accuracy.py`: fitted to good frames, they judge pictures; all have the same pixels and weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from benchmarks._anomalib import layer_names, local_backbone, padim, patchcore
from qc_worker.clock import SystemClock
from qc_worker.domain.names import line_name
from qc_worker.domain.release import Judgement
from qc_worker.registry.store import FsspecModelStore
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.defaults import BackboneDefaults
from qc_worker.simplenet.image_files import image_files
from qc_worker.simplenet.preprocessing import ImageLimits, decode_picture
from qc_worker.simplenet.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.commands.retrain import training_settings
from trainer.feature_cache import FeatureCache
from trainer.import_samples import Importer, ImportFolder
from trainer.pictures import in_batches
from trainer.progress import stages
from trainer.retrain import Retrainer, RetrainRequest
from trainer.samples import SampleStore

LINE = line_name("bench")
LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=100_000_000)
THREADS = 2
BATCH_SIZE = 8
BANK_SHARE = 0.1
PADIM_FEATURES = 100
"""What PaDiM's paper keeps of a small backbone's channels."""


class Judged(NamedTuple):
    """Shapes: float32 (B,) and (B, S, S), on the CPU."""

    scores: Tensor
    maps: Tensor


class Fitted(NamedTuple):
    """A side after its fit."""

    judge: Callable[[Tensor], Judged]
    """Takes uint8 (B, 3, S, S)."""
    fit_s: float
    frames: int
    """Good frames that it was fitted to."""
    held_out: tuple[float, ...] = ()
    """Scores of good frames that it kept for its threshold."""


class Side(Protocol):
    """A method with its settings."""

    def fit(self, seed: int) -> Fitted: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What all sides are fitted to."""

    backbone: str
    weights: Path
    defaults: BackboneDefaults
    dtype: torch.dtype
    """Of our backbone and head; the rivals compute in float32."""
    good: Path
    """Folder of good frames."""
    scratch: Path

    def load(self, levels: tuple[int, ...]) -> Backbone:
        return load_backbone(self.backbone, levels=levels, weights_dir=self.scratch, file=self.weights)

    def pictures(self) -> Iterator[Tensor]:
        """Batches of the good frames, uint8 (B, 3, S, S)."""
        for paths in in_batches(image_files(self.good), BATCH_SIZE):
            yield torch.stack([picture_of(path, self.defaults.input_size) for path in paths])


def picture_of(path: Path, input_size: int) -> Tensor:
    return decode_picture(path.read_bytes(), input_size=input_size, aspect="squash", limits=LIMITS).pixels


class Ours:
    """This package by way of `Retrainer`, as `qc-trainer retrain --dry-run` does it: samples, split, fit, threshold."""

    def __init__(self, subject: Subject) -> None:
        spec = EmbeddingSpec(
            backbone=subject.backbone,
            weights_sha256="",
            levels=subject.defaults.levels,
            patch_size=subject.defaults.patch_size,
            input_size=subject.defaults.input_size,
            aspect="squash",
            wide_stride=subject.defaults.wide_stride,
        )
        backbone = subject.load(spec.strides)
        spec = replace(spec, weights_sha256=backbone.weights_sha256)
        self._defaults = subject.defaults
        self._scorer = Scorer(backbone, spec, torch.device("cpu"), subject.dtype)
        samples = SampleStore(subject.scratch / "samples")
        importer = Importer(samples, LIMITS, SystemClock().now, THREADS)
        importer.run(ImportFolder(LINE, Judgement.GOOD, subject.good), advance=lambda *_: None)
        self._retrainer = Retrainer(
            scorer=self._scorer,
            samples=samples,
            models=FsspecModelStore(str(subject.scratch / "models")),
            collect=None,
            releases=None,
            features=FeatureCache(subject.scratch / "features", max_bytes=8 << 30),
            clock=SystemClock(),
            limits=LIMITS,
            decode_threads=THREADS,
        )

    def fit(self, seed: int) -> Fitted:
        request = RetrainRequest(
            line=LINE,
            training=training_settings(self._defaults),
            hidden=self._defaults.hidden,
            seed=seed,
            dry_run=True,
        )
        started_s = monotonic()
        with stages() as shown:
            retrained = self._retrainer.run(request, shown)
        fit_s = monotonic() - started_s
        head = self._scorer.take_in(retrained.trained.fitted.head)

        def judge(pixels: Tensor) -> Judged:
            scored = self._scorer.score(pixels, [head] * len(pixels))
            return Judged(scored.scores.float().cpu(), scored.maps.float().cpu())

        return Fitted(judge, fit_s, len(retrained.card.samples.training), retrained.card.calibration.scores)


@dataclass(frozen=True, slots=True)
class Patchcore:
    """anomalib's PatchCore; the bank is a random share of all patches, or the greedy coreset of the same size."""

    subject: Subject
    levels: tuple[int, ...]
    greedy: bool

    def fit(self, seed: int) -> Fitted:
        model = self._new()
        torch.manual_seed(seed)
        started_s = monotonic()
        frames = _embed(model, self.subject, self.levels)
        if self.greedy:
            model.subsample_embedding(BANK_SHARE)
        else:
            patches = torch.vstack(model.embedding_store)
            model.memory_bank = patches[torch.randperm(len(patches))[: round(BANK_SHARE * len(patches))]].contiguous()
            model.embedding_store.clear()
        return Fitted(_judge(model, self.subject, self.levels), monotonic() - started_s, frames)

    def _new(self) -> Any:
        name = local_backbone(self.subject.backbone, self.subject.weights, self.subject.scratch / "timm")
        return patchcore(name, layer_names(self.subject.backbone, self.levels))


@dataclass(frozen=True, slots=True)
class Padim:
    """anomalib's PaDiM."""

    subject: Subject
    levels: tuple[int, ...]

    def fit(self, seed: int) -> Fitted:
        torch.manual_seed(seed)
        name = local_backbone(self.subject.backbone, self.subject.weights, self.subject.scratch / "timm")
        channels = sum(self.subject.load(self.levels).channels)
        layers = layer_names(self.subject.backbone, self.levels)
        model: Any = padim(name, layers, min(PADIM_FEATURES, channels))
        started_s = monotonic()
        frames = _embed(model, self.subject, self.levels)
        model.fit()
        return Fitted(_judge(model, self.subject, self.levels), monotonic() - started_s, frames)


@torch.no_grad()
def _embed(model: Any, subject: Subject, levels: tuple[int, ...]) -> int:
    """Pass all good frames through a model in training mode, which keeps their embeddings."""
    backbone, frames = subject.load(levels), 0
    model.train()
    model.feature_extractor.eval()
    for pixels in subject.pictures():
        model((pixels.float() - backbone.mean) / backbone.std)
        frames += len(pixels)
    return frames


def _judge(model: Any, subject: Subject, levels: tuple[int, ...]) -> Callable[[Tensor], Judged]:
    backbone = subject.load(levels)
    model.eval()

    @torch.no_grad()
    def judge(pixels: Tensor) -> Judged:
        found = model((pixels.float() - backbone.mean) / backbone.std)
        return Judged(found.pred_score.flatten().float(), found.anomaly_map.squeeze(1).float())

    return judge
