import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import REGISTRY

from qc_worker.domain.errors import GroupRebalancing, TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.domain.inspection import Outcome, Verdict
from qc_worker.engine.decoding import DecodeThreads
from qc_worker.engine.in_flight import MAX_PUBLISHED_BYTES
from qc_worker.engine.patience import Patience
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, decode_picture
from qc_worker.ports.clock import Clock
from qc_worker.ports.results import InspectionSink
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.results import MemorySink
from tests.support import factories
from tests.unit.engine.conftest import MAX_RECORD_BYTES, REJECTS_ALL, MakePlant, Plant


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

    def __call__(
        self, content: bytes, *, input_size: InputSize, aspect: Aspect, limits: ImageLimits, bit_depth: int
    ) -> Picture:
        self.decoded += 1
        self.started.set()
        assert self.gate.wait(20)
        return decode_picture(content, input_size=input_size, aspect=aspect, limits=limits, bit_depth=bit_depth)

    def threads(self, clock: Clock, limits: ImageLimits) -> DecodeThreads:
        return DecodeThreads(threads=1, limits=limits, clock=clock, decode_picture=self)


def transport_failures() -> float:
    return REGISTRY.get_sample_value("qc_transport_failures_total") or 0.0


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
