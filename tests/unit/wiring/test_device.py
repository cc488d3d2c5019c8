"""What becomes of a GPU that cannot be opened; torch's answers are those of a machine with a driver that is away."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import torch
import typer
from structlog.testing import capture_logs

from qc_worker.domain.errors import DeviceLost, SettingsError
from qc_worker.observability.exits import TRY_AGAIN, exit_codes
from qc_worker.settings import load_settings
from qc_worker.wiring import device as device_module
from qc_worker.wiring import shared
from qc_worker.wiring.device import open_device
from qc_worker.wiring.shared import compute_device

NO_DRIVER = "Found no NVIDIA driver on your system.\nPlease check that you have an NVIDIA GPU"


@pytest.fixture(autouse=True)
def _nothing_opened() -> Iterator[None]:
    shared._opened.cache_clear()
    yield
    shared._opened.cache_clear()


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> NoReturn:
        raise RuntimeError(NO_DRIVER)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(device_module, "NVIDIA_FILES", ())
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def an_nvidia_device(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    path = folder / "nvidiactl"
    path.touch()
    monkeypatch.setattr(device_module, "NVIDIA_FILES", (str(folder / "nvidia0"), str(path)))
    return str(path)


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, *, devices: int) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:77"])
def test_a_gpu_that_was_asked_for_and_cannot_be_opened_is_tried_again(name: str) -> None:
    with pytest.raises(DeviceLost, match=rf"device {name} cannot be opened: Found no NVIDIA driver on your system\.$"):
        open_device(name, cpu_fallback=True)
    with pytest.raises(typer.Exit) as ended, exit_codes():
        compute_device(load_settings(device=name))
    assert ended.value.exit_code == TRY_AGAIN


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1"])
def test_an_unknown_name_is_a_settings_error(name: str) -> None:
    with pytest.raises(SettingsError, match=f"device {name} cannot be used here") as refused:
        open_device(name, cpu_fallback=False)
    assert len(str(refused.value).splitlines()) == 1


def test_an_index_out_of_range_is_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, devices=2)
    with pytest.raises(SettingsError, match="device cuda:2 cannot be used here: the last one is cuda:1"):
        open_device("cuda:2", cpu_fallback=False)


def test_a_gpu_that_is_listed_and_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy\nand what one may try")

    pretend_cuda(monkeypatch, devices=1)
    monkeypatch.setattr(torch, "empty", fail)
    for name in ("auto", "cuda:0"):
        with pytest.raises(DeviceLost, match=r"cannot be opened: CUDA error: all CUDA-capable devices are busy$"):
            open_device(name, cpu_fallback=True)


@pytest.mark.usefixtures("without_cuda")
def test_a_torch_without_cuda_is_a_settings_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    an_nvidia_device(monkeypatch, tmp_path)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    for name in ("cuda", "auto"):  # a retry cannot help
        with pytest.raises(SettingsError):
            open_device(name, cpu_fallback=False)


@pytest.mark.usefixtures("without_cuda")
def test_auto_is_the_cpu_where_no_nvidia_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus in ("", "void", "none"):
        monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", gpus)
        assert open_device("auto", cpu_fallback=False) == torch.device("cpu")


@pytest.mark.usefixtures("without_cuda")
def test_auto_never_falls_back_to_the_cpu_where_an_nvidia_device_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = an_nvidia_device(monkeypatch, tmp_path)
    with pytest.raises(DeviceLost, match="set device to cpu, or cpu_fallback to true") as lost:
        compute_device(load_settings())
    assert path in str(lost.value)
    assert "Found no NVIDIA driver" in str(lost.value)
    assert len(str(lost.value).splitlines()) == 1


@pytest.mark.usefixtures("without_cuda")
def test_auto_never_falls_back_in_a_container_that_was_given_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    with pytest.raises(DeviceLost, match="NVIDIA_VISIBLE_DEVICES=all"):
        compute_device(load_settings())


@pytest.mark.usefixtures("without_cuda")
def test_a_setting_allows_the_cpu_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = an_nvidia_device(monkeypatch, tmp_path)
    with capture_logs() as logged:
        for _ in range(3):  # as the parts of one worker ask for it
            assert compute_device(load_settings(cpu_fallback=True)) == torch.device("cpu")
    assert [(entry["log_level"], entry["found"]) for entry in logged] == [("warning", path)]


@pytest.mark.usefixtures("without_cuda")
def test_gpus_that_somebody_has_hidden_from_the_process_are_not_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    an_nvidia_device(monkeypatch, tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_device("auto", cpu_fallback=False) == torch.device("cpu")
