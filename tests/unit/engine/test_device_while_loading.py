"""Errors of the device while models load: they say nothing about the release, so it must not be refused."""

from collections.abc import Callable, Collection

import pytest
import torch
import typer
from prometheus_client import REGISTRY

from qc_worker.domain.errors import DeviceLost
from qc_worker.domain.release import Release
from qc_worker.engine.refresher import DARK_RETRY_S, RETRY_S
from qc_worker.engine.residents import Resident
from qc_worker.observability.exits import TRY_AGAIN, exit_codes
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, MakePlant, Plant

NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nand what one may try"


def lost() -> Exception:
    return torch.AcceleratorError(NO_KERNEL)


def full() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def full_for_cublas() -> Exception:
    return RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


DEVICE_ERRORS = [lost, full, full_for_cublas]


def break_loader(plant: Plant, error: Callable[[], Exception], versions: Collection[str] = ("v1", "v2")) -> None:
    """Let the device fail on these versions, until `versions` is emptied."""
    load = plant.refresher._loader.load

    def fail(release: Release, *, standing: Resident | None = None) -> Resident:
        if release.version in versions:
            raise error()
        return load(release, standing=standing)

    plant.refresher._loader.load = fail  # type: ignore[method-assign]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("qc_releases_total", {"outcome": outcome}) or 0.0


def assert_ended_without_a_dead_letter(plant: Plant) -> None:
    plant.wait_for(lambda: bool(plant.failure))
    assert isinstance(plant.failure[0], DeviceLost)
    assert plant.records("images.dlq") == []


@pytest.mark.parametrize("error", DEVICE_ERRORS)
def test_a_worker_whose_device_fails_before_it_has_a_model_ends_and_judges_nothing(
    plant: Plant, error: Callable[[], Exception]
) -> None:
    plant.train(scores=PASSES_ALL)
    plant.send(factories.record(0))
    break_loader(plant, error)
    refused = counted("refused")
    with pytest.raises(typer.Exit) as ended, exit_codes():
        plant.start()
    assert ended.value.exit_code == TRY_AGAIN
    assert counted("refused") == refused
    assert plant.records("results") == plant.records("images.dlq") == []


def test_the_error_is_one_line_and_names_the_release(plant: Plant) -> None:
    plant.train()
    break_loader(plant, lost)
    with pytest.raises(DeviceLost, match=r"while A v1 was loaded: .*no kernel image.*on the device$"):
        plant.refresher.catch_up()


def test_a_device_lost_while_a_release_loads_in_service_ends_the_worker(plant: Plant) -> None:
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    break_loader(plant, lost)
    refused = counted("refused")
    plant.train(version="v2")
    assert_ended_without_a_dead_letter(plant)
    assert counted("refused") == refused
    plant.wait_for(lambda: not plant.refresher.alive())


def test_a_device_lost_while_the_worker_waits_for_its_first_model_ends_the_wait(make_plant: MakePlant) -> None:
    clock = factories.ManualClock()
    plant = make_plant(refresher_clock=clock)
    plant.train()
    (plant.folder / "store").rename(plant.folder / "away")
    plant.refresher.catch_up()
    break_loader(plant, lost)
    plant.refresher.start()
    clock.advance(DARK_RETRY_S + 1)
    with pytest.raises(DeviceLost):
        plant.refresher.wait_for_a_model(120)


def test_a_new_line_without_room_on_the_device_ends_the_worker_before_its_frames_are_dead_letters(plant: Plant) -> None:
    plant.train("A", scores=PASSES_ALL)
    plant.start()
    break_loader(plant, full)
    plant.train("B")
    assert_ended_without_a_dead_letter(plant)
    assert "no memory for a model of line B" in str(plant.failure[0])


def test_a_line_that_has_a_model_keeps_it_while_memory_is_lacking_and_gets_the_release_later(
    make_plant: MakePlant,
) -> None:
    clock = factories.ManualClock()
    plant = make_plant(refresher_clock=clock)
    plant.train(scores=PASSES_ALL)
    plant.start()
    too_large = {"v2"}
    break_loader(plant, full, too_large)
    refused, deferred = counted("refused"), counted("deferred")
    plant.train(version="v2")
    plant.wait_for(lambda: counted("deferred") == deferred + 1)
    plant.send(factories.record(0))
    (inspection,) = plant.wait_for_inspections(1)
    assert inspection.model_version == "v1"
    assert counted("refused") == refused
    too_large.clear()
    clock.advance(RETRY_S + 1)
    plant.wait_for(lambda: plant.residents.versions() == {"A": "v2"})


def test_a_release_too_large_for_the_device_stops_no_line_that_has_an_earlier_one(plant: Plant) -> None:
    for version in ("v1", "v2"):
        plant.train(version=version)
    break_loader(plant, full, ["v2"])
    plant.refresher.catch_up()
    assert plant.residents.versions() == {"A": "v1"}
