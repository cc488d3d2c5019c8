"""Judges batches with frames of any number of lines, by one resident backbone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.imaging.preprocessing import Box
from qc_worker.simplenet.anomaly_map import image_scores
from qc_worker.simplenet.backbones.backbone import Backbone
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.inference.buckets import bucket, bucket_sizes, filled, filled_pixels
from qc_worker.simplenet.inference.checks import check_fits, check_takes
from qc_worker.simplenet.inference.compilation import ComputeLevels, compiled
from qc_worker.simplenet.inference.device_errors import lacks_memory
from qc_worker.simplenet.inference.device_memory import BatchLimit
from qc_worker.simplenet.inference.folded import FoldedHead, fold, patch_scores
from qc_worker.simplenet.inference.head_banks import HeadBanks
from qc_worker.simplenet.inference.precision import head_dtype, keep_float32, nan_beyond_range, number_format
from qc_worker.simplenet.inference.scored import MaskLevels, Scored
from qc_worker.simplenet.inference.tuning import Tuning, tuning_for
from qc_worker.simplenet.patch_features import AggregatedLevels, concatenate
from qc_worker.simplenet.regions import (
    Ignored,
    IgnoredArea,
    greyed,
    ignored_area,
    joined_area,
    judged_maps,
    judged_parts,
)
from qc_worker.simplenet.spec import EmbeddingSpec

T = TypeVar("T")


class Scorer:
    """Runs backbone, folded heads and anomaly maps in a row; used by one thread."""

    def __init__(
        self,
        backbone: Backbone,
        spec: EmbeddingSpec,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        tuning: Tuning | None = None,
    ) -> None:
        """Move `backbone` to the device. Raises ModelError if it is not the one that `spec` describes.

        `tuning`: None for what suits the device.
        """
        check_fits(backbone, spec)
        keep_float32(device, dtype)
        self.spec = spec
        self.device = device
        self.dtype = dtype
        self._levels = AggregatedLevels(backbone.to(device).compute_in(dtype), spec.backbone_pass)
        self.level_channels = self._levels.channels
        self.channels = sum(self.level_channels)
        self.mask_channels = self._levels.mask_channels
        self._compute_levels: ComputeLevels = self._levels
        self._limit = BatchLimit()
        self._tuning = tuning or tuning_for(device)
        self._buckets: tuple[int, ...] = ()
        self._banks = HeadBanks()
        self._copies = _queue(device) if device.type == "cuda" else None

    def compile(self, max_batch_size: int) -> None:
        """Compile the backbone, which takes tens of seconds the first time; scores change by rounding only."""

        def compiled_for(size: int) -> ComputeLevels:
            return compiled(self._levels, input_size=self.spec.input_size, max_batch_size=size, device=self.device)

        self._compute_levels = self._as_memory_allows(compiled_for, max_batch_size)

    @property
    def is_compiled(self) -> bool:
        return self._compute_levels is not self._levels

    @torch.no_grad()
    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Pass batches of these sizes through the backbone, so that the first frames find memory and kernels ready.

        Where batches are padded, all sizes up to the largest that batches are padded to. A tiled frame counts as its
        tiles.
        """

        def pass_blank(size: int) -> None:
            self._compute_levels(self._to_device(torch.zeros((size, 3, *self.spec.input_size), dtype=torch.uint8)))
            if self._tuning.padded_batches:
                self._buckets = tuple(sorted({*self._buckets, size}))

        sizes = list(dict.fromkeys(map(self.spec.backbone_pass.frames_within, batch_sizes)))
        for size in reversed(bucket_sizes(max(sizes))) if self._tuning.padded_batches else sizes:
            self._as_memory_allows(pass_blank, size)

    def take_in(self, head: Head, ignored: Ignored | None = None) -> FoldedHead:
        """Fold a head, copy it to the device and try it on one grey frame; return the folded head. Raises ModelError.

        It judges frames outside of `ignored` only; None: everywhere.
        """
        check_takes(head, self.level_channels, self.spec)
        if head.mask_head is not None:
            check_takes(head.mask_head, self.mask_channels, self.spec)
        folded = fold(head).to(self.device, head_dtype(self.dtype))
        trial = self.score(torch.full((1, 3, *self.spec.input_size), 128, dtype=torch.uint8), [folded])
        found = (trial.scores, trial.maps, torch.from_numpy(trial.mask_map_of(0)))
        if not all(bool(torch.isfinite(numbers).all()) for numbers in found):
            raise ModelError("the head gives scores that are not numbers")
        return replace(folded, ignored=self.ignored_area(ignored))

    def ignored_area(self, ignored: Ignored | None) -> IgnoredArea | None:
        """Prepare an ignored area on the device; None if all is judged."""
        return None if ignored is None else ignored_area(ignored, self.spec.grid, self.device)

    @torch.no_grad()
    def score(self, pixels: Tensor, heads: Sequence[FoldedHead], *, boxes: Sequence[Box] | None = None) -> Scored:
        """Judge a batch: `heads[i]`, from `take_in`, judges `pixels[i]`; fastest where equal heads are neighbours.

        A frame's score is that of its picture, which lies in `boxes[i]`; None: pictures fill the input. If the batch
        does not fit into the device's memory, it is judged in halves, and so are later ones for a while. Shapes: uint8
        (B, 3, H, W). Raises torch.AcceleratorError if the device is lost to this process.
        """
        if len(heads) != len(pixels):
            raise ValueError(f"{len(pixels)} frames but {len(heads)} heads")
        parts = self._as_memory_allows(lambda size: self._in_parts(pixels, heads, boxes, size), len(pixels))
        return parts[0] if len(parts) == 1 else self._joined(parts)

    @torch.no_grad()
    def embed(self, pixels: Tensor, area: IgnoredArea | None = None) -> Tensor:
        """Compute the embedding of a batch, on the device, by the plain backbone; `area` is ignored.

        Shapes: uint8 (B, 3, H, W) -> (B, C, h0, w0).
        """
        return self.embed_twice(pixels, area)[0]

    @torch.no_grad()
    def embed_twice(self, pixels: Tensor, area: IgnoredArea | None = None) -> tuple[Tensor, Tensor | None]:
        """Compute the embedding, and that of the mask levels in the cells of masks; None without mask levels.

        Shapes: uint8 (B, 3, H, W) -> (B, C, h0, w0), (B, C_m, h_m, w_m).
        """
        levels, fine = self._split(self._levels(greyed(self._to_device(pixels), [area] * len(pixels))))
        return concatenate(levels, self.spec.grid), concatenate(fine, self.spec.mask_grid) if fine else None

    def _as_memory_allows(self, run: Callable[[int], T], size: int) -> T:
        """Run for batches of `size`, halved until the device's memory suffices; later ones see `BatchLimit`."""
        size = self._limit.within(size)
        while True:
            try:
                return run(size)
            except RuntimeError as error:
                if not lacks_memory(error):
                    self._raise_lost_device()
                    raise
                if size == 1:
                    raise
                size = self._limit.halve(size)
            # Only after the error is gone: its traceback holds the memory of the failed batch.
            torch.cuda.empty_cache()

    def _raise_lost_device(self) -> None:
        """Raise the device's own error: cuBLAS, cuDNN and Triton report a lost device by errors of theirs."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _in_parts(
        self, pixels: Tensor, heads: Sequence[FoldedHead], boxes: Sequence[Box] | None, size: int
    ) -> list[Scored]:
        parts = [slice(start, start + size) for start in range(0, len(pixels), size)]
        return [self._score(pixels[part], heads[part], boxes[part] if boxes else None) for part in parts]

    def _score(self, pixels: Tensor, heads: Sequence[FoldedHead], boxes: Sequence[Box] | None) -> Scored:
        frames, size = len(heads), bucket(len(heads), self._buckets)
        padded, boxes = filled(heads, size), filled(boxes, size) if boxes else None
        areas = [head.ignored for head in padded]
        if self._tuning.stacked_heads:
            areas = [joined_area(areas)] * size
        found = self._compute_levels(greyed(filled_pixels(self._to_device(pixels), size), areas))
        levels, fine = self._split([level.to(head_dtype(self.dtype)) for level in found])
        cells = self._patch_scores(levels, padded)
        scores = image_scores(cells, judged_parts(self.spec, areas, boxes))
        if self.dtype is torch.float16:
            scores = scores + nan_beyond_range([*levels, *fine])
        masks = MaskLevels(tuple(level[:frames] for level in fine), tuple(heads), self.spec) if fine else None
        return self._scored(scores[:frames], judged_maps(cells, self.spec.input_size, areas)[:frames], masks)

    def _patch_scores(self, levels: Sequence[Tensor], heads: Sequence[FoldedHead]) -> Tensor:
        if not self._tuning.stacked_heads:
            return patch_scores(levels, heads, self.spec.grid)
        # By a local name: a release may write new banks meanwhile, in another thread.
        self._banks = banks = self._banks.covering(heads)
        return banks.patch_scores(levels, heads, self.spec.grid)

    def _split(self, levels: Sequence[Tensor]) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Split the aggregated levels from the mask levels."""
        count = len(self.spec.levels)
        return levels[:count], tuple(levels[count:])

    def _joined(self, parts: Sequence[Scored]) -> Scored:
        scores, maps = torch.cat([part.scores for part in parts]), torch.cat([part.maps for part in parts])
        masks = [part.mask_levels for part in parts if part.mask_levels is not None]
        if not masks:
            return self._scored(scores, maps)
        fine = tuple(torch.cat(level) for level in zip(*(each.levels for each in masks), strict=True))
        heads = tuple(head for each in masks for head in each.heads)
        return self._scored(scores, maps, MaskLevels(fine, heads, self.spec))

    def _scored(self, scores: Tensor, maps: Tensor, masks: MaskLevels | None = None) -> Scored:
        behind = None
        if self.device.type == "cuda":
            # Of high priority, so that it is never one of the streams that copy to the device.
            behind = _queue(self.device, priority=-1)
            behind.wait_stream(torch.cuda.current_stream(self.device))
        return Scored(scores, maps, number_format(self.dtype), behind, masks)

    def _to_device(self, pixels: Tensor) -> Tensor:
        # Compiled code is bound to this layout. As a rule pictures already have it, and nothing is copied.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self._copies is None or pixels.is_cuda:
            return pixels
        # Pinned and on a stream of its own: only then does the copy run beside the batch before.
        with torch.cuda.stream(self._copies):
            copied = pixels.pin_memory().to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._copies)
        copied.record_stream(computing)  # otherwise the next copy could overwrite pixels that are still to be read
        return copied


def _queue(device: torch.device, priority: int = 0) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority)  # type: ignore[no-untyped-call]  # torch leaves it out
