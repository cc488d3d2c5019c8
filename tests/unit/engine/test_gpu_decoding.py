"""Everything but the GPU itself: on a machine without one, the decoder behind it leaves all frames to the CPU."""

from dataclasses import replace

import torch

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Verdict
from qc_worker.engine.gpu_decoding import GpuDecoding
from qc_worker.imaging.preprocessing import ImageLimits
from qc_worker.ports.clock import Clock
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, MakePlant


def decoding(clock: Clock, limits: ImageLimits) -> GpuDecoding:
    return GpuDecoding(device=torch.device("cuda"), limits=limits, max_batch_size=4, cpu_threads=2, clock=clock)


def test_frames_get_the_verdicts_and_order_that_decode_threads_give(make_plant: MakePlant) -> None:
    scores = []
    for options in ({}, {"decoding": decoding}):
        plant = make_plant(**options)
        plant.train(scores=PASSES_ALL)
        plant.start()
        for offset in range(9):
            plant.send(factories.record(offset))
        inspections = plant.wait_for_inspections(9)
        assert [i.source.offset for i in inspections] == list(range(9))
        scores.append([i.score for i in inspections])
    assert torch.allclose(torch.tensor(scores[0]), torch.tensor(scores[1]), atol=0.05)


def test_a_broken_frame_fails_alone(make_plant: MakePlant) -> None:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset in range(5):
        plant.send(factories.record(offset, content=b"no image" if offset == 2 else factories.jpeg(offset)))
    inspections = plant.wait_for_inspections(5)
    assert [i.verdict is Verdict.ERROR for i in inspections] == [False, False, True, False, False]
    assert inspections[2].reason is Reason.UNDECODABLE


def test_a_verdict_after_its_deadline_is_flagged(make_plant: MakePlant) -> None:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset, deadline_ms in enumerate([b"1", b"86400000"]):
        record = factories.record(offset)
        plant.send(replace(record, headers=(*record.headers, ("deadline-ms", deadline_ms))))
    assert [inspection.late for inspection in plant.wait_for_inspections(2)] == [True, False]


def test_frames_that_wait_at_the_end_stay_open(make_plant: MakePlant) -> None:
    plant = make_plant(decoding=decoding)
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.finish()
    assert plant.in_flight.frames == 0
