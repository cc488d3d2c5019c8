"""Count the operators of a batch's heads, each of which costs a GPU a launch, without a GPU."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.operator_watch import Operators
from benchmarks.harness.random_models import INPUT_SIZE, backbone_of, embedding_of, line_head
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0
from qc_worker.simplenet.inference.folded import FoldedHead, fold, patch_scores
from qc_worker.simplenet.inference.head_banks import HeadBanks
from qc_worker.simplenet.inference.precision import FORMATS, NumberFormat

BATCH_SIZE = 64
LINES = (1, 32)
FORMATS_OF_GPUS: tuple[NumberFormat, ...] = ("float32", "bfloat16")


def operators_of_heads() -> dict[str, dict[str, dict[str, int]]]:
    """Count the operators of a batch, with heads as the trainer makes them, by number format and lines."""
    with tempfile.TemporaryDirectory() as folder:
        weights = packaged_efficientnet_lite0(Path(folder))
        side = SideSpec("ours", "efficientnet_lite0", str(weights), folder, model="default")
        backbone = backbone_of(side)
        spec = embedding_of(side, backbone)
    channels = tuple(backbone.channels[backbone.levels.index(level)] for level in spec.levels)
    heads = [fold(line_head(side, channels, line)) for line in range(max(LINES))]
    levels = [
        torch.rand((BATCH_SIZE, *(min(side, INPUT_SIZE // level) for side in spec.grid), count)).permute(0, 3, 1, 2)
        for count, level in zip(channels, spec.levels, strict=True)
    ]
    return {name: _by_lines(levels, heads, FORMATS[name], spec.grid) for name in FORMATS_OF_GPUS}


def _by_lines(
    levels: Sequence[Tensor], heads: Sequence[FoldedHead], dtype: torch.dtype, grid: tuple[int, int]
) -> dict[str, dict[str, int]]:
    levels = [level.to(dtype) for level in levels]
    heads = [head.to(torch.device("cpu"), dtype) for head in heads]
    found = {}
    for lines in LINES:
        of_frames = [heads[frame * lines // BATCH_SIZE] for frame in range(BATCH_SIZE)]
        banks = HeadBanks().covering(of_frames)
        found["1 line" if lines == 1 else f"{lines} lines"] = {
            "line after line": _count(partial(patch_scores, levels, of_frames, grid)),
            "stacked": _count(partial(banks.patch_scores, levels, of_frames, grid)),
        }
    return found


def _count(run: Callable[[], Tensor]) -> int:
    with torch.no_grad():
        run()  # constants are made once
    with torch.no_grad(), Operators() as counted:
        run()
    return len(counted.computing)
