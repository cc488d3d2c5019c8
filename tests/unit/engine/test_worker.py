import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from prometheus_client import REGISTRY

from qc_worker.domain.errors import GroupRebalancing, Reason, TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.domain.inspection import Outcome, Verdict
from qc_worker.engine.decoding import DecodeThreads
from qc_worker.engine.in_flight import MAX_PUBLISHED_BYTES
from qc_worker.engine.worker import Patience
from qc_worker.ports import Clock, InspectionSink
from qc_worker.simplenet.preprocessing import ImageLimits, Picture, decode_picture
from qc_worker.simplenet.spec import Aspect
from qc_worker.transport.memory import MemorySink
from qc_worker.transport.memory_broker import MemoryBroker
from tests import factories
from tests.unit.engine.conftest import MAX_FRAME_BYTES, MAX_RECORD_BYTES, PASSES_ALL, Plant

MakePlant = Callable[..., Plant]
REJECTS_ALL = (-1e6, -1e6, -1e6)


@dataclass
class WatchedSink:
    """Remembers how many bytes of dead letters each publishing had, and is refused by the group a few times."""

    sink: InspectionSink
    refusals: float = 0
    letter_bytes: list[int] = field(default_factory=list)

    def start(self) -> None:
        self.sink.start()

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise GroupRebalancing("no member at the moment")
        self.letter_bytes.append(sum(len(one.dead_letter.content) for one in outcomes if one.dead_letter))
        self.sink.publish(outcomes, offsets)

    def close(self) -> None:
        self.sink.close()


def refused(times: float) -> Callable[[MemorySink], InspectionSink]:
    return lambda sink: WatchedSink(sink, times)


@dataclass
class GatedDecoder:
    """Decodes when it is let, and counts."""

    gate: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    decoded: int = 0

    def __call__(self, content: bytes, *, input_size: int, aspect: Aspect, limits: ImageLimits) -> Picture:
        self.decoded += 1
        self.started.set()
        assert self.gate.wait(20)
        return decode_picture(content, input_size=input_size, aspect=aspect, limits=limits)

    def threads(self, clock: Clock, limits: ImageLimits) -> DecodeThreads:
        return DecodeThreads(threads=1, limits=limits, clock=clock, decode_picture=self)


def transport_failures() -> float:
    return REGISTRY.get_sample_value("qc_transport_failures_total") or 0.0


def test_every_frame_gets_one_inspection_in_order_per_camera(plant: Plant) -> None:
    plant.train("A")
    plant.train("B", seed=1)
    plant.start()
    for offset in range(20):
        plant.send(factories.record(offset, partition=0, line="A"))
        plant.send(factories.record(offset, partition=1, line="B", camera="cam2"))
    inspections = plant.wait_for_inspections(40)
    assert len(inspections) == 40
    for line in "AB":
        assert [i.source.offset for i in inspections if i.line == line] == list(range(20))


def test_committed_offsets_are_those_of_the_published_inspections(plant: Plant) -> None:
    plant.train()
    plant.start()
    for offset in range(5):
        plant.send(factories.record(offset))
    plant.wait_for_inspections(5)
    plant.finish()
    assert plant.broker.group("qc-worker").committed()[Partition("images", 0)] == 5


def test_an_inspection_says_who_judged_what_and_how_long_it_took(plant: Plant) -> None:
    plant.train(version="v7", scores=REJECTS_ALL)
    plant.start()
    plant.send(factories.record(0))
    (inspection,) = plant.wait_for_inspections(1)
    assert (inspection.line, inspection.camera, inspection.frame_id) == ("A", "cam1", "f0-0")
    assert (inspection.model_version, inspection.verdict) == ("v7", Verdict.REJECT)
    assert inspection.precision == "float32"
    assert inspection.image_size == (64, 96)
    assert inspection.p_value == 0.25
    assert inspection.threshold == -1e6
    assert inspection.defects[0].area_px > 0
    assert inspection.mask is not None
    assert inspection.stage_ms.inference > 0
    assert inspection.stage_ms.total >= inspection.stage_ms.decode + inspection.stage_ms.inference


def test_late_verdicts_are_flagged_and_no_frame_is_dropped_for_being_old(make_plant: MakePlant) -> None:
    plant = make_plant(deadline_ms={"A": 60_000})
    plant.train()
    plant.start()
    old = ("captured-at", b"2020-01-01T00:00:00Z")
    soon, never = ("deadline-ms", b"1"), ("deadline-ms", b"86400000")
    for offset, headers in enumerate([[], [soon], [never], [old], [old, never]]):
        record = factories.record(offset)
        plant.send(replace(record, headers=(*record.headers, *headers)))
    inspections = plant.wait_for_inspections(5)
    assert [inspection.late for inspection in inspections] == [False, True, False, True, True]
    assert {inspection.verdict for inspection in inspections} <= {Verdict.PASS, Verdict.REJECT}


