"""A device that hangs: here a model runner, or a judge, that never answers."""

import threading
from time import monotonic

import pytest
import torch

from qc_worker.commands.run import _health
from qc_worker.domain.errors import DeviceLost, QcError
from qc_worker.engine.device.watch import DeviceWatch
from qc_worker.engine.gpu_decoding import GpuDecoding
from qc_worker.imaging.on_gpu import nvjpeg
from qc_worker.settings import load_settings
from qc_worker.wiring.built_worker import BuiltWorker
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, MakePlant, Plant
from tests.unit.observability.test_health import get

PLACES = {"inference": ("_runner", "infer"), "judging": ("_judge", "judge")}


class Hanging:
    """Blocks until it is released; then it fails, so that the worker ends."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, *_: object) -> object:
        self.entered.set()
        self.released.wait(60)
        raise RuntimeError("released")


@pytest.mark.parametrize("place", PLACES)
def test_a_device_that_hangs_turns_livez_to_503_and_ends_the_process(plant: Plant, place: str) -> None:
    hanging, ended = Hanging(), list[QcError]()
    part, method = PLACES[place]
    setattr(getattr(plant.pipeline, part), method, hanging)
    watch = DeviceWatch(plant.pipeline.stuck_s, patience_s=0.02, end=ended.append)
    built = BuiltWorker(
        plant.worker, plant.source, plant.pipeline, plant.residents, plant.refresher, plant.heatmaps, plant.cache
    )
    health = _health(load_settings(health_port=0), built, watch)
    health.start()
    plant.train(scores=PASSES_ALL)
    plant.start()
    watch.look()
    assert ended == []
    assert get(health, "/livez")[0] == 200
    plant.send(factories.record(0))
    assert hanging.entered.wait(30)
    plant.wait_for(watch.hangs)
    assert get(health, "/livez")[0] == 503
    watch.look()
    assert [type(error) for error in ended] == [DeviceLost]
    hanging.released.set()
    health.close()


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_a_device_that_hangs_while_it_decodes_is_noticed(
    make_plant: MakePlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Hanging()
    monkeypatch.setattr(nvjpeg, "decode_jpeg", lambda *_, **__: hanging())
    plant = make_plant(
        decoding=lambda clock, limits: GpuDecoding(
            device=torch.device("cpu"), limits=limits, cpu_threads=1, clock=clock
        )
    )
    watch = DeviceWatch(plant.pipeline.stuck_s, patience_s=0.02, end=lambda _: None)
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0))
    assert hanging.entered.wait(30)
    plant.wait_for(watch.hangs)
    hanging.released.set()
    plant.wait_for_inspections(1)
    plant.wait_for(lambda: plant.pipeline.stuck_s() == 0)


def test_frames_that_cannot_be_decoded_are_no_progress_of_a_device_that_hangs(plant: Plant) -> None:
    hanging = Hanging()
    plant.pipeline._runner.infer = hanging  # type: ignore[method-assign,assignment]
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0))
    assert hanging.entered.wait(30)
    since = monotonic()
    plant.send(factories.record(0, partition=1, content=b"no image"))
    plant.wait_for_inspections(1)
    hangs_for_s = monotonic() - since
    assert plant.pipeline.stuck_s() >= hangs_for_s
    hanging.released.set()


def test_a_worker_that_waits_for_frames_does_not_hang(plant: Plant) -> None:
    ended: list[QcError] = []
    watch = DeviceWatch(plant.pipeline.stuck_s, patience_s=1e-9, end=ended.append)
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    plant.wait_for(lambda: plant.pipeline.stuck_s() == 0)
    watch.look()
    assert ended == []
