"""Measure scoring on a GPU: sizes of batches, one line against many, kernels, memory, number formats."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.live_model import weights_of
from benchmarks.harness.random_models import INPUT_SIZE, backbone_of, embedding_of, line_head
from benchmarks.on_gpu.timing import once_ms, timed
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.inference.precision import FORMATS, compute_dtype, multiplies_bfloat16, multiplies_float16
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.inference.tuning import Tuning, tuning_for

DEVICE = torch.device("cuda")
LINES = 32
BATCH_SIZES = (1, 8, 16, 32, 64, 128)
LARGEST = max(BATCH_SIZES)
ODD_SIZES = (2, 3, 5, 6, 7, 9, 11, 13, 17, 21, 23, 29, 31, 37, 41, 47, 53, 59, 61)
"""Sizes of batches as they come in service."""
CALLS = 30
PROFILED_BATCH = 64
COMPARED_FRAMES = 64


class Models:
    """Scorers of one backbone with random heads, which cost as much as trained ones."""

    def __init__(self, backbone: str, folder: Path) -> None:
        weights = weights_of(backbone, folder)
        self._spec = SideSpec("ours", backbone, str(weights), str(folder), model="default", device="cuda")

    def scorer(self, dtype: torch.dtype | None = None, tuning: Tuning | None = None) -> Scorer:
        """Build a scorer; None for what suits the device."""
        backbone = backbone_of(self._spec)
        chosen = dtype or compute_dtype(DEVICE)
        return Scorer(backbone, embedding_of(self._spec, backbone), DEVICE, chosen, tuning=tuning)

    def heads(self, scorer: Scorer, count: int) -> list[FoldedHead]:
        """Make the heads of so many lines."""
        channels, finer = scorer.level_channels, scorer.mask_channels
        return [scorer.take_in(line_head(self._spec, channels, line, mask_channels=finer)) for line in range(count)]


def some_pixels(frames: int) -> Tensor:
    """Make frames of noise as decoding gives them, channels innermost."""
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (frames, INPUT_SIZE, INPUT_SIZE, 3), dtype=torch.uint8, generator=random)
    return pixels.permute(0, 3, 1, 2)


def heads_of_batch(heads: Sequence[FoldedHead], frames: int, lines: int) -> list[FoldedHead]:
    """Choose the head of each frame: frames of a line are neighbours, as in the worker."""
    lines = min(lines, frames, len(heads))
    return [heads[frame * lines // frames] for frame in range(frames)]


class ReadyScorer:
    """A compiled and warmed up scorer, and what it is asked."""

    def __init__(self, models: Models) -> None:
        started = monotonic()
        self._models = models
        self.scorer = models.scorer()
        self.scorer.compile(LARGEST)
        self.compiled_s = monotonic() - started
        self.scorer.warm_up((1, LARGEST))
        torch.cuda.synchronize()
        self.ready_s = monotonic() - started
        self.heads = models.heads(self.scorer, LINES)

    def start(self) -> dict[str, object]:
        """Return the seconds until the scorer was ready."""
        compiled = self.scorer._compute_levels is not self.scorer._levels
        return {"compiled": compiled, "compiled_s": round(self.compiled_s, 1), "ready_s": round(self.ready_s, 1)}

    def new_sizes(self) -> dict[str, list[float]]:
        """Time the first and the second batch of each odd size: their difference is a pause in service."""
        found = {}
        for size in ODD_SIZES:
            pixels, heads = some_pixels(size), heads_of_batch(self.heads, size, 1)
            found[str(size)] = [once_ms(lambda: self.scorer.score(pixels, heads)) for _ in range(2)]  # noqa: B023
        return found

    def throughput(self) -> list[dict[str, object]]:
        """Time the backbone alone, batches of one line and of many."""
        return [self._throughput_of(size) for size in BATCH_SIZES]

    def _throughput_of(self, size: int) -> dict[str, object]:
        pixels = some_pixels(size)
        on_device = pixels.to(DEVICE)
        calls: dict[str, Callable[[], object]] = {"backbone": partial(self.scorer._compute_levels, on_device)}
        for lines in (1, LINES):
            calls[f"lines_{lines}"] = partial(self.scorer.score, pixels, heads_of_batch(self.heads, size, lines))
        with torch.no_grad():
            return {"batch_size": size} | {name: timed(call, CALLS).of_frames(size) for name, call in calls.items()}

    def line_after_line(self) -> dict[str, float]:
        """Time a mixed batch without stacked heads: it must be slower, or the choice of heads is wrong here."""
        plain = self._models.scorer(tuning=replace(tuning_for(DEVICE), stacked_heads=False))
        stacked = self._models.scorer()
        pixels, found = some_pixels(PROFILED_BATCH), {}
        for name, scorer in (("line_after_line_ms", plain), ("stacked_ms", stacked)):
            heads = heads_of_batch(self._models.heads(scorer, LINES), PROFILED_BATCH, LINES)
            found[name] = round(timed(partial(scorer.score, pixels, heads), CALLS).wall_ms, 2)
        return found

    def kernels(self) -> list[dict[str, object]]:
        """Count the kernels of a batch; a conversion of the memory layout among them is a fault."""
        return [self._kernels_of(lines) for lines in (1, LINES)]

    def _kernels_of(self, lines: int) -> dict[str, object]:
        pixels, heads = some_pixels(PROFILED_BATCH), heads_of_batch(self.heads, PROFILED_BATCH, lines)
        self.scorer.score(pixels, heads)
        with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
            self.scorer.score(pixels, heads)
            torch.cuda.synchronize()
        found = [event for event in profiled.events() or [] if event.device_type == DeviceType.CUDA]
        conversions = sorted({event.name[:80] for event in found if "nchw" in event.name.lower()})
        gpu_ms = round(sum(event.device_time for event in found) / 1000, 2)
        return {"lines": lines, "count": len(found), "layout_conversions": conversions, "gpu_ms": gpu_ms}

    def memory(self) -> dict[str, int]:
        """Return the peaks of device memory so far."""
        return {
            "allocated_mb": torch.cuda.max_memory_allocated() >> 20,
            "reserved_mb": torch.cuda.max_memory_reserved() >> 20,
            "head_mb": self.heads[0].bytes >> 20,
        }


def number_formats(models: Models) -> dict[str, dict[str, float]]:
    """Compare scores in each format that the device multiplies with float32's, as shares of their spread."""
    supported = {"bfloat16": multiplies_bfloat16(DEVICE), "float16": multiplies_float16(DEVICE)}
    exact = _scores(models, torch.float32)
    found: dict[str, dict[str, float]] = {}
    for name, dtype in FORMATS.items():
        if supported.get(name):
            apart = (_scores(models, dtype) - exact).abs() / exact.std()
            found[name] = {"median": float(apart.median()), "most": float(apart.max())}
    return found


def _scores(models: Models, dtype: torch.dtype) -> Tensor:
    scorer = models.scorer(dtype)
    heads = models.heads(scorer, 1) * COMPARED_FRAMES
    return scorer.score(some_pixels(COMPARED_FRAMES), heads).scores.cpu()
