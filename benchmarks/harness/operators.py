"""Count the operators of a batch's heads as a device other than a CPU computes them, without such a device."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.random_models import INPUT_SIZE, backbone_of, embedding_of, line_head
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0
from qc_worker.simplenet.inference.folded import fold, patch_scores

BATCH_SIZE = 64
LINES = (1, 32)


def operators_of_heads() -> dict[str, int]:
    """Count the operators of the heads for a batch, by number of lines, with heads as the trainer makes them."""
    with tempfile.TemporaryDirectory() as folder:
        weights = packaged_efficientnet_lite0(Path(folder))
        side = SideSpec("ours", "efficientnet_lite0", str(weights), folder, model="default")
        backbone = backbone_of(side)
        spec = embedding_of(side, backbone)
    meta = torch.device("meta")
    channels = [backbone.channels[backbone.levels.index(level)] for level in spec.levels]
    heads = [fold(line_head(side, tuple(channels), line)).to(meta, torch.bfloat16) for line in range(max(LINES))]
    levels = [
        torch.empty((BATCH_SIZE, count, INPUT_SIZE // level, INPUT_SIZE // level), device=meta, dtype=torch.bfloat16)
        for count, level in zip(channels, spec.levels, strict=True)
    ]
    found = {}
    for lines in LINES:
        of_frames = [heads[frame * lines // BATCH_SIZE] for frame in range(BATCH_SIZE)]
        with torch.no_grad(), _Operators() as counted:
            patch_scores(levels, of_frames, spec.grid)
        found[f"{lines} lines" if lines > 1 else "1 line"] = counted.count
    return found


class _Operators(TorchDispatchMode):
    """Counts operators that launch kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and "empty" not in func.name():
            self.count += 1
        return func(*args, **(kwargs or {}))
