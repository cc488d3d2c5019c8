"""One resident backbone judging frames of any number of lines in one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.anomaly_map import anomaly_maps, image_scores
from qc_worker.simplenet.backbone import Backbone
from qc_worker.simplenet.compilation import ComputeLevels, compiled
from qc_worker.simplenet.folded import FoldedHead, fold, patch_scores
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.patch_features import AggregatedLevels, concatenate
from qc_worker.simplenet.precision import NumberFormat, number_format
from qc_worker.simplenet.spec import EmbeddingSpec


@dataclass(frozen=True, slots=True)
class Scored:
    """What a batch got. Shapes: `scores` float32 (B,), `maps` float32 (B, S, S); both where they were computed."""

    scores: Tensor
    maps: Tensor
    precision: NumberFormat
    """In which backbone and heads were computed."""

    def map_of(self, index: int) -> npt.NDArray[np.float32]:
        """One frame's anomaly map, (S, S), brought to the CPU."""
        anomaly_map: npt.NDArray[np.float32] = self.maps[index].cpu().numpy()
        return anomaly_map


class Scorer:
    """Backbone, folded heads and anomaly maps in a row. Used by one thread."""

    def __init__(
        self, backbone: Backbone, spec: EmbeddingSpec, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """Raises ModelError if `backbone` is not the one that `spec` describes."""
        _check_fits(backbone, spec)
        self.spec = spec
        self.device = device
        self.dtype = dtype
        self._levels = AggregatedLevels(
            backbone.to(device).compute_in(dtype), spec.patch_size, is_widened=bool(spec.wide_stride)
        )
        self.level_channels = self._levels.channels
        self.channels = sum(self.level_channels)
        self._compute_levels: ComputeLevels = self._levels
        self._max_batch_size: int | None = None

    def compile(self, max_batch_size: int) -> None:
        """Compile the backbone, which takes tens of seconds the first time; scores stay equal but for rounding."""
        self._compute_levels = compiled(
            self._levels, input_size=self.spec.input_size, max_batch_size=max_batch_size, device=self.device
        )

    @torch.no_grad()
    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Pass batches of these sizes through the backbone, so that the first frames find memory and kernels ready."""
        side = self.spec.input_size
        for size in batch_sizes:
            self._compute_levels(self._to_device(torch.zeros((size, 3, side, side), dtype=torch.uint8)))

    def take_in(self, head: Head) -> FoldedHead:
        """Fold a head, bring it to the device and try it on one grey frame. Raises ModelError."""
        if head.channels != self.channels:
            raise ModelError(f"the head takes {head.channels} channels, {self.spec.backbone} gives {self.channels}")
        folded = fold(head, self.level_channels).to(self.device, self.dtype)
        size = self.spec.input_size
        trial = self.score(torch.full((1, 3, size, size), 128, dtype=torch.uint8), [folded])
        if not bool(torch.isfinite(trial.maps).all()):
            raise ModelError("the head gives scores that are not numbers")
        return folded

    @torch.no_grad()
    def score(self, pixels: Tensor, heads: Sequence[FoldedHead]) -> Scored:
        """Judge a batch: `heads[i]`, taken in, judges `pixels[i]`; quickest where equal heads are neighbours.

        Where the device's memory does not do for the batch, it is judged in halves, and so are later ones.
        Shapes: uint8 (B, 3, S, S).
        """
        if len(heads) != len(pixels):
            raise ValueError(f"{len(pixels)} frames but {len(heads)} heads")
        parts = self._in_parts(pixels, heads)
        if len(parts) == 1:
            return parts[0]
        return self._scored(torch.cat([part.scores for part in parts]), torch.cat([part.maps for part in parts]))

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """Embedding of a batch, on the device, by the plain backbone. Shapes: uint8 (B, 3, S, S) -> (B, C, h0, w0)."""
        return concatenate(self._levels(self._to_device(pixels)))

    def _in_parts(self, pixels: Tensor, heads: Sequence[FoldedHead]) -> list[Scored]:
        size = self._max_batch_size or len(pixels)
        try:
            return [
                self._score(pixels[start : start + size], heads[start : start + size])
                for start in range(0, len(pixels), size)
            ]
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            self._max_batch_size = size // 2
        torch.cuda.empty_cache()
        return self._in_parts(pixels, heads)

    def _score(self, pixels: Tensor, heads: Sequence[FoldedHead]) -> Scored:
        scores = patch_scores(self._compute_levels(self._to_device(pixels)), heads)
        maps = anomaly_maps(scores, self.spec.input_size)
        return self._scored(image_scores(maps), maps)

    def _scored(self, scores: Tensor, maps: Tensor) -> Scored:
        return Scored(scores, maps, number_format(self.dtype))

    def _to_device(self, pixels: Tensor) -> Tensor:
        # One layout always: compiled code is bound to it. As a rule pictures come in it, and nothing is copied.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self.device.type != "cuda" or pixels.is_cuda:
            return pixels
        # Pinned, so that the copy runs beside the batch before.
        return pixels.pin_memory().to(self.device, non_blocking=True)


def _check_fits(backbone: Backbone, spec: EmbeddingSpec) -> None:
    if (backbone.name, backbone.levels) != (spec.backbone, spec.strides):
        raise ModelError(f"expected {spec.backbone} {spec.strides}, got {backbone.name} {backbone.levels}")
    if backbone.weights_sha256 != spec.weights_sha256:
        raise ModelError(
            f"the model was trained with other weights of {spec.backbone}: sha256 {spec.weights_sha256[:12]}..., "
            f"here are {backbone.weights_sha256[:12]}..."
        )
