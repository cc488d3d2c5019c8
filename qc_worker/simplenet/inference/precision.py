"""Chooses the number format in which a device computes: the one that it has instructions for."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from qc_worker.domain.errors import SettingsError

NumberFormat = Literal["float32", "bfloat16", "float16"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

FORMATS: Mapping[NumberFormat, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
)
BFLOAT16_TENSOR_CORES = (8, 0)
"""First compute capability of CUDA devices whose tensor cores multiply bfloat16 (Ampere)."""
FLOAT16_TENSOR_CORES = (7, 0)
"""First compute capability whose tensor cores multiply float16 (Volta; Turing, as the T4, has 7.5)."""


def compute_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """Choose the number format of the backbone on `device`.

    `auto`: bfloat16 where the device multiplies it faster than float32; on CUDA devices too old for that float16, which
    their tensor cores multiply; else float32.
    Raises SettingsError if a format is asked for that would only be emulated.
    """
    supported = {"float32": True, "bfloat16": multiplies_bfloat16(device), "float16": multiplies_float16(device)}
    if precision != "auto":
        if not supported[precision]:
            raise SettingsError(
                f"precision {precision}: this {device.type} has no instructions for it; use auto or float32"
            )
        return FORMATS[precision]
    if supported["bfloat16"]:
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" and supported["float16"] else torch.float32


def head_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the number format of heads behind a backbone that computes in `dtype`.

    float16 ends at 65,504, which sums over hidden units may exceed; its heads are float32.
    """
    return torch.float32 if dtype is torch.float16 else dtype


def keep_float32(device: torch.device, dtype: torch.dtype) -> None:
    """Compute float32 on CUDA as float32, in the whole process; by default cuDNN rounds convolutions to TF32.

    TF32 has 10 bits of mantissa, so scores would differ from the CPU's by more than the rounding of float32.
    """
    if device.type == "cuda" and dtype is torch.float32:
        # The older name first, then all layers (of recurrent ones we have none): torch raises an error if
        # something asks for the older name where they differ.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # made at run time
        torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
        # This is the default, but an environment variable of torch's can change it.
        torch.backends.cuda.matmul.fp32_precision = "ieee"


def number_format(dtype: torch.dtype) -> NumberFormat:
    """Return the name of a format that `compute_dtype` chose."""
    return next(name for name, kind in FORMATS.items() if kind is dtype)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return True for a device that multiplies bfloat16 in hardware (AMX or AVX512-BF16; CUDA from Ampere on)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= BFLOAT16_TENSOR_CORES
    return device.type == "cpu" and _processor_has("amx_bf16", "avx512_bf16")


def multiplies_float16(device: torch.device) -> bool:
    """Return True for a device that multiplies float16 in hardware (AMX-FP16 or AVX512-FP16; CUDA from Volta on)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= FLOAT16_TENSOR_CORES
    return device.type == "cpu" and _processor_has("amx_fp16", "avx512_fp16")


def _processor_has(*instructions: str) -> bool:
    # An older torch cannot say; then the answer is no.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in instructions)


def multiplying_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which linear layers multiply in the number format of heads for `dtype`."""
    dtype = head_dtype(dtype)
    if dtype is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def nan_beyond_range(levels: Sequence[Tensor]) -> Tensor:
    """Return 0 for each frame whose feature maps are finite, else NaN: infinite patches must not count as normal ones.

    Shapes: (B, C_l, h_l, w_l) for each level -> (B,).
    """
    return torch.stack([(level * 0).sum(dim=(1, 2, 3)) for level in levels]).sum(dim=0)
