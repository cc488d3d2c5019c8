"""The real command line as a process, on a real broker and cache."""

import signal
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import structlog

from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Verdict
from qc_worker.transport.redis.heatmap_cache import RedisHeatmapCache
from tests.conftest import eventually
from tests.support import factories
from tests.support.injected import Commands
from tests.support.plant import Books, Plant, WorkerProcess, balance

log = structlog.get_logger()

CLEAN = Books(missing=[], duplicates=0, out_of_order=0)
MAX_IN_FLIGHT_FRAMES = 128
REJECTS_ALL = (-1e6, -1e6, -1e6)
PASSES_ALL = (1e6, 1e6, 1e6)


def test_every_frame_of_every_camera_gets_one_inspection_in_order(plant: Plant) -> None:
    plant.train("A", "v1")
    plant.train("B", "v1")
    with plant.worker() as worker:
        sent = plant.push(200)
        inspections = plant.settled_inspections(200)
        assert balance(sent, inspections) == CLEAN
        assert {inspection.line for inspection in inspections} == {"A", "B"}
        metrics = worker.read("/metrics")
        assert worker.get("/livez") == 200
    judged = [line for line in metrics.splitlines() if line.startswith("qc_inspections_total{")]
    assert sum(float(line.split()[-1]) for line in judged) == 200


def test_a_retrained_line_is_taken_up_in_flight_without_losing_a_frame(plant: Plant) -> None:
    plant.train("A", "v1", scores=PASSES_ALL)
    with plant.worker() as worker:
        sent = plant.push(40, lines="A")
        plant.inspections(1)
        plant.train("A", "v2", scores=REJECTS_ALL)
        eventually(lambda: plant.push(1, lines="A", first=40) and worker.events()["model taken up"] == 2)
        sent += plant.push(20, lines="A", first=100)
        inspections = plant.settled_inspections(60)
    assert balance(sent, inspections) == CLEAN
    assert {inspection.model_version for inspection in inspections} == {"v1", "v2"}
    for camera in ("cam0", "cam1"):
        versions = [inspection.model_version for inspection in inspections if inspection.camera == camera]
        assert versions == sorted(v for v in versions if v)


def test_a_moved_threshold_is_taken_up_in_under_two_seconds_and_rolled_back(plant: Plant, commands: Commands) -> None:
    plant.train("A", "v1", scores=(-5.0, -4.0, 1e5))
    with plant.worker() as worker:
        plant.push(3, lines="A")
        plant.settled_inspections(3)
        shown = trainer(commands, plant, "threshold", "--what-if", "--max-false-reject", "0.5")
        assert shown["inspections"] == {"counted": 3, "other_models": 0, "not_judged": 0}
        assert [row["verdicts"] for row in shown["rows"] if row["current"]] == [{"pass": 3, "review": 0, "reject": 0}]
        moved = trainer(commands, plant, "threshold", "--score", "-4.5")
        taken_up = worker.taken_up(moved["version"])
        announced_at = plant.store.releases("A")[-1].released_at
        seconds = (datetime.fromisoformat(str(taken_up["timestamp"])) - announced_at).total_seconds()
        log.info("moved threshold taken up", after_s=seconds, load_s=taken_up["load_s"])
        assert seconds < 2
        assert (taken_up["head_kept"], taken_up["replaced"]) == (True, "v1")
        plant.push(3, lines="A", first=10)
        *_, last = plant.settled_inspections(6)
        assert (last.model_version, last.threshold, last.verdict) == (moved["version"], -4.5, Verdict.REJECT)
        assert trainer(commands, plant, "rollback")["version"] == "v1"
        eventually(lambda: worker.pause() or worker.events()["model taken up"] == 3)
        plant.push(1, lines="A", first=20)
        *_, last = plant.settled_inspections(7)
    assert (last.model_version, last.threshold, last.verdict) == ("v1", 1e5, Verdict.PASS)


