"""Time the rivals of `train.py`: a slice of the paper's schedule, and a whole fit of anomalib's PatchCore."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmarks.rivals.anomalib import TIMM_NAMES, layer_names, local_backbone, patchcore
from benchmarks.rivals.published_simplenet import Network
from qc_worker.imaging.aspect import InputSize
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from qc_worker.simplenet.adaptor import Adaptor
from qc_worker.simplenet.backbones.backbone import Backbone
from qc_worker.simplenet.discriminator import Discriminator
from qc_worker.simplenet.patch_features import embed
from qc_worker.simplenet.roc import auroc
from trainer.fitting.loss import truncated_l1

PAPER_BATCH_SIZE = 4
PAPER_EPOCHS = 40
"""Lowest number stated anywhere: the published code runs 40 rounds of 4 epochs each."""
PAPER_SIGMA = 0.015
PAPER_HIDDEN = 1024
WARM_UP_STEPS = 2
CORESET_SHARE = 0.1
BATCH_SIZE = 8
LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=100_000_000)


@dataclass(frozen=True, slots=True)
class Subject:
    """Backbone and frames to train on, the same for every side."""

    backbone: Backbone
    weights: Path
    good: tuple[Path, ...]
    test_good: tuple[Path, ...]
    test_defect: tuple[Path, ...]
    input_size: InputSize


@dataclass(frozen=True, slots=True)
class PaperHead:
    """The published head in training mode: one adaptor for all levels, one discriminator."""

    adaptor: Adaptor
    discriminator: Discriminator


@dataclass(frozen=True, slots=True)
class PaperSlice:
    """Time of some steps of the paper's training, and the factor to the whole."""

    steps: int
    slice_s: float
    factor: float
    """Number of slices in the whole training."""
    epochs: int

    @property
    def extrapolated_s(self) -> float:
        return self.slice_s * self.factor


def paper_slice(subject: Subject, scratch: Path, *, steps: int) -> PaperSlice:
    """Time some steps of the paper's training: batches of 4 frames, decoded and passed through the backbone each time.

    As published: float32, channels first, Adam with the paper's rates, every patch of every frame.
    """
    network = _network(subject, scratch)
    channels = sum(subject.backbone.channels)
    head = PaperHead(Adaptor(channels, channels), Discriminator(channels, PAPER_HIDDEN))
    optimizer = torch.optim.Adam(
        [
            {"params": head.adaptor.parameters(), "lr": 1e-4},
            {"params": head.discriminator.parameters(), "lr": 2e-4},
        ],
        weight_decay=1e-5,
    )
    started_s = 0.0
    for step in range(WARM_UP_STEPS + steps):
        if step == WARM_UP_STEPS:
            started_s = monotonic()
        paths = [subject.good[(step * PAPER_BATCH_SIZE + index) % len(subject.good)] for index in range(4)]
        _paper_step(head, _embedding(subject, network, paths), optimizer)
    steps_in_all = PAPER_EPOCHS * -(-len(subject.good) // PAPER_BATCH_SIZE)
    return PaperSlice(steps, monotonic() - started_s, steps_in_all / steps, PAPER_EPOCHS)


def _paper_step(head: PaperHead, patches: Tensor, optimizer: torch.optim.Optimizer) -> None:
    adapted = head.adaptor(patches)
    noised = adapted + PAPER_SIGMA * torch.randn_like(adapted)
    outputs = head.discriminator(torch.cat([adapted, noised]))
    optimizer.zero_grad()
    torch.autograd.backward(truncated_l1(outputs[: len(patches)], outputs[len(patches) :], margin=0.5))
    optimizer.step()


@torch.no_grad()
def _embedding(subject: Subject, network: Network, paths: Sequence[Path]) -> Tensor:
    """Compute the patch features of some frames. Shape: (N h0 w0, C)."""
    level_maps = network(_normalised(subject, _decoded(subject, paths)))
    grid = (level_maps[0].shape[-2], level_maps[0].shape[-1])
    return embed(level_maps, patch_size=3, grid=grid).permute(0, 2, 3, 1).flatten(0, 2)


def _network(subject: Subject, scratch: Path) -> Network:
    """Build the backbone as a reader of the paper would."""
    name = local_backbone(subject.backbone.name, subject.weights, scratch)
    info: Any = timm.create_model(TIMM_NAMES[subject.backbone.name], pretrained=False, features_only=True).feature_info
    indices = [info.reduction().index(stride) for stride in subject.backbone.levels]
    network: nn.Module = timm.create_model(name, pretrained=True, features_only=True, out_indices=indices)
    return network.eval()


@dataclass(frozen=True, slots=True)
class PatchcoreFit:
    """Times of anomalib's PatchCore, from files to coreset, without imports."""

    frames: int
    features_s: float
    """Seconds to decode frames and pass them through the backbone."""
    coreset_s: float
    coreset_patches: int
    frames_factor: float
    """Number of all frames over the number of frames in this fit."""
    image_auroc: float

    @property
    def extrapolated_s(self) -> float:
        """Seconds for all frames; those of the coreset grow by the square of the number of patches."""
        return self.features_s * self.frames_factor + self.coreset_s * self.frames_factor**2


def fit_patchcore(subject: Subject, scratch: Path, *, max_frames: int) -> PatchcoreFit:
    """Fit PatchCore to at most `max_frames` good frames, and judge the test frames."""
    model: Any = patchcore(
        local_backbone(subject.backbone.name, subject.weights, scratch),
        layer_names(subject.backbone.name, subject.backbone.levels),
    )
    good = subject.good[:max_frames]
    started_s = monotonic()
    model.train()
    with torch.no_grad():  # else the bank would keep every activation of the backbone
        for pixels in _batches(subject, good):
            model(pixels)
        passed_s = monotonic()
        model.subsample_embedding(CORESET_SHARE)
    coreset_s = monotonic() - passed_s
    model.eval()
    scores = [_scores(model, subject, paths) for paths in (subject.test_good, subject.test_defect)]
    return PatchcoreFit(
        frames=len(good),
        features_s=passed_s - started_s,
        coreset_s=coreset_s,
        coreset_patches=len(model.memory_bank),
        frames_factor=len(subject.good) / len(good),
        image_auroc=auroc(*scores),
    )


@torch.no_grad()
def _scores(model: nn.Module, subject: Subject, paths: Sequence[Path]) -> list[float]:
    return [score for pixels in _batches(subject, paths) for score in model(pixels).pred_score.flatten().tolist()]


def _batches(subject: Subject, paths: Sequence[Path]) -> Iterator[Tensor]:
    """Yield normalised batches, (B, 3, S, S)."""
    for start in range(0, len(paths), BATCH_SIZE):
        yield _normalised(subject, _decoded(subject, paths[start : start + BATCH_SIZE]))


def _decoded(subject: Subject, paths: Sequence[Path]) -> Tensor:
    pictures = [
        decode_picture(path.read_bytes(), input_size=subject.input_size, aspect="squash", limits=LIMITS)
        for path in paths
    ]
    return torch.stack([picture.pixels for picture in pictures])


def _normalised(subject: Subject, pixels: Tensor) -> Tensor:
    return (pixels.float() - subject.backbone.mean) / subject.backbone.std
