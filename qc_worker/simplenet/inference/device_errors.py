"""Tells errors of a device apart: lack of memory, loss of the device, and everything else."""

from collections.abc import Iterator

import torch

CUDA_OUT_OF_MEMORY = 2
"""Error code cudaErrorMemoryAllocation; also of pinned memory on the host (cudaHostAlloc)."""
MPS_ERRORS = range(805, 811)
"""Error codes cudaErrorMpsConnectionFailed to cudaErrorMpsClientTerminated: the server of a shared GPU ended us."""
LACK_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Words by which libraries report it in a plain RuntimeError. Not `out of memory` alone: a C++ compiler says so too."""


def lacks_memory(error: BaseException) -> bool:
    """Return True if the device, or pinned memory for it, had no room; a smaller batch may still fit."""
    return any(map(_lacks_memory, _causes(error)))


def loses_device(error: BaseException) -> bool:
    """Return True for a CUDA error other than lack of memory: every later call to the device would raise it again."""
    return not lacks_memory(error) and any(isinstance(cause, torch.AcceleratorError) for cause in _causes(error))


def is_of_shared_gpu(error: BaseException) -> bool:
    """Return True if the server through which processes share a GPU (MPS) ended us: no frame of ours did it."""
    return any(_code(cause) in MPS_ERRORS for cause in _causes(error))


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError) or _code(error) == CUDA_OUT_OF_MEMORY:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in LACK_OF_MEMORY)


def _code(error: BaseException) -> int | None:
    return getattr(error, "error_code", None) if isinstance(error, torch.AcceleratorError) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those it was raised from; torch's compiler keeps the device's own as `inner_exception`."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or getattr(found, "inner_exception", None)
