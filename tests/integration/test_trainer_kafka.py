"""`qc-trainer` on a real broker."""

from typing import Any

import pytest

from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.release import ReleaseAction
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from qc_worker.transport.kafka.release_log import KafkaReleaseLog
from qc_worker.wire.images import encode_frame
from tests.support.injected import Commands
from tests.support.plant import Plant
from tests.unit.trainer.factories import NOW, filled_store, png

pytestmark = pytest.mark.apache_only


QUICK = ("--input-size", "64", "--steps", "150", "--json")


def test_a_retrain_collects_accepted_frames_and_announces_its_version(plant: Plant, commands: Commands) -> None:
    def trainer(*arguments: str) -> Any:
        return commands.run("qc-trainer", *arguments, cwd=plant.folder, environment=plant.environment).document

    filled_store(plant.folder / "state" / "samples", good=24)
    accept(plant, png(900))
    retrained = trainer("retrain", "--line", "A", *QUICK)
    assert retrained["collected"]["added"] == {"A": {"good": 1}}
    assert retrained["training_samples"] == retrained["calibration_samples"] == 25
    assert retrained["announced"]
    releases = KafkaReleaseLog(plant.access, topic=plant.topics["models"])
    assert releases.read_all()["A"].version == retrained["version"]
    promoted = trainer("promote", "--line", "A", "--version", retrained["version"], "--json")
    assert promoted["action"] == "promote"
    assert releases.read_all()["A"].action is ReleaseAction.PROMOTE
    releases.close()
    again = trainer("collect", "--json")
    assert again["feedback"] == 0


def accept(plant: Plant, content: bytes) -> None:
    """A camera sends a frame, and an operator accepts it."""
    message = encode_frame(content, line="A", camera="top", captured_at=NOW, frame_id="f1")
    position = plant.camera.send(message).position(timeout_s=30)
    producer = KafkaFeedbackOutbox(plant.access, topic=plant.topics["feedback"])
    producer.send(Feedback("A", "f1", position, Judgement.GOOD, "ada", NOW))
    producer.close()
