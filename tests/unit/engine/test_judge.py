"""Verdicts and findings of a batch, and how its maps are read."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.engine.decoding import Decoded
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.inference import Inferred
from qc_worker.engine.intake import failure
from qc_worker.engine.judge import Judge
from qc_worker.engine.residents import Resident
from qc_worker.imaging.preprocessing import Picture
from qc_worker.simplenet.inference.scored import Scored
from qc_worker.wire.images import decode_record
from tests.support import factories

SIDE = factories.SIDE
NAN, PASS, REJECT = float("nan"), -1.0, 9.0


class NotedMaps(Scored):
    """Notes which maps are read, and by which calls."""

    reads: list[list[int]] = []  # noqa: RUF012  (replaced in each test)

    def maps_of(self, indices: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        self.reads.append(list(indices))
        return super().maps_of(indices)


class Heatmaps:
    """Takes every order."""

    def __init__(self) -> None:
        self.maps: list[npt.NDArray[np.float32]] = []

    def offer(self, decoded: Decoded, anomaly_map: npt.NDArray[np.float32]) -> str | None:
        self.maps.append(anomaly_map)
        return str(decoded.frame.position.offset)


def decoded(offset: int) -> Decoded:
    record, card = factories.record(offset, content=b"x"), factories.card(scores=(-5.0, 0.0, 5.0))
    resident = Resident("A", "v1", card.embedding, factories.folded_head(), card.calibration)
    picture = Picture(torch.zeros((3, SIDE, SIDE), dtype=torch.uint8), (SIDE, SIDE))
    return Decoded(Ticket(record, 0.0), decode_record(record), resident, picture, 1.0)


def batch_of(scores: Sequence[float]) -> Inferred:
    """Make a batch whose frame i has its defect in column i."""
    maps = torch.zeros((len(scores), SIDE, SIDE))
    for index in range(len(scores)):
        maps[index, 3:5, index] = 1.0 + index
    NotedMaps.reads = []
    scored = NotedMaps(torch.tensor(scores), maps, "float32")
    return Inferred([decoded(offset) for offset in range(len(scores))], scored, 0.0)


def judged(inferred: Inferred, heatmaps: Heatmaps | None = None, *, share: float = 0.0) -> list[Inspection]:
    judge = Judge(heatmaps or Heatmaps(), factories.ManualClock(), heatmap_pass_share=share)
    return [outcome.inspection for outcome in judge.judge(inferred).outcomes]


def test_maps_of_all_frames_that_people_see_are_read_at_once() -> None:
    inspections = judged(batch_of([PASS, REJECT, NAN, REJECT, PASS, REJECT]))
    assert [inspection.verdict for inspection in inspections] == [
        Verdict.PASS,
        Verdict.REJECT,
        Verdict.ERROR,
        Verdict.REJECT,
        Verdict.PASS,
        Verdict.REJECT,
    ]
    assert {tuple(read) for read in NotedMaps.reads} == {(1, 3, 5)}


def test_each_frame_gets_the_defects_of_its_own_map() -> None:
    inspections = judged(batch_of([REJECT, PASS, REJECT, REJECT]))
    found = [[(d.x, d.y, d.peak_score) for d in inspection.defects] for inspection in inspections]
    assert found == [[(0, 3, 1.0)], [], [(2, 3, 3.0)], [(3, 3, 4.0)]]


def test_no_map_of_a_batch_that_passes_is_read() -> None:
    judged(batch_of([PASS, PASS, NAN]))
    assert NotedMaps.reads == []


def test_passed_frames_that_get_a_heatmap_are_read_with_the_others() -> None:
    heatmaps = Heatmaps()
    inspections = judged(batch_of([PASS, REJECT, NAN, PASS]), heatmaps, share=1.0)
    assert [inspection.heatmap_key for inspection in inspections] == ["0", "1", None, "3"]
    assert [anomaly_map.max() for anomaly_map in heatmaps.maps] == [1.0, 2.0, 4.0]
    assert sorted(NotedMaps.reads[0]) == [0, 1, 3]
    assert [bool(inspection.defects) for inspection in inspections] == [False, True, False, False]


def test_reading_the_maps_counts_as_postprocessing_of_the_frames_that_needed_it() -> None:
    clock = factories.ManualClock()

    class SlowMaps(NotedMaps):
        def maps_of(self, indices: Sequence[int]) -> list[npt.NDArray[np.float32]]:
            clock.advance(0.5)
            return super().maps_of(indices)

    inferred = batch_of([PASS, REJECT, REJECT])
    scored = SlowMaps(inferred.scored.scores, inferred.scored.maps, "float32")
    judge = Judge(Heatmaps(), clock, heatmap_pass_share=0.0)
    outcomes = judge.judge(replace(inferred, scored=scored)).outcomes
    assert [outcome.inspection.stage_ms.postprocess for outcome in outcomes] == [0.0, 500.0, 500.0]


def test_inspection_carries_the_part_whether_the_frame_was_judged_or_failed() -> None:
    record = factories.record(content=b"x")
    ticket = Ticket(replace(record, headers=(*record.headers, ("part", b"SN 4711"))), 0.0)
    frame = replace(decoded(0), ticket=ticket, frame=decode_record(ticket.record))
    inferred = replace(batch_of([PASS]), batch=[frame])
    assert [inspection.part for inspection in judged(inferred)] == ["SN 4711"]
    broken = failure(ticket, InvalidFrame(Reason.EMPTY, "no bytes"), factories.ManualClock())
    assert broken.inspection.part == "SN 4711"
