import pytest
import torch

from qc_worker.domain.errors import SettingsError
from qc_worker.simplenet.precision import compute_dtype, multiplies_bfloat16, number_format

CPU = torch.device("cpu")


def test_auto_is_bfloat16_exactly_where_the_processor_says_it_multiplies_it() -> None:
    flags = {flag for line in open("/proc/cpuinfo") if line.startswith("flags") for flag in line.split()}  # noqa: SIM115, PTH123
    made_for_it = bool(flags & {"amx_bf16", "avx512_bf16"})
    assert multiplies_bfloat16(CPU) == made_for_it
    assert compute_dtype(CPU) == (torch.bfloat16 if made_for_it else torch.float32)


def test_float32_is_always_to_be_had() -> None:
    assert compute_dtype(CPU, "float32") == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_number_format_is_named_as_torch_names_it(dtype: torch.dtype) -> None:
    assert f"torch.{number_format(dtype)}" == str(dtype)


def test_bfloat16_where_it_would_be_emulated_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.raises(SettingsError, match="no instructions for it"):
        compute_dtype(CPU, "bfloat16")
    assert compute_dtype(CPU, "auto") == torch.float32
