"""Sides of `accuracy.py`: fitted to good frames, they judge pictures; all have the same pixels and weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from benchmarks._anomalib import layer_names, local_backbone, padim, patchcore
from qc_worker.clock import SystemClock
from qc_worker.domain.calibration import Calibration
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
from trainer.retrain import Retrainer, RetrainRequest, SizedScorer
from trainer.samples import SampleStore, sha256

LINE = line_name("bench")
LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=100_000_000)
THREADS = 2
BATCH_SIZE = 8
BANK_SHARE = 0.1
PADIM_FEATURES: Mapping[str, int] = {"wide_resnet50_2": 550}
FEWEST_PADIM_FEATURES = 100
"""How many channels PaDiM keeps, by anomalib and the paper: 550 of WideResNet-50's, 100 of a small backbone's."""

Frames = Callable[[int], Sequence[Path]]
"""Good frames to fit to, by seed."""


class Judged(NamedTuple):
    """Shapes: float32 (B,) and (B, S, S), on the CPU."""

    scores: Tensor
    maps: Tensor


class Fitted(NamedTuple):
    """A side after its fit."""

    judge: Callable[[Tensor], Judged]
    """Takes uint8 (B, 3, S, S)."""
    fit_s: float
    levels: tuple[int, ...]
    frames: int
    """Good frames that it was fitted to."""
    calibration: Calibration | None = None
    """Its threshold, where it has one, by good frames that it was not fitted to."""


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

    def good_frames(self) -> list[Path]:
        return image_files(self.good)

    def pictures(self, files: Sequence[Path]) -> Iterator[Tensor]:
        """In batches, uint8 (B, 3, S, S)."""
        for paths in in_batches(files, BATCH_SIZE):
            yield torch.stack([picture_of(path, self.defaults.input_size) for path in paths])


def picture_of(path: Path, side: int) -> Tensor:
    return decode_picture(path.read_bytes(), input_size=(side, side), aspect="squash", limits=LIMITS).pixels


class Ours:
    """This package by way of `Retrainer`, as `qc-trainer retrain --dry-run` does it: samples, split, fit, threshold."""

    def __init__(self, subject: Subject) -> None:
        spec = EmbeddingSpec(
            backbone=subject.backbone,
            weights_sha256="",
            levels=subject.defaults.levels,
            patch_size=subject.defaults.patch_size,
            input_size=(subject.defaults.input_size, subject.defaults.input_size),
            aspect="squash",
            wide_stride=subject.defaults.wide_stride,
        )
        backbone = subject.load(spec.strides)
        spec = replace(spec, weights_sha256=backbone.weights_sha256)
        self._subject = subject
        self._fitted_to: dict[int, frozenset[str]] = {}
        self._scorer = Scorer(backbone, spec, torch.device("cpu"), subject.dtype)
        samples = SampleStore(subject.scratch / "samples")
        importer = Importer(samples, LIMITS, SystemClock().now, THREADS)
        importer.run(ImportFolder(LINE, Judgement.GOOD, subject.good), advance=lambda *_: None)
        self._retrainer = Retrainer(
            scorer=lambda _: SizedScorer(self._scorer, "the benchmark's"),
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
            training=training_settings(self._subject.defaults),
            hidden=self._subject.defaults.hidden,
            seed=seed,
            dry_run=True,
        )
        started_s = monotonic()
        with stages() as shown:
            retrained = self._retrainer.run(request, shown)
        fit_s = monotonic() - started_s
        card = retrained.card
        self._fitted_to[seed] = frozenset(card.samples.training)
        head = self._scorer.take_in(retrained.trained.fitted.head)

        def judge(pixels: Tensor) -> Judged:
            scored = self._scorer.score(pixels, [head] * len(pixels))
            return Judged(scored.scores.float().cpu(), scored.maps.float().cpu())

        return Fitted(judge, fit_s, card.embedding.strides, len(card.samples.training), card.calibration)

    def training_frames(self, seed: int) -> list[Path]:
        """Files of the frames that the fit with this seed was given; it has to be over."""
        training = self._fitted_to[seed]
        return [path for path in self._subject.good_frames() if sha256(path.read_bytes()) in training]


def rivals(subject: Subject, levels: tuple[int, ...], frames: Frames, *, greedy: bool) -> dict[str, Side]:
    """Both rivals at these levels, by what their rows are called."""
    at = "+".join(map(str, levels))
    return {
        f"patchcore {at}": Patchcore(subject, levels, frames, greedy),
        f"padim {at}": Padim(subject, levels, frames),
    }


@dataclass(frozen=True, slots=True)
class Patchcore:
    """anomalib's PatchCore; the bank is a random share of all patches, or the greedy coreset of the same size."""

    subject: Subject
    levels: tuple[int, ...]
    frames: Frames
    greedy: bool

    def fit(self, seed: int) -> Fitted:
        model = self._new()
        torch.manual_seed(seed)
        files, started_s = self.frames(seed), monotonic()
        _embed(model, self.subject, self.levels, files)
        if self.greedy:
            model.subsample_embedding(BANK_SHARE)
        else:
            patches = torch.vstack(model.embedding_store)
            model.memory_bank = patches[torch.randperm(len(patches))[: round(BANK_SHARE * len(patches))]].contiguous()
            model.embedding_store.clear()
        fit_s = monotonic() - started_s
        return Fitted(_judge(model, self.subject, self.levels), fit_s, self.levels, len(files))

    def _new(self) -> Any:
        name = local_backbone(self.subject.backbone, self.subject.weights, self.subject.scratch / "timm")
        return patchcore(name, layer_names(self.subject.backbone, self.levels))


@dataclass(frozen=True, slots=True)
class Padim:
    """anomalib's PaDiM."""

    subject: Subject
    levels: tuple[int, ...]
    frames: Frames

    def fit(self, seed: int) -> Fitted:
        torch.manual_seed(seed)
        name = local_backbone(self.subject.backbone, self.subject.weights, self.subject.scratch / "timm")
        channels = sum(self.subject.load(self.levels).channels)
        layers = layer_names(self.subject.backbone, self.levels)
        features = PADIM_FEATURES.get(self.subject.backbone, FEWEST_PADIM_FEATURES)
        model: Any = padim(name, layers, min(features, channels))
        files, started_s = self.frames(seed), monotonic()
        _embed(model, self.subject, self.levels, files)
        model.fit()
        fit_s = monotonic() - started_s
        return Fitted(_judge(model, self.subject, self.levels), fit_s, self.levels, len(files))


@torch.no_grad()
def _embed(model: Any, subject: Subject, levels: tuple[int, ...], files: Sequence[Path]) -> None:
    """Pass frames through a model in training mode, which keeps their embeddings."""
    backbone = subject.load(levels)
    model.train()
    model.feature_extractor.eval()
    for pixels in subject.pictures(files):
        model((pixels.float() - backbone.mean) / backbone.std)


def _judge(model: Any, subject: Subject, levels: tuple[int, ...]) -> Callable[[Tensor], Judged]:
    backbone = subject.load(levels)
    model.eval()

    @torch.no_grad()
    def judge(pixels: Tensor) -> Judged:
        found = model((pixels.float() - backbone.mean) / backbone.std)
        return Judged(found.pred_score.flatten().float(), found.anomaly_map.squeeze(1).float())

    return judge