def trainer(commands: Commands, plant: Plant, command: str, *arguments: str) -> Any:
    """Run a command of `qc-trainer` for line A, and return what it prints."""
    line = ("qc-trainer", command, "--line", "A", *arguments, "--json")
    return commands.run(*line, cwd=plant.folder, environment=plant.environment).document


def test_a_release_that_was_tampered_with_is_refused_in_flight(plant: Plant) -> None:
    plant.train("A", "v1")
    with plant.worker() as worker:
        bad = plant.stored("A", "v2")
        (head,) = plant.folder.glob("store/A/v2/head.safetensors")
        head.write_bytes(head.read_bytes()[:-1])
        plant.announce(bad)
        eventually(lambda: plant.push(1, lines="A") and worker.events()["release refused"] == 1)
        plant.push(1, lines="A")
        inspections = plant.settled_inspections(2)
        assert 'qc_releases_total{outcome="refused"} 1.0' in worker.read("/metrics")
    assert {inspection.model_version for inspection in inspections} == {"v1"}


def test_a_worker_started_after_a_bad_release_judges_by_the_version_before(plant: Plant) -> None:
    plant.train("A", "v1")
    bad = plant.stored("A", "v2")
    (head,) = plant.folder.glob("store/A/v2/head.safetensors")
    head.write_bytes(head.read_bytes()[:-1])
    plant.announce(bad)
    with plant.worker():
        plant.push(4, lines="A")
        inspections = plant.settled_inspections(4)
    assert {inspection.model_version for inspection in inspections} == {"v1"}


@pytest.mark.apache_only
def test_sigterm_in_mid_stream_loses_nothing_and_repeats_nothing(plant: Plant) -> None:
    plant.train("A", "v1")
    plant.train("B", "v1")
    with plant.worker() as first:
        sent = plant.push(300)
        plant.inspections(20)
        first.signal(signal.SIGTERM)
        assert first.wait(10) == 0
    with plant.worker():
        inspections = plant.settled_inspections(300)
    assert balance(sent, inspections) == CLEAN


@pytest.mark.apache_only
def test_sigkill_in_mid_stream_loses_nothing(plant: Plant) -> None:
    plant.train("A", "v1")
    plant.train("B", "v1")
    with plant.worker() as first:
        sent = plant.push(300)
        plant.inspections(20)
        first.signal(signal.SIGKILL)
        first.wait(10)
    with plant.worker():
        plant.inspections(300)
        eventually(lambda: balance(sent, plant.inspections(300)).missing == [])
        books = balance(sent, plant.settled_inspections(300))
    # At least once: what was published but not yet committed comes twice, and no more than was in flight.
    assert (books.missing, books.out_of_order) == ([], 0)
    assert books.duplicates <= MAX_IN_FLIGHT_FRAMES


@pytest.mark.apache_only
def test_a_worker_that_joins_takes_its_share_and_nothing_is_lost(plant: Plant) -> None:
    plant.train("A", "v1")
    plant.train("B", "v1")
    with plant.worker() as first:
        sent = plant.push(100)
        with plant.worker() as second:
            # Busy all the while: a rebalance must come to its end under load, too.
            while not (first.partitions() and second.partitions()):
                assert len(sent) < 10_000
                sent += plant.push(50, first=len(sent))
            plant.inspections(len(sent))
        sent += plant.push(50, first=len(sent))
        eventually(lambda: balance(sent, plant.inspections(len(sent))).missing == [])
        assert first.get("/readyz") == 200