def test_what_cannot_be_judged_in_time_is_late_too(make_plant: MakePlant) -> None:
    plant = make_plant(deadline_ms={"A": 60_000})
    plant.train()
    plant.start()
    old = ("captured-at", b"2020-01-01T00:00:00Z")
    broken = factories.record(0, content=b"no image")
    unknown = replace(factories.record(1, line="Z"), headers=(*factories.record(1, line="Z").headers, old))
    for record in (
        broken,
        replace(broken, headers=(*broken.headers, old)),
        unknown,
        replace(unknown, headers=(*unknown.headers, ("deadline-ms", b"1"))),
    ):
        plant.send(record)
    inspections = plant.wait_for_inspections(4)
    assert [inspection.late for inspection in inspections] == [False, True, False, True]
    assert [inspection.verdict.value for inspection in inspections] == ["error", "error", "no_model", "no_model"]


def test_the_key_of_an_inspection_is_the_key_of_its_frame(plant: Plant) -> None:
    plant.train()
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    assert [record.key for record in plant.records("results")] == [b"A/cam1"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (factories.record(0, content=b"no image"), Reason.UNDECODABLE),
        (factories.record(0, content=b""), Reason.EMPTY),
        (factories.record(0, content=bytes(MAX_FRAME_BYTES + 1)), Reason.TOO_LARGE),
        (factories.record(0, content=factories.encoded("PNG", width=1001, height=1000)[:500]), Reason.TOO_MANY_PIXELS),
        (factories.record(0, line="../../etc"), Reason.BAD_HEADERS),
        (factories.record(0, line="Z"), Reason.UNKNOWN_LINE),
        (replace(factories.record(0), headers=(), key=None), Reason.BAD_HEADERS),
        (replace(factories.record(0), headers=(("line", b"\xff\xfe"),)), Reason.BAD_HEADERS),
    ],
)
def test_a_frame_that_cannot_be_judged_becomes_an_inspection_and_a_dead_letter(
    plant: Plant, broken: Record, reason: Reason
) -> None:
    plant.train(scores=PASSES_ALL)
    plant.start()
    plant.send(broken)
    plant.send(factories.record(1))
    inspection, judged = plant.wait_for_inspections(2)
    assert inspection.verdict is (Verdict.NO_MODEL if reason is Reason.UNKNOWN_LINE else Verdict.ERROR)
    assert inspection.reason is reason
    assert inspection.detail
    (letter,) = plant.records("images.dlq")
    assert letter.content == broken.content
    assert letter.key == broken.key
    assert dict(letter.headers)["qc-reason"] == reason.encode()
    assert dict(letter.headers)["qc-source"] == b"images:0:0"
    assert judged.verdict is Verdict.PASS


def test_rejects_get_a_heatmap_in_the_cache_and_passes_do_not(plant: Plant) -> None:
    plant.train("A", scores=REJECTS_ALL)
    plant.train("B", scores=PASSES_ALL)
    plant.start()
    plant.send(factories.record(0, line="A"))
    plant.send(factories.record(1, line="B"))
    rejected, passed = plant.wait_for_inspections(2)
    assert passed.heatmap_key is None
    assert rejected.heatmap_key == "qc:heatmap:images:0:0"
    plant.wait_for(lambda: plant.cache.get("qc:heatmap:images:0:0") is not None)


def test_a_share_of_the_passes_gets_a_heatmap_too(make_plant: MakePlant) -> None:
    plant = make_plant(heatmap_pass_share=0.5)
    plant.train(scores=PASSES_ALL)
    plant.start()
    for offset in range(40):
        plant.send(factories.record(offset))
    shown = [inspection.heatmap_key is not None for inspection in plant.wait_for_inspections(40)]
    assert 5 < sum(shown) < 35


def test_a_frame_without_a_key_is_published_under_its_line_and_camera(plant: Plant) -> None:
    plant.train()
    plant.start()
    plant.send(replace(factories.record(0), key=None))
    plant.wait_for_inspections(1)
    assert [record.key for record in plant.records("results")] == [b"A/cam1"]


