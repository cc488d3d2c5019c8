"""The backbone compiled by TorchInductor: fused and vectorised kernels for the very network and machine."""

import warnings
from collections.abc import Callable

import structlog
import torch
from torch import Tensor

from qc_worker.simplenet.patch_features import AggregatedLevels

log = structlog.get_logger()

GRAPHS_OF_ALL_PASSES = 128
"""Of all backbones and input sizes together; beyond it torch would stop compiling."""

ComputeLevels = Callable[[Tensor], list[Tensor]]


def compiled(levels: AggregatedLevels, *, input_size: int, max_batch_size: int, device: torch.device) -> ComputeLevels:
    """Compile for batches of 1 to `max_batch_size`, and return once that is done; plain `levels` without a compiler.

    For uint8 (B, 3, S, S) with the channels innermost; another layout would be compiled anew.

    One graph takes all sizes but 1, so nothing is compiled in service; oneDNN may choose other kernels for few pixels,
    and then there is one more. They are kept in Inductor's cache folder, which makes the next start short.
    """
    torch._dynamo.config.recompile_limit = GRAPHS_OF_ALL_PASSES
    # Freezing lets oneDNN lay out the weights once; it takes parameters that nobody changes.
    compute: ComputeLevels = torch.compile(levels, options={"freezing": True})
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for size in _doubling(max_batch_size):
                pixels = torch.zeros((size, input_size, input_size, 3), dtype=torch.uint8, device=device)
                pixels = pixels.permute(0, 3, 1, 2)
                torch._dynamo.maybe_mark_dynamic(pixels, 0)
                compute(pixels)
    except Exception as error:  # noqa: BLE001  (a missing compiler shows in many ways; the plain network is as right)
        log.warning("backbone not compiled", error=f"{type(error).__name__}: {error}".splitlines()[0][:200])
        return levels
    return compute


def _doubling(limit: int) -> list[int]:
    """The limit first, then 1, 2, 4, ... below it."""
    return [limit, *(2**power for power in range(limit.bit_length()) if 2**power < limit)]
