"""What the collector publishes of each verdict on `samples`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from qc_worker.domain.collected import Collected, Collection
from qc_worker.domain.errors import TransportError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Partition, Position
from qc_worker.wire.json_types import decode_collected
from tests.unit.trainer.factories import png
from tests.unit.trainer.samples.feedback.test_collecting import Floor
from trainer.samples.store import sha256

DEFECT, UNSURE = Judgement.DEFECT, Judgement.UNSURE


class Away:
    """A broker that cannot be reached."""

    def send(self, collected: Sequence[Collected]) -> None:
        raise TransportError(f"{len(collected)} outcomes not sent")

    def close(self) -> None:
        pass


def outcomes(floor: Floor) -> list[tuple[Collection, str | None]]:
    """Read back what `samples` says of each verdict, with the sample's id."""
    records = floor.broker.read(Partition("samples", 0), 0, max_records=100)
    collected = [decode_collected(record.content) for record in records]
    return [(one.outcome, one.sample) for one in collected]


def test_outcome_of_each_verdict_is_published(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    first, second = floor.frame(png(0)), floor.frame(png(1), frame_id="f2")
    floor.judge(first, minute=3)
    floor.judge(first, DEFECT, minute=1)  # said before the word that is there
    floor.judge(second, UNSURE, frame_id="f2")
    floor.judge(second, frame_id="another")
    floor.judge(Position("images", 0, 99))
    floor.judge(floor.frame(b"not a picture"))
    floor.collect()
    ids = [sha256(png(number)) for number in (0, 0, 1)]
    assert outcomes(floor) == [
        (Collection.SAMPLE, ids[0]),
        (Collection.REPLACED, ids[1]),
        (Collection.HELD_BACK, ids[2]),
        (Collection.MISMATCHED, None),
        (Collection.EXPIRED, None),
        (Collection.UNDECODABLE, None),
    ]


def test_outcome_of_a_verdict_that_is_read_again_is_what_it_was(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    position = floor.frame(png(0))
    for _ in range(2):  # as after a crash between the sample and the commit
        floor.judge(position)
    floor.collect()
    assert outcomes(floor) == 2 * [(Collection.SAMPLE, sha256(png(0)))]


def test_nothing_is_committed_before_its_outcome_is_published(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.judge(floor.frame(png(0)))
    with pytest.raises(TransportError):
        floor.collect(Away())
    floor.collect()
    assert outcomes(floor) == [(Collection.SAMPLE, sha256(png(0)))]
