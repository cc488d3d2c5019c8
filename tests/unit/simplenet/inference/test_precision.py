from collections.abc import Iterator

import pytest
import torch

from qc_worker.domain.errors import SettingsError
from qc_worker.simplenet.inference.precision import (
    Precision,
    compute_dtype,
    head_dtype,
    keep_float32,
    multiplies_bfloat16,
    nan_beyond_range,
    number_format,
)

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture
def torchs_defaults() -> Iterator[None]:
    """Of the whole process: other tests may have changed them, and this one will."""

    def put_back() -> None:
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]
        torch.backends.cudnn.rnn.fp32_precision = "tf32"  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = "none"

    put_back()
    yield
    put_back()


def test_auto_is_bfloat16_exactly_where_the_processor_says_it_multiplies_it() -> None:
    flags = {flag for line in open("/proc/cpuinfo") if line.startswith("flags") for flag in line.split()}  # noqa: SIM115, PTH123
    made_for_it = bool(flags & {"amx_bf16", "avx512_bf16"})
    assert multiplies_bfloat16(CPU) == made_for_it
    assert compute_dtype(CPU) == (torch.bfloat16 if made_for_it else torch.float32)


def test_float32_is_always_to_be_had() -> None:
    assert compute_dtype(CPU, "float32") == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_number_format_is_named_as_torch_names_it(dtype: torch.dtype) -> None:
    assert f"torch.{number_format(dtype)}" == str(dtype)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_format_that_would_be_emulated_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.raises(SettingsError, match=f"{precision}: .* no instructions for it"):
        compute_dtype(CPU, precision)
    assert compute_dtype(CPU, "auto") == torch.float32


def test_a_processor_with_float16_computes_in_it_if_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_fp16": True})
    assert compute_dtype(CPU, "float16") == torch.float16
    assert compute_dtype(CPU, "auto") == torch.float32


@pytest.mark.parametrize(
    ("capability", "chosen"),
    [
        ((6, 1), torch.float32),
        ((7, 5), torch.float16),  # T4: tensor cores for float16, none for bfloat16
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ],
)
def test_auto_is_what_the_tensor_cores_of_a_gpu_multiply(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], chosen: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert compute_dtype(CUDA) == chosen
    if capability < (7, 0):
        with pytest.raises(SettingsError, match="float16"):
            compute_dtype(CUDA, "float16")
    else:
        assert compute_dtype(CUDA, "float16") == torch.float16


def test_heads_behind_float16_are_float32() -> None:
    assert head_dtype(torch.float16) == torch.float32
    assert head_dtype(torch.bfloat16) == torch.bfloat16
    assert head_dtype(torch.float32) == torch.float32


@pytest.mark.parametrize("beyond", [float("inf"), float("-inf"), float("nan")])
def test_a_frame_beyond_the_range_of_float16_has_no_score(beyond: float) -> None:
    levels = [torch.randn(3, 4, 6, 6), torch.randn(3, 2, 3, 3)]
    levels[1][1, 0, 2, 2] = beyond
    assert nan_beyond_range(levels).isnan().tolist() == [False, True, False]
    assert float(nan_beyond_range(levels)[0]) == 0


@pytest.mark.usefixtures("torchs_defaults")
def test_float32_on_cuda_is_not_rounded_to_tf32() -> None:
    keep_float32(CUDA, torch.float32)
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"  # type: ignore[attr-defined]
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.allow_tf32 is False  # the older name, which Inductor asks for, still answers
    assert torch.backends.cudnn.allow_tf32 is False
    with torch.backends.cudnn.flags(enabled=True):  # asks for it as well
        pass


@pytest.mark.usefixtures("torchs_defaults")
@pytest.mark.parametrize(("device", "dtype"), [(CPU, torch.float32), (CUDA, torch.bfloat16)])
def test_nothing_else_is_changed(device: torch.device, dtype: torch.dtype) -> None:
    keep_float32(device, dtype)
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
