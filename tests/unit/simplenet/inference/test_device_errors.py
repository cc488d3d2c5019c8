from typing import Any

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from qc_worker.simplenet.inference.device_errors import (
    CUDA_OUT_OF_MEMORY,
    MPS_ERRORS,
    is_of_shared_gpu,
    lacks_memory,
    loses_device,
)


def accelerator_error(text: str, code: int | None = None) -> Exception:
    error: Any = torch.AcceleratorError(text)
    if code is not None:
        error.error_code = code
    return error  # type: ignore[no-any-return]


LACKING = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    accelerator_error("CUDA error: out of memory", CUDA_OUT_OF_MEMORY),  # cudaHostAlloc says so too
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
]
LOST = [
    accelerator_error("CUDA error: an illegal memory access was encountered"),
    accelerator_error("CUDA error: device-side assert triggered", 710),
]
OTHERS = [RuntimeError("cc1plus: out of memory allocating 65536 bytes"), MemoryError(), ValueError("no")]


@pytest.mark.parametrize("error", LACKING, ids=str)
def test_lack_of_memory_is_known_from_whoever_reports_it(error: Exception) -> None:
    assert lacks_memory(error)
    assert not loses_device(error)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_any_other_error_of_the_device_loses_it(error: Exception) -> None:
    assert loses_device(error)
    assert not lacks_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_are_none_of_the_device(error: Exception) -> None:
    assert not lacks_memory(error)
    assert not loses_device(error)


def test_errors_are_known_behind_those_of_the_compiler() -> None:
    for error in LACKING:
        assert lacks_memory(BackendCompilerFailed(object(), error, None))
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError("the backbone failed") from LOST[0]
    assert loses_device(raised.value)


def test_only_errors_of_its_server_are_of_a_shared_gpu() -> None:
    assert is_of_shared_gpu(accelerator_error("CUDA error: terminated", MPS_ERRORS[-1]))
    assert not any(map(is_of_shared_gpu, LOST + LACKING + OTHERS))