def test_frames_that_cannot_be_judged_become_inspections_and_dead_letters(plant: Plant) -> None:
    plant.train("A", "v1", scores=PASSES_ALL)
    good = factories.record(0)
    hostile = {
        "text called .jpg": replace(good, content=b"this is no picture"),
        "nothing": replace(good, content=b""),
        "a JPEG cut short": replace(good, content=factories.jpeg()[:-200]),
        "a PNG of 30,000 x 30,000": replace(good, content=factories.png_bomb()),
        "an animated GIF": replace(good, content=factories.animated_gif()),
        "15 MB of noise": replace(good, content=bytes(range(256)) * (15 * 4096)),
        "a line out of the folder": factories.record(0, line="../../etc"),
        "an unknown line": factories.record(0, line="Z"),
        "no headers": replace(good, headers=(), key=None),
    }
    odd = {
        "100 headers": replace(good, headers=good.headers + tuple((f"h{n}", b"\xff") for n in range(100))),
        "a year beyond years": replace(good, headers=(*good.headers, ("captured-at", b"9" * 40))),
    }
    with plant.worker() as worker:
        for record in (*hostile.values(), *odd.values()):
            plant.push_record(record)
        last = plant.push(1, lines="A")
        inspections = plant.settled_inspections(len(hostile) + len(odd) + 1)
        assert worker.resident_bytes() < 2 * 1024**3
    assert len(inspections) == len(hostile) + len(odd) + 1
    verdicts = {inspection.source: inspection.verdict for inspection in inspections}
    assert verdicts.pop(last[0]) is Verdict.PASS
    counts = Counter(verdicts.values())
    assert counts.pop(Verdict.PASS) == len(odd)
    assert set(counts) == {Verdict.ERROR, Verdict.NO_MODEL}
    (dated,) = (inspection for inspection in inspections if inspection.captured_at is None)
    assert dated.notes[0].startswith("header captured-at ignored: ")
    assert {inspection.reason for inspection in inspections} >= {
        Reason.UNDECODABLE,
        Reason.TOO_MANY_PIXELS,
        Reason.EMPTY,
        Reason.BAD_HEADERS,
        Reason.UNKNOWN_LINE,
    }
    letters = plant.dead_letters(len(hostile))
    assert sorted(len(letter.content) for letter in letters) == sorted(len(r.content) for r in hostile.values())


def test_rejects_have_their_heatmap_in_redis(plant: Plant) -> None:
    plant.train("A", "v1", scores=REJECTS_ALL)
    cache = RedisHeatmapCache(plant.services.redis_url, ttl_s=60)
    with plant.worker():
        plant.push(1, lines="A")
        (inspection,) = plant.inspections(1)
        assert inspection.heatmap_key
        entry = eventually(lambda: cache.get(str(inspection.heatmap_key)))
    cache.close()
    assert entry.heatmap_png.startswith(b"\x89PNG")
    assert entry.thumbnail_jpeg.startswith(b"\xff\xd8")


def test_verdicts_flow_without_redis(plant: Plant) -> None:
    plant.train("A", "v1", scores=REJECTS_ALL)
    with plant.worker(QC_REDIS_URL="redis://127.0.0.1:1/0"):
        sent = plant.push(30, lines="A")
        inspections = plant.settled_inspections(30)
    assert balance(sent, inspections) == CLEAN
    assert inspections[-1].heatmap_key is None


def test_a_worker_without_topics_says_so_and_ends(plant: Plant) -> None:
    plant.environment["QC_IMAGES_TOPIC"] = "never-created"
    ended = plant.command("qc_worker.cli", "run", expect=2)
    assert ended.stderr.splitlines()[-1] == "error: no topic never-created: create it with qc-worker topics"


def test_a_worker_whose_broker_stays_away_ends_as_one_that_may_be_started_again(plant: Plant) -> None:
    plant.environment |= {"QC_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "QC_BROKER_PATIENCE_S": "1"}
    ended = plant.command("qc_worker.cli", "run", expect=75)
    assert ended.stderr.splitlines()[-1].startswith("error: no Kafka broker answers at 127.0.0.1:1")


@pytest.mark.apache_only
def test_a_worker_started_before_its_broker_waits_until_it_is_told_to_stop(plant: Plant) -> None:
    worker = WorkerProcess(plant, {"QC_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    eventually(lambda: worker.pause() or worker.events()["broker away"] > 0, timeout_s=60)
    assert worker.get("/livez") == 200
    assert worker.get("/readyz") == 503
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0
