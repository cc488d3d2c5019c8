"""`qc-worker account` and `qc-worker replay` on what a real worker has published."""

import json
import logging
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from typer.testing import CliRunner, Result

from qc_worker.cli import app
from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Partition, Position
from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome, Verdict
from qc_worker.transport.kafka.at_least_once import AtLeastOnceSink
from qc_worker.transport.kafka.connecting.access import open_client
from qc_worker.transport.kafka.records import to_commit
from tests.contract.rigs import CommittingTo
from tests.support import factories
from tests.support.plant import Plant

pytestmark = pytest.mark.apache_only


@pytest.fixture
def judged(plant: Plant) -> list[Inspection]:
    """What a worker that computed in float32 made of 40 frames, one that is no picture and one without a model."""
    plant.train("A", "v1", scores=(0.0, 1.0, 2.0))
    plant.train("B", "v1", scores=(1e6, 1e6, 1e6))
    with plant.worker(QC_PRECISION="float32") as worker:  # not what `auto` is on some machines, and replays find out
        plant.push(40)
        plant.push_record(replace(factories.record(), content=b"no picture"))
        plant.push_record(factories.record(line="Z"))
        inspections = plant.settled_inspections(42)
        worker.signal(signal.SIGTERM)
        assert worker.wait(15) == 0
    return inspections


def run(plant: Plant, *arguments: str) -> Result:
    """The command line in this process: importing torch for each call would take most of the test."""
    handlers = logging.root.handlers[:]
    try:
        return CliRunner().invoke(app, arguments, env=plant.environment)
    finally:
        logging.root.handlers[:] = handlers  # those it set write to a stderr that is gone


def account(plant: Plant, *arguments: str, expect: int = 0) -> dict[str, Any]:
    done = run(plant, "account", "--json", *arguments)
    assert done.exit_code == expect, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def found(document: dict[str, Any]) -> dict[str, list[str]]:
    return {kind: each["positions"] for kind, each in document["discrepancies"].items() if each["count"]}


def replay(plant: Plant, position: Position, *arguments: str, expect: int = 0) -> dict[str, Any]:
    done = run(plant, "replay", "--position", str(position), "--json", *arguments)
    assert done.exit_code == expect, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@contextmanager
def forging(plant: Plant) -> Iterator[AtLeastOnceSink]:
    """Somebody else who may write to `results` and `images.dlq`."""
    sink = AtLeastOnceSink(
        plant.access,
        results_topic=plant.topics["results"],
        dead_letter_topic=plant.topics["dead_letter"],
        member=CommittingTo(lambda _: None, plant.access),
    )
    yield sink
    sink.close()


def commit_past(plant: Plant, position: Position) -> None:
    """What no worker does: settle a frame without its inspection."""
    group = plant.environment["QC_CONSUMER_GROUP"]
    consumer = open_client(KafkaConsumer, plant.access, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(*position.topic_partition)])
    consumer.commit(to_commit({Partition(*position.topic_partition): position.offset + 1}))
    consumer.close(autocommit=False)


def test_books_of_a_worker_balance_until_they_are_tampered_with(plant: Plant, judged: list[Inspection]) -> None:
    clean = account(plant)
    assert clean["clean"]
    assert clean["totals"]["frames"] == clean["totals"]["inspections"] == 42
    assert clean["totals"]["dead_letters"] == 2
    text = run(plant, "account")
    assert text.exit_code == 0
    assert "The books balance: 42 frames" in text.stdout
    assert account(plant, "--line", "A")["totals"]["frames"] == 21

    passed = next(each for each in judged if each.verdict is Verdict.PASS and each.line == "B")
    letter = DeadLetter(passed.source, b"B/cam0", b"", (), Reason.UNDECODABLE, "forged")
    (lost,) = plant.push(1, lines="A", first=100)
    assert account(plant)["totals"]["waiting"] == 1
    commit_past(plant, lost)
    with forging(plant) as sink:
        sink.publish([Outcome(passed, b"B/cam0", letter)], {})
    assert found(account(plant, expect=1)) == {
        "missing": [str(lost)],
        "double": [str(passed.source)],
        "unexplained_dead_letter": [str(passed.source)],
    }
    assert "The books do not balance" in run(plant, "account").stdout


def test_replay_gives_what_was_recorded(plant: Plant, judged: list[Inspection]) -> None:
    of_a = next(each for each in judged if each.line == "A" and each.model_version)
    document = replay(plant, of_a.source)
    assert document["same"]
    assert document["score_difference"] <= document["tolerance"]
    assert document["recorded"]["model_version"] == document["replayed"]["model_version"] == "v1"
    assert document["recorded"]["precision"] == document["replayed"]["precision"] == "float32"
    assert document["other_format"] is None
    for reason in (Reason.UNDECODABLE, Reason.UNKNOWN_LINE):
        failed = next(each for each in judged if each.reason is reason)
        document = replay(plant, failed.source)
        assert document["same"]
        assert document["replayed"]["reason"] == reason

    factories.add_version(plant.store, "A", "v2", seed=1)
    document = replay(plant, of_a.source, "--version", "v2")
    assert document["same"] is None
    assert document["replayed"]["model_version"] == "v2"


def test_replay_tells_a_forged_inspection_and_what_it_cannot_judge(plant: Plant, judged: list[Inspection]) -> None:
    of_b = next(each for each in judged if each.line == "B" and each.model_version)
    (position,) = plant.push(1, lines="B", first=100)
    done = run(plant, "replay", "--position", str(position))
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "has no inspection" in done.stderr
    with forging(plant) as sink:
        sink.publish([Outcome(replace(of_b, source=position, verdict=Verdict.REJECT), b"B/cam0")], {})
    assert replay(plant, position, expect=1)["same"] is False
    assert "Different verdict" in run(plant, "replay", "--position", str(position)).stdout
    gone = run(plant, "replay", "--position", f"{position.topic}:{position.partition}:{position.offset + 1}")
    assert (gone.exit_code, "holds no frame" in gone.stderr) == (2, True)
    (plant.folder / "store" / "B" / "v1" / "card.json").unlink()
    assert replay(plant, position, expect=1)["same"] is False  # by the copy here, which is what was released
    shutil.rmtree(plant.folder / "state" / "model-cache" / "B" / "v1")
    version_gone = run(plant, "replay", "--position", str(position))
    assert (version_gone.exit_code, "not in the model store" in version_gone.stderr) == (2, True)
