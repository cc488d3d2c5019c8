"""FeedbackSource: what was not committed comes again, what was does not."""

from qc_worker.domain.feedback import Feedback
from qc_worker.ports.feedback import FeedbackSource
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import encode_feedback
from tests.conftest import eventually, unique
from tests.contract.rigs import Rig, feedback


def send(rig: Rig, *frame_ids: str) -> None:
    for frame_id in frame_ids:
        said = feedback(frame_id)
        rig.append(OutgoingRecord(rig.topics.feedback, said.line.encode(), encode_feedback(said), []))


def gathered(source: FeedbackSource, count: int) -> list[Feedback]:
    found: list[Feedback] = []

    def enough() -> bool:
        found.extend(source.poll(timeout_s=0.2))
        return len(found) >= count

    eventually(enough)
    return found


def test_feedback_arrives_in_order(rig: Rig) -> None:
    send(rig, "f1", "f2", "f3")
    assert gathered(rig.feedback_source(unique("group")), 3) == [feedback("f1"), feedback("f2"), feedback("f3")]


def test_uncommitted_feedback_comes_again(rig: Rig) -> None:
    group = unique("group")
    send(rig, "f1")
    source = rig.feedback_source(group)
    gathered(source, 1)
    source.close()
    assert gathered(rig.feedback_source(group), 1) == [feedback("f1")]


def test_committed_feedback_does_not_come_again(rig: Rig) -> None:
    group = unique("group")
    send(rig, "f1", "f2")
    source = rig.feedback_source(group)
    gathered(source, 2)
    source.commit()
    source.close()
    send(rig, "f3")
    assert gathered(rig.feedback_source(group), 1) == [feedback("f3")]


def test_commit_before_any_poll_is_harmless(rig: Rig) -> None:
    source = rig.feedback_source(unique("group"))
    source.commit()
    send(rig, "f1")
    assert gathered(source, 1) == [feedback("f1")]


def test_unreadable_feedback_is_left_out(rig: Rig) -> None:
    for garbage in (b"", b"not json", b'{"line": "../../etc"}'):
        rig.append(OutgoingRecord(rig.topics.feedback, b"A", garbage, []), partition=0)
    send(rig, "f1")
    assert gathered(rig.feedback_source(unique("group")), 1) == [feedback("f1")]
