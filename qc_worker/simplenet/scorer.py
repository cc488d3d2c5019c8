"""One resident backbone judging frames of any number of lines in one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.anomaly_map import anomaly_maps, image_scores
from qc_worker.simplenet.backbone import Backbone
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.patch_features import embed
from qc_worker.simplenet.spec import EmbeddingSpec


@dataclass(frozen=True, slots=True)
class Scored:
    """What a batch got. Shapes: `scores` float32 (B,), `maps` float32 (B, S, S); both on the CPU."""

    scores: Tensor
    maps: Tensor


class Scorer:
    """Backbone, embedding and heads in a row. Used by one thread."""

    def __init__(self, backbone: Backbone, spec: EmbeddingSpec, device: torch.device) -> None:
        """Raises ModelError if `backbone` is not the one that `spec` describes."""
        _check_fits(backbone, spec)
        self.spec = spec
        self.device = device
        self.channels = sum(backbone.channels)
        self._backbone = backbone.to(device)

    def warm_up(self, head: Head) -> None:
        """Bring a head to the device and try it on one grey frame. Raises ModelError."""
        if head.channels != self.channels:
            raise ModelError(f"the head takes {head.channels} channels, {self.spec.backbone} gives {self.channels}")
        head.to(self.device).eval()
        size = self.spec.input_size
        trial = self.score(torch.full((1, 3, size, size), 128, dtype=torch.uint8), [head])
        if not bool(torch.isfinite(trial.maps).all()):
            raise ModelError("the head gives scores that are not numbers")

    @torch.no_grad()
    def score(self, pixels: Tensor, heads: Sequence[Head]) -> Scored:
        """Judge a batch: `heads[i]`, warmed up, judges `pixels[i]`. Shapes: uint8 (B, 3, S, S)."""
        if len(heads) != len(pixels):
            raise ValueError(f"{len(pixels)} frames but {len(heads)} heads")
        maps = anomaly_maps(_patch_scores(self.embed(pixels), heads), self.spec.input_size)
        return Scored(scores=image_scores(maps).cpu(), maps=maps.cpu())

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """Embedding of a batch, on the device. Shapes: uint8 (B, 3, S, S) -> (B, C, h0, w0)."""
        return embed(self._backbone(pixels.to(self.device)), self.spec.patch_size)


def _patch_scores(embedding: Tensor, heads: Sequence[Head]) -> Tensor:
    """Let each head judge all of its frames at once. Shapes: (B, C, h, w) -> (B, h, w)."""
    scores = embedding.new_empty(len(heads), *embedding.shape[-2:])
    for head in dict.fromkeys(heads):
        own = [index for index, other in enumerate(heads) if other is head]
        scores[own] = head.patch_scores(embedding[own])
    return scores


def _check_fits(backbone: Backbone, spec: EmbeddingSpec) -> None:
    if (backbone.name, backbone.levels) != (spec.backbone, spec.levels):
        raise ModelError(f"expected {spec.backbone} {spec.levels}, got {backbone.name} {backbone.levels}")
    if backbone.weights_sha256 != spec.weights_sha256:
        raise ModelError(
            f"the model was trained with other weights of {spec.backbone}: sha256 {spec.weights_sha256[:12]}..., "
            f"here are {backbone.weights_sha256[:12]}..."
        )
