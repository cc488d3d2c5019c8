import pytest
import structlog
import torch
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from qc_worker.engine.device import report as report_module
from qc_worker.engine.device.report import DeviceReport
from qc_worker.engine.inference import BackbonePool, Computing
from tests.support import factories

CPU = {"device": "cpu", "name": "", "driver": "", "cuda": "", "precision": "float32", "compiled": "no"}


@pytest.fixture(autouse=True)
def uncached_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's own logger keeps the configuration of a command that another test has run in this process."""
    monkeypatch.setattr(report_module, "log", structlog.get_logger())


def test_a_device_is_reported_once_however_many_backbones_it_has() -> None:
    report = DeviceReport(torch.device("cpu"), torch.float32)
    with capture_logs() as logged:
        for _ in range(3):
            report.report(compiled=False)
    assert [entry["event"] for entry in logged] == ["computing on"]
    assert REGISTRY.get_sample_value("qc_device_info", CPU) == 1


def test_only_the_last_report_is_the_metrics() -> None:
    report = DeviceReport(torch.device("cpu"), torch.float32)
    report.report(compiled=True)
    report.report(compiled=False)
    assert REGISTRY.get_sample_value("qc_device_info", {**CPU, "compiled": "yes"}) is None
    assert REGISTRY.get_sample_value("qc_device_info", CPU) == 1


def test_a_backbone_that_is_ready_reports_its_device() -> None:
    with capture_logs() as logged:
        BackbonePool(lambda _: factories.backbone(), Computing(torch.device("cpu"))).scorer(factories.embedding_spec())
    (entry,) = [entry for entry in logged if entry["event"] == "computing on"]
    assert {name: entry[name] for name in CPU} == CPU


def test_a_gpu_is_named_with_its_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    version = tmp_path_factory.mktemp("driver") / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug 27 16:45:25 UTC 2025\n")
    monkeypatch.setattr(report_module, "DRIVER_FILE", version)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    described = report_module.describe(torch.device("cuda:0"), torch.bfloat16, compiled=True)
    assert described == {
        "device": "cuda:0",
        "name": "NVIDIA H100 80GB HBM3",
        "driver": "580.82.07",
        "cuda": "13.2",
        "precision": "bfloat16",
        "compiled": "yes",
    }
    version.unlink()
    assert report_module.describe(torch.device("cuda:0"), torch.bfloat16, compiled=True)["driver"] == ""
