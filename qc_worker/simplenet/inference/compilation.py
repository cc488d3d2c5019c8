"""Compiles the backbone by TorchInductor: fused and vectorised kernels for exactly this network and machine."""

import errno
import os
import warnings
from collections.abc import Callable

import structlog
import torch
from torch import Tensor, nn

from qc_worker.imaging.aspect import InputSize
from qc_worker.simplenet.inference.device_errors import lacks_memory, loses_device
from qc_worker.simplenet.patch_features import AggregatedLevels
from qc_worker.simplenet.stitching import stitched_maps

log = structlog.get_logger()

GRAPHS_OF_ALL_PASSES = 128
"""Limit for all backbones and input sizes together; beyond it torch would stop compiling."""

FULL_DISK = os.strerror(errno.ENOSPC)
COMPILER_SAYS = "error: "
MAX_FAILURE = 200

ComputeLevels = Callable[[Tensor], list[Tensor]]


def compiled(
    levels: AggregatedLevels, *, input_size: InputSize, max_batch_size: int, device: torch.device
) -> ComputeLevels:
    """Compile for batches of 1 to `max_batch_size`, and return once that is done; plain `levels` without a compiler.

    The input is uint8 (B, 3, H, W) with the channels innermost; another layout would be compiled again. With tiles the
    backbone is compiled for batches of tiles, at most `max_batch_size` at once.

    One graph serves all sizes, so nothing is compiled in service. torch would give a batch of one its own graph, which
    takes as long again to trace; a single frame is passed twice instead. Kernels are kept in Inductor's cache folder,
    which makes the next start short. Raises errors of the device, also if it has no room for the largest batch.
    """
    tiling = levels.tiling
    if tiling is None:
        return _compiled(levels, input_size, max_batch_size, device) or levels
    of_tiles = _compiled(levels.backbone, tiling.tile_size, max_batch_size, device)
    if of_tiles is None:
        return levels
    return lambda pixels: levels.aggregated(stitched_maps(pixels, tiling, of_tiles, at_once=max_batch_size))


def _compiled(
    module: nn.Module, input_size: InputSize, max_batch_size: int, device: torch.device
) -> ComputeLevels | None:
    torch._dynamo.config.recompile_limit = GRAPHS_OF_ALL_PASSES
    # Freezing lets oneDNN lay out the weights once; it needs parameters that never change.
    compute: ComputeLevels = torch.compile(module, options={"freezing": True})
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for size in _doubling(max_batch_size):
                # Not a view of another layout: compiled for a view, the guards would accept nothing but views.
                pixels = torch.zeros((size, 3, *input_size), dtype=torch.uint8, device=device)
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                torch._dynamo.maybe_mark_dynamic(pixels, 0)
                # Otherwise a second input size would make all sizes dynamic: one graph, but slower kernels for each.
                torch._dynamo.mark_static(pixels, [1, 2, 3])
                compute(pixels)
    except Exception as error:  # a missing compiler shows in many ways; uncompiled scores are as right
        if lacks_memory(error) or loses_device(error):
            raise  # a smaller batch may still be compiled; without its device no backbone can compute
        log.warning("backbone not compiled", error=failure(error))
        return None
    return lambda pixels: compute(pixels) if len(pixels) > 1 else _alone(compute, pixels)


def failure(error: Exception) -> str:
    """Describe a failure in one line: the disk's or the compiler's own message if there is one, else torch's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if full := next((line for line in lines if FULL_DISK in line), None):
        return f"{full[-MAX_FAILURE:]}; free space there (TMPDIR for the compiler, QC_STATE_DIR for its output)"
    if said := next((line for line in lines[1:] if COMPILER_SAYS in line), None):
        return said[-MAX_FAILURE:]
    return f"{type(error).__name__}: {lines[0]}"[:MAX_FAILURE]


def _alone(compute: ComputeLevels, pixels: Tensor) -> list[Tensor]:
    return [level[:1] for level in compute(torch.cat([pixels, pixels]))]


def _doubling(limit: int) -> list[int]:
    """List the limit first, then 2, 4, ... below it."""
    limit = max(2, limit)
    return [limit, *(2**power for power in range(1, limit.bit_length()) if 2**power < limit)]
