"""The archive follows the history: what it copies, what it waits for, and where it goes on after a restart."""

from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from qc_dashboard.archive import archivist as archivist_module
from qc_dashboard.archive.archivist import WRITTEN_WITHIN, Archivist, CacheAway
from qc_dashboard.archive.looks import look_of
from qc_dashboard.archive.policy import ArchivePolicy
from qc_dashboard.database.database import Database
from qc_dashboard.history.history import History
from qc_dashboard.history.writing import HistoryWriter, Step
from qc_dashboard.review.nearest import GoodSamples
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Verdict
from qc_worker.imaging.opening import ImageLimits
from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameReader
from qc_worker.transport.memory.heatmaps import MemoryHeatmapCache
from qc_worker.transport.outgoing import OutgoingRecord
from tests.conftest import eventually
from tests.support.archives import DAYS, Crash, Plant, Steps
from tests.support.factories import NOON, jpeg
from tests.support.published import RESULTS, inspection, places, published

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)
POLICY = ArchivePolicy(DAYS, pass_share=0.0, max_bytes=1 << 40)


class Line:
    """Frames on a broker, pictures in a cache, inspections in the history, and the archive that follows them."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url
        self.broker = MemoryBroker(partitions=1)
        self.broker.create_topic("images", partitions=1)
        self.cache = MemoryHeatmapCache(ttl_s=3600)
        self.plant = Plant(database, url)
        self._judged = 0

    def judge(self, *verdicts: Verdict, frame: bytes = b"frame %d", heatmap: bool = True) -> list[Position]:
        """Send a frame for each of these verdicts, and write their inspections into the history."""
        first, sources = self._judged, []
        for verdict in verdicts:
            number = self._judged
            content = frame % number if b"%d" in frame else frame
            sources.append(self.broker.append(OutgoingRecord("images", b"A/top", content, [])))
            key = f"qc:heatmap:{sources[-1]}" if heatmap else None
            if key:
                self.cache.put([HeatmapEntry(key, b"heatmap %d" % number, b"thumbnail %d" % number)])
            one = inspection(number, verdict=verdict, source=sources[-1], heatmap_key=key, scored_at=NOON)
            before = places(number) if number else {}
            step = Step(before, places(number + 1))
            HistoryWriter(self.database).add_inspections([published(one, number)], step)
            self._judged += 1
        assert self._judged == first + len(verdicts)
        return sources

    def archivist(self, policy: ArchivePolicy = POLICY, *, plant: Plant | None = None) -> Archivist:
        plant = plant or self.plant
        return Archivist(
            plant.archive,
            plant.retention,
            History(self.database),
            frames=MemoryFrameReader(self.broker),
            heatmaps=self.cache,
            limits=LIMITS,
            policy=policy,
            results_topic=RESULTS,
            clock=plant.clock,
        )

    def archived(self) -> list[tuple[int, bytes | None, bytes | None]]:
        """Return offset, frame and heatmap of all evidence."""
        wanted = [Position("images", 0, offset) for offset in range(self._judged)]
        read = self.plant.archive.read
        return [
            (
                source.offset,
                read(one.frame_sha256),
                read(one.heatmap_sha256) if one.heatmap_sha256 else None,
            )
            for source, one in sorted(self.plant.archive.evidence_of(wanted).items())
        ]


def follow(archivist: Archivist) -> None:
    while archivist.step():
        pass


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Line:
    return Line(database, str(tmp_path / "archive"))


def test_rejects_reviews_and_errors_are_archived_with_their_pictures_and_passes_are_not(line: Line) -> None:
    line.judge(Verdict.PASS, Verdict.REJECT, Verdict.REVIEW, Verdict.NO_MODEL, Verdict.ERROR)
    follow(line.archivist())
    assert line.archived() == [(n, b"frame %d" % n, b"heatmap %d" % n) for n in (1, 2, 4)]


def test_a_share_of_the_passes_is_archived_the_same_ones_whenever_it_is_asked(line: Line) -> None:
    line.judge(*[Verdict.PASS] * 100)
    policy = ArchivePolicy(DAYS, pass_share=0.3, max_bytes=1 << 40)
    follow(line.archivist(policy))
    chosen = [offset for offset, _, _ in line.archived()]
    assert 10 < len(chosen) < 50
    assert chosen == [n for n in range(100) if policy.wants(Verdict.PASS, Position("images", 0, n))]


def test_look_of_a_frame_is_kept_with_it_and_one_that_is_no_picture_has_none(line: Line) -> None:
    [pictured] = line.judge(Verdict.REJECT, frame=jpeg(), heatmap=False)
    [broken] = line.judge(Verdict.REJECT, heatmap=False)
    follow(line.archivist())
    samples = GoodSamples(line.database)
    assert samples.look(pictured) == look_of(jpeg(), LIMITS)
    assert samples.look(broken) is None
    assert len(line.archived()) == 2


def test_frame_that_has_expired_is_passed_over(line: Line) -> None:
    line.judge(Verdict.REJECT, Verdict.REJECT)
    line.broker.remove_before(Position("images", 0, 1))
    follow(line.archivist())
    assert [offset for offset, _, _ in line.archived()] == [1]


def test_restart_goes_on_where_the_last_one_ended(line: Line) -> None:
    line.judge(Verdict.REJECT, Verdict.REJECT)
    follow(line.archivist())
    line.broker.remove_before(Position("images", 0, 2))
    line.judge(Verdict.REJECT)
    follow(line.archivist())
    assert [offset for offset, _, _ in line.archived()] == [0, 1, 2]


def test_large_frames_go_in_small_batches(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archivist_module, "MAX_BATCH_BYTES", 2500)
    line.judge(*[Verdict.REJECT] * 7, frame=b"x" * 1000, heatmap=False)
    archivist = line.archivist()
    seen = []
    while archivist.step():
        seen.append(len(line.archived()))
    assert seen == [3, 6, 7]


def test_frame_is_archived_without_a_heatmap_that_has_expired(line: Line) -> None:
    [source] = line.judge(Verdict.REJECT, heatmap=False)
    follow(line.archivist())
    evidence = line.plant.archive.evidence(source)
    assert evidence is not None
    assert evidence.heatmap_sha256 is None


def test_archive_waits_for_a_cache_that_is_away_but_not_for_ever(line: Line) -> None:
    line.judge(Verdict.REJECT)
    line.cache.away = True
    with pytest.raises(CacheAway):
        line.archivist().step()
    line.cache.away = False
    follow(line.archivist())
    line.judge(Verdict.REJECT)
    line.cache.away = True
    line.plant.clock.advance(7200)
    follow(line.archivist())
    assert line.archived() == [(0, b"frame 0", b"heatmap 0"), (1, b"frame 1", None)]


def test_heatmap_that_its_worker_still_writes_is_waited_for(line: Line) -> None:
    [source] = line.judge(Verdict.REJECT)
    written, line.cache = line.cache.get(f"qc:heatmap:{source}"), MemoryHeatmapCache(ttl_s=3600)
    line.judge(Verdict.REJECT)
    archivist = line.archivist()
    assert not archivist.step()
    assert line.archived() == []
    assert written is not None
    line.cache.put([written])
    follow(archivist)
    assert line.archived() == [(n, b"frame %d" % n, b"heatmap %d" % n) for n in range(2)]


def test_frame_whose_heatmap_was_never_written_is_archived_without_it(line: Line) -> None:
    line.judge(Verdict.REJECT)
    line.cache = MemoryHeatmapCache(ttl_s=3600)
    line.plant.clock.advance(WRITTEN_WITHIN.total_seconds())
    follow(line.archivist())
    assert line.archived() == [(0, b"frame 0", None)]


def test_crash_at_any_step_loses_no_evidence(line: Line) -> None:
    line.judge(Verdict.REJECT)
    counted = Steps()
    follow(line.archivist(plant=Plant(line.database, line.url, steps=counted)))
    for last in range(1, counted.passed + 1):
        line.judge(Verdict.REJECT)
        crashing = Plant(line.database, line.url, steps=Steps(last))
        with suppress(Crash):
            follow(line.archivist(plant=crashing))
        line.plant.check_whole()
        follow(line.archivist())
    assert line.archived() == [(n, b"frame %d" % n, b"heatmap %d" % n) for n in range(counted.passed + 1)]


def test_place_of_an_earlier_topic_with_that_name_is_left(line: Line) -> None:
    line.judge(Verdict.REJECT)
    line.plant.archive.keep([], before={}, after=places(500))
    follow(line.archivist())
    assert [offset for offset, _, _ in line.archived()] == [0]
    assert line.plant.archive.places(RESULTS) == places(1)


class FailingOnce(MemoryFrameReader):
    """A broker that is away at the first read."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.failed = Event()

    def read(self, position: Position) -> Record | None:
        if not self.failed.is_set():
            self.failed.set()
            raise TransportError("no broker answers")
        return super().read(position)


def test_thread_archives_what_comes_and_tries_again_after_a_failure(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archivist_module, "RETRY_S", 0.01)
    frames = FailingOnce(line.broker)
    archivist = Archivist(
        line.plant.archive,
        line.plant.retention,
        History(line.database),
        frames=frames,
        heatmaps=None,
        limits=LIMITS,
        policy=POLICY,
        results_topic=RESULTS,
        clock=line.plant.clock,
    )
    archivist.start()
    line.judge(Verdict.REJECT, Verdict.REVIEW)
    archivist.wake()
    eventually(lambda: len(line.archived()) == 2)
    archivist.close()
    assert frames.failed.is_set()