def test_the_score_of_a_padded_picture_is_that_of_its_worst_defect(plant: Plant) -> None:
    plant.train(scores=REJECTS_ALL)
    plant.start()
    resident = plant.residents.current("A")
    assert resident is not None
    plant.residents.swap(replace(resident, spec=replace(resident.spec, aspect="pad")))
    for offset in range(20):
        plant.send(factories.record(offset))
    for inspection in plant.wait_for_inspections(20):
        assert inspection.score == pytest.approx(max(defect.peak_score for defect in inspection.defects))


def test_verdicts_flow_without_heatmaps_while_the_cache_is_away(plant: Plant) -> None:
    plant.train(scores=REJECTS_ALL)
    plant.cache.away = True
    plant.start()
    plant.send(factories.record(0))
    (inspection,) = plant.wait_for_inspections(1)
    assert (inspection.verdict, inspection.heatmap_key) == (Verdict.REJECT, None)


def test_a_broker_that_comes_back_gets_every_inspection(make_plant: MakePlant) -> None:
    plant = make_plant(patience=Patience(retry_s=0.01))
    plant.train()
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for_inspections(1)
    for offset in range(1, 8):
        plant.send(factories.record(offset))
    plant.broker.available = False
    plant.stop.wait(0.1)
    plant.broker.available = True
    inspections = plant.wait_for_inspections(8)
    assert [i.source.offset for i in inspections] == list(range(8))


def test_a_broker_that_stays_away_ends_the_worker(make_plant: MakePlant) -> None:
    plant = make_plant(patience=Patience(broker_s=0.05, retry_s=0.01))
    plant.train()
    plant.start()
    plant.broker.available = False
    plant.wait_for(lambda: bool(plant.failure))
    assert isinstance(plant.failure[0], TransportError)


def test_a_broker_that_is_away_when_the_models_are_loaded_is_waited_for(make_plant: MakePlant) -> None:
    plant = make_plant(patience=Patience(retry_s=0.01))
    plant.train()
    plant.refresher.catch_up()
    plant.send(factories.record(0))
    failures = transport_failures()
    plant.broker.available = False
    plant.run()
    plant.wait_for(lambda: transport_failures() > failures + 2)
    plant.broker.available = True
    plant.wait_for_inspections(1)


def test_a_broker_that_stays_away_at_the_start_ends_the_worker(make_plant: MakePlant) -> None:
    plant = make_plant(patience=Patience(broker_s=0.05, retry_s=0.01))
    plant.broker.available = False
    plant.run()
    plant.wait_for(lambda: bool(plant.failure))
    assert isinstance(plant.failure[0], TransportError)


def test_a_worker_that_waits_for_its_broker_can_be_stopped(make_plant: MakePlant) -> None:
    plant = make_plant(patience=Patience(retry_s=0.01))
    failures = transport_failures()
    plant.broker.available = False
    plant.run()
    plant.wait_for(lambda: transport_failures() > failures)
    plant.finish()
    assert plant.failure == []


def test_a_rebalance_puts_off_publishing_and_no_more(make_plant: MakePlant) -> None:
    plant = make_plant(sink=refused(times=5))
    plant.train()
    plant.start()
    for offset in range(3):
        plant.send(factories.record(offset))
    assert [i.source.offset for i in plant.wait_for_inspections(3)] == [0, 1, 2]


def test_a_worker_for_which_the_group_has_no_place_for_too_long_ends(make_plant: MakePlant) -> None:
    plant = make_plant(sink=refused(times=float("inf")), patience=Patience(broker_s=0.05, retry_s=0.01))
    plant.train()
    plant.start()
    plant.send(factories.record(0))
    plant.wait_for(lambda: bool(plant.failure))
    assert isinstance(plant.failure[0], GroupRebalancing)


def test_dead_letters_are_published_in_portions_and_in_order(make_plant: MakePlant) -> None:
    sinks: list[WatchedSink] = []

    def watched(sink: MemorySink) -> InspectionSink:
        sinks.append(WatchedSink(sink))
        return sinks[-1]

    plant = make_plant(max_bytes=200 * MAX_RECORD_BYTES, sink=watched)
    too_large = bytes(1_000_000)
    for offset in range(50):
        plant.send(factories.record(offset, content=too_large))
    plant.start()
    assert [i.source.offset for i in plant.wait_for_inspections(50)] == list(range(50))
    plant.finish()
    assert max(sinks[0].letter_bytes) <= MAX_PUBLISHED_BYTES
    assert sum(sinks[0].letter_bytes) == 50 * len(too_large)
    assert plant.broker.group("qc-worker").committed()[Partition("images", 0)] == 50


