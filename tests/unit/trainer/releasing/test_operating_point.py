"""Moving the threshold: a new version of the same head, announced like any other."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import ModelError, TrainingError, TransportError
from qc_worker.domain.release import ReleaseAction
from qc_worker.registry.releasing import Releaser
from qc_worker.registry.store import FsspecModelStore
from qc_worker.simplenet.checkpoint import ModelCard, file_sha256
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.models import MemoryReleaseLog
from tests.support import factories
from tests.unit.trainer.factories import LINE
from tests.unit.trainer.workshop import LaterClock
from trainer.releasing.operating_point import Moved, OperatingPoint, ThresholdMover, moved
from trainer.releasing.versions import list_versions, open_model

SCORES = tuple(float(score) for score in range(99))
HELD_OUT = Calibration(SCORES, 0.05)


class Office:
    """A model store with one live version, and a broker in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = FsspecModelStore(str(folder / "models"))
        self.broker = MemoryBroker(partitions=1)
        self.releases = MemoryReleaseLog(self.broker, topic="models")
        self.clock = LaterClock()
        first = factories.add_version(self.models, scores=SCORES)
        self.models.record_release(first)
        self.releases.announce(first)

    def move(self, *, version: str | None = None, online: bool = True, **wanted: float) -> Moved:
        mover = ThresholdMover(self.models, self.releases if online else None, self.clock)
        return mover.move(LINE, version, OperatingPoint(**wanted))

    def live(self) -> str:
        return self.releases.read_all()["A"].version

    def stored(self, card: ModelCard) -> Path:
        return self.folder / "models" / card.line / card.version


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_moved_threshold_is_a_small_version_that_goes_live_and_shares_the_head(office: Office) -> None:
    card = office.move(max_false_reject=0.1).card
    assert [path.name for path in office.stored(card).iterdir()] == ["card.json"]
    release = office.releases.read_all()["A"]
    assert office.models.releases("A")[-1] == release
    assert (release.version, release.action) == (card.version, ReleaseAction.THRESHOLD)
    assert release.card_sha256 == file_sha256(office.stored(card) / "card.json")
    assert release.threshold == card.calibration.threshold == 89.0
    before, after = (open_model(office.models, LINE, version) for version in ("v1", card.version))
    assert after.card == card
    assert (card.head_of, card.derived_from, card.head_sha256) == ("v1", "v1", before.card.head_sha256)
    assert (card.samples, card.seed, card.embedding) == (before.card.samples, before.card.seed, before.card.embedding)


def test_a_threshold_moved_twice_still_shares_the_head_of_the_first(office: Office) -> None:
    first = office.move(max_false_reject=0.1).card
    second = office.move(score=95.5).card
    assert (second.head_of, second.derived_from) == ("v1", first.version)
    assert second.version != first.version
    assert second.calibration.max_false_reject == pytest.approx(4 / 100)


def test_a_rollback_returns_to_the_earlier_operating_point(office: Office) -> None:
    first = office.move(max_false_reject=0.1).card
    office.move(max_false_reject=0.2)
    releaser = Releaser(office.models, office.releases, office.clock)
    assert releaser.rollback(LINE).version == first.version
    assert releaser.rollback(LINE).version == "v1"
    assert [entry.version for entry in list_versions(office.models, LINE) if entry.live] == ["v1"]


def test_a_version_other_than_the_live_one_can_be_moved(office: Office) -> None:
    office.move(max_false_reject=0.1)
    assert office.move(version="v1", max_false_reject=0.02).card.derived_from == "v1"
    with pytest.raises(TrainingError, match="has no version nope"):
        office.move(version="nope", max_false_reject=0.02)


def test_offline_the_version_is_stored_and_waits_to_be_promoted(office: Office) -> None:
    done = office.move(max_false_reject=0.1, online=False)
    assert not done.announced
    assert office.live() == "v1"
    Releaser(office.models, office.releases, office.clock).promote(LINE, done.card.version)
    assert office.live() == done.card.version


def test_the_operating_point_that_a_version_has_already_makes_no_other_version(office: Office) -> None:
    with pytest.raises(TrainingError, match="is live: nothing to do"):
        office.move(max_false_reject=0.25)
    stored = office.move(max_false_reject=0.1, online=False).card.version
    with pytest.raises(TrainingError, match=f"qc-trainer promote --line A --version {stored}"):
        office.move(version=stored, max_false_reject=0.1)
    assert office.models.versions("A") == ["20261123T120001-" + stored[-8:], "v1"]


def test_when_the_broker_dies_the_error_says_how_to_announce_it(office: Office) -> None:
    office.broker.available = False
    with pytest.raises(TransportError, match=r"stored but was not announced.*qc-trainer promote --line A --version"):
        office.move(max_false_reject=0.1)
    assert len(office.models.versions("A")) == 2


def test_a_version_whose_head_is_broken_is_not_moved(office: Office) -> None:
    (office.folder / "models" / "A" / "v1" / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError):
        office.move(max_false_reject=0.1)
    assert office.models.versions("A") == ["v1"]


def test_a_version_whose_head_has_gone_says_which_folder_is_missing(office: Office) -> None:
    card = office.move(max_false_reject=0.1).card
    (office.folder / "models" / "A" / "v1" / "head.safetensors").unlink()
    with pytest.raises(ModelError, match="shares the head of A/v1, which is not in the model store"):
        open_model(office.models, LINE, card.version)
    assert {entry.version: entry.card for entry in list_versions(office.models, LINE)} == {
        card.version: None,
        "v1": None,
    }


@given(st.floats(0, 98))
def test_any_score_within_the_held_out_ones_can_be_the_threshold(score: float) -> None:
    assert moved(HELD_OUT, OperatingPoint(score=score)).threshold == score


@given(st.floats(0.01, 0.99))
def test_a_rate_and_the_score_of_its_threshold_reject_the_same(rate: float) -> None:
    by_rate = moved(HELD_OUT, OperatingPoint(max_false_reject=rate))
    by_score = moved(HELD_OUT, OperatingPoint(score=by_rate.threshold))
    assume(by_rate != by_score)
    for score in (by_rate.threshold - 0.5, by_rate.threshold, by_rate.threshold + 0.5):
        assert by_rate.verdict(score) == by_score.verdict(score)


def test_the_review_rate_stays_unless_another_one_is_asked_for() -> None:
    reviewing = replace(HELD_OUT, review_rate=0.2)
    assert moved(reviewing, OperatingPoint(max_false_reject=0.1)).review_rate == 0.2
    assert moved(reviewing, OperatingPoint(score=97.0, review_rate=0.3)).review_rate == 0.3
    assert moved(reviewing, OperatingPoint(max_false_reject=0.1, review_rate=0.0)).review_rate is None
    with pytest.raises(TrainingError, match=r"the version's review rate is 0\.2: give --review-rate, 0 for no review"):
        moved(reviewing, OperatingPoint(max_false_reject=0.2))
    with pytest.raises(TrainingError, match="review_rate must lie between max_false_reject and 1"):
        moved(reviewing, OperatingPoint(max_false_reject=0.2, review_rate=0.1))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            OperatingPoint(max_false_reject=0.005),
            r"99 held-out frames support false-reject rates of at least 0\.01",
        ),
        (OperatingPoint(score=-0.1), "would reject all 99 held-out good frames"),
        (OperatingPoint(score=float("nan")), "finite"),
        (OperatingPoint(score=float("inf")), "finite"),
        (OperatingPoint(), "no threshold is asked for"),
    ],
)
def test_what_cannot_be_promised_is_refused_in_one_line(wanted: OperatingPoint, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        moved(HELD_OUT, wanted)
