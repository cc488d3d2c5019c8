"""Hold the scores and maps of a batch, and bring maps to the CPU for frames that people will look at."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qc_worker.simplenet.anomaly_map import MASK_SIGMA_PX, anomaly_maps
from qc_worker.simplenet.inference.folded import FoldedHead, patch_scores
from qc_worker.simplenet.inference.precision import NumberFormat
from qc_worker.simplenet.regions import NOT_JUDGED
from qc_worker.simplenet.spec import EmbeddingSpec

MASKS_AT_ONCE = 8
"""Frames whose mask maps are computed together on a device: all of a large batch could take more memory than is left. A
CPU computes one at a time: it keeps kernels for every shape, and several frames at once take as long."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores and maps of a batch. Shapes: `scores` float32 (B,), `maps` float32 (B, H, W); both on the scorer's device.

    Maps are minus infinity where a line's picture is not judged.
    """

    scores: Tensor
    maps: Tensor
    precision: NumberFormat
    """Number format in which the backbone was computed; heads behind float16 are float32."""
    behind: torch.cuda.Stream | None = None
    """On CUDA: a stream that waits for this batch and for no later one; None on a CPU."""
    mask_levels: "MaskLevels | None" = None
    """Feature maps that masks are made from; None if lines have no mask heads."""

    def reading(self) -> AbstractContextManager[object]:
        """Return a context in which this thread waits for this batch alone, and not for batches queued after it."""
        return nullcontext() if self.behind is None else torch.cuda.stream(self.behind)

    def map_of(self, index: int) -> npt.NDArray[np.float32]:
        """Copy one frame's anomaly map, (H, W), to the CPU."""
        return self.maps_of([index])[0]

    def maps_of(self, indices: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """Copy the anomaly maps of these frames, (H, W) each, to the CPU, all in one copy."""
        return _on_cpu(self.maps, indices)

    def mask_map_of(self, index: int) -> npt.NDArray[np.float32]:
        """Compute the map that one frame's mask is made from, as `mask_maps_of` does."""
        return self.mask_maps_of([index])[0]

    def mask_maps_of(self, indices: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """Compute the maps that the masks of these frames are made from, (H, W) each, and copy them to the CPU.

        Without a mask head it is the anomaly map. Few frames are rejected, so it is computed on request.
        """
        own = self.mask_levels.with_mask_head(indices) if self.mask_levels else []
        found = dict(zip(own, self.mask_levels.maps_of(own) if self.mask_levels and own else [], strict=True))
        rest = [index for index in indices if index not in found]
        found.update(zip(rest, self.maps_of(rest), strict=True))
        return [found[index] for index in indices]


@dataclass(frozen=True, slots=True, eq=False)
class MaskLevels:
    """A batch's feature maps of the mask levels. Shapes: `levels` (B, C_l, h_l, w_l) each."""

    levels: tuple[Tensor, ...]
    heads: tuple[FoldedHead, ...]
    spec: EmbeddingSpec

    def with_mask_head(self, indices: Sequence[int]) -> list[int]:
        """Return those of the frames whose line has a mask head."""
        return [index for index in indices if self.heads[index].mask_head is not None]

    @torch.no_grad()
    def maps_of(self, indices: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """Compute the maps of frames with a mask head, minus infinity where nothing is judged. Shape: (H, W) each."""
        at_once = 1 if self.levels[0].device.type == "cpu" else MASKS_AT_ONCE
        groups = [indices[start : start + at_once] for start in range(0, len(indices), at_once)]
        return _on_cpu(torch.cat([self._maps_of(group) for group in groups]), range(len(indices)))

    def _maps_of(self, indices: Sequence[int]) -> Tensor:
        heads = [self.heads[index] for index in indices]
        own = [_rows(level, indices) for level in self.levels]
        mask_heads = [head.mask_head for head in heads if head.mask_head is not None]
        maps = anomaly_maps(patch_scores(own, mask_heads, self.spec.mask_grid), self.spec.input_size, MASK_SIGMA_PX)
        for mask_map, head in zip(maps, heads, strict=True):
            if head.ignored is not None:
                mask_map.masked_fill_(head.ignored.pixels, NOT_JUDGED)
        return maps


def _on_cpu(maps: Tensor, indices: Sequence[int]) -> list[npt.NDArray[np.float32]]:
    if maps.device.type != "cpu":
        maps, indices = _rows(maps, indices).cpu(), range(len(indices))
    return [maps[index].numpy() for index in indices]


def _rows(tensor: Tensor, indices: Sequence[int]) -> Tensor:
    if len(indices) == 1:
        return tensor[indices[0] : indices[0] + 1]  # no copy
    return tensor.index_select(0, torch.tensor(indices, device=tensor.device))