def test_frames_in_flight_never_exceed_their_limit(make_plant: MakePlant) -> None:
    plant = make_plant(max_frames=3)
    plant.train()
    seen: list[int] = []
    admit = plant.in_flight.admit

    def watched(record: Record, polled_at: float):  # type: ignore[no-untyped-def]
        ticket = admit(record, polled_at)
        seen.append(plant.in_flight.frames)
        return ticket

    plant.in_flight.admit = watched  # type: ignore[method-assign]
    for offset in range(30):
        plant.send(factories.record(offset))
    plant.start()
    plant.wait_for_inspections(30)
    assert max(seen) <= 3


def test_one_turn_takes_in_all_that_lies_ready_and_fits(make_plant: MakePlant) -> None:
    plant = make_plant(max_bytes=3 * MAX_RECORD_BYTES)
    plant.train()
    plant.refresher.catch_up()
    plant.source.start()
    for offset in range(10):
        plant.send(factories.record(offset))
    assert plant.in_flight.room_frames == 3  # of the largest records
    plant.worker.step()
    assert plant.in_flight.frames == 10
    plant.pipeline.close(timeout_s=1.0)


def test_stopping_finishes_what_is_in_flight(plant: Plant) -> None:
    plant.train()
    for offset in range(12):
        plant.send(factories.record(offset))
    plant.start()
    plant.wait_for_inspections(1)
    plant.finish()
    committed = plant.broker.group("qc-worker").committed()[Partition("images", 0)]
    assert [i.source.offset for i in plant.published()] == list(range(committed))
    assert plant.in_flight.frames == 0


def test_a_second_worker_goes_on_where_the_first_one_stopped(make_plant: MakePlant) -> None:
    broker = MemoryBroker()
    first = make_plant(broker=broker)
    first.train()
    for offset in range(30):
        first.send(factories.record(offset))
    first.start()
    first.wait_for_inspections(3)
    first.finish()
    second = make_plant(broker=broker)
    second.train()
    second.start()
    inspections = second.wait_for_inspections(30)
    assert [i.source.offset for i in inspections] == list(range(30))


def test_frames_of_a_partition_lost_in_flight_are_judged_again_by_whoever_gets_it(plant: Plant) -> None:
    plant.train()
    plant.start()
    for offset in range(10):
        plant.send(factories.record(offset))
    plant.wait_for_inspections(2)
    plant.source.lose_membership()
    plant.wait_for(lambda: {i.source.offset for i in plant.published()} == set(range(10)))


def test_frames_of_a_lost_partition_are_not_decoded_and_leave_their_room_only_when_they_are_gone(
    make_plant: MakePlant,
) -> None:
    decoder = GatedDecoder()
    plant = make_plant(max_frames=6, decoding=decoder.threads)
    plant.train()
    plant.refresher.catch_up()
    for offset in range(6):
        plant.send(factories.record(offset))
    plant.source.start()
    plant.pipeline.start()
    plant.worker.step()
    assert decoder.started.wait(20)
    plant.source.lose_membership()
    plant.worker.step()
    assert (plant.in_flight.frames, plant.in_flight.room_frames) == (6, 0)  # the old ones still lie there
    decoder.gate.set()
    while len(plant.published()) < 6:
        plant.worker.step()
    assert [i.source.offset for i in plant.published()] == list(range(6))
    assert decoder.decoded == 1 + 6
    plant.pipeline.close(timeout_s=1.0)


def test_a_model_that_fails_on_one_frame_does_not_fail_its_batch(plant: Plant) -> None:
    plant.train("A", scores=PASSES_ALL)
    plant.train("B", scores=PASSES_ALL)
    plant.start()
    resident = plant.residents.current("B")
    assert resident is not None
    object.__setattr__(resident.head.units[0], "weights", (torch.zeros(1, 1), torch.zeros(1, 1)))
    for offset in range(4):
        plant.send(factories.record(offset, line="B" if offset == 2 else "A"))
    inspections = plant.wait_for_inspections(4)
    assert [i.verdict for i in inspections] == [Verdict.PASS, Verdict.PASS, Verdict.ERROR, Verdict.PASS]
    assert inspections[2].reason is Reason.MODEL_FAILED
    assert [letter.content for letter in plant.records("images.dlq")] == [factories.jpeg(2)]


def test_a_score_that_is_not_a_number_is_an_error_and_never_a_pass(plant: Plant) -> None:
    plant.train(scores=PASSES_ALL)
    plant.start()
    resident = plant.residents.current("A")
    assert resident is not None
    resident.head.units[0].tail.fill_(float("nan"))
    plant.send(factories.record(0))
    (inspection,) = plant.wait_for_inspections(1)
    assert (inspection.verdict, inspection.reason) == (Verdict.ERROR, Reason.MODEL_FAILED)
