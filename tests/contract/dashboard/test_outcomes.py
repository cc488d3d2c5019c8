"""What became of a judgement, from what lies on the topics and in the model store alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from qc_dashboard.database.database import Database
from qc_dashboard.outcomes.outcome import Outcome, Stage
from qc_dashboard.outcomes.outcomes import Outcomes
from qc_dashboard.review.wanted import Reviewer, Word
from qc_worker.domain.collected import Collection
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from tests.support.factories import share_head
from tests.support.judgements import Judgements, minute, sample_of
from tests.support.published import inspection
from tests.support.review import ReviewRig


@pytest.fixture
def plant(database: Database, tmp_path: Path) -> Judgements:
    return Judgements(database, tmp_path)


def test_a_good_one_is_followed_from_its_message_to_a_version_that_judges(plant: Judgements) -> None:
    said = plant.say(0)
    assert plant.of(said) == Outcome(Stage.SENT)
    plant.collect(said, 1)
    seen = plant.of(said)
    assert (seen.stage, seen.collected_at, seen.sample) == (Stage.SAMPLE, minute(1), sample_of(0))
    plant.retrain(3, "v1", 0, 7)
    seen = plant.of(said)
    assert (seen.stage, seen.version, seen.trained_at, seen.released_at) == (Stage.TRAINED, "v1", minute(3), minute(3))
    assert (seen.live_at, seen.seconds_to_live) == (None, None)
    plant.judge(3.5, "v1")
    plant.judge(4, "v1")
    seen = plant.of(said)
    assert (seen.stage, seen.live_at, seen.seconds_to_live) == (Stage.LIVE, minute(3.5), 210.0)
    assert seen.in_live_version is True


@pytest.mark.parametrize("outcome", ["expired", "mismatched", "undecodable"])
def test_a_refused_one_says_why(plant: Judgements, outcome: str) -> None:
    said = plant.say(0)
    plant.collect(said, 1, outcome)
    seen = plant.of(said)
    assert (seen.stage, seen.collection, seen.sample) == (Stage.REFUSED, Collection(outcome), None)


def test_unsure_holds_the_frame_back(plant: Judgements) -> None:
    said = plant.say(0, "unsure")
    plant.collect(said, 1, "held_back")
    assert plant.of(said).stage is Stage.HELD_BACK


def test_a_later_judgement_replaces_an_earlier_one_that_says_something_else(plant: Judgements) -> None:
    first, same, other = plant.say(0), plant.say(1, by="bob"), plant.say(2, "defect", by="cyd")
    plant.collect(first, 3)
    assert [plant.of(one).stage for one in (first, same, other)] == [Stage.REPLACED, Stage.REPLACED, Stage.SENT]
    seen = plant.of(first)
    assert (seen.replaced_by, seen.replaced_at) == ("cyd", minute(2))
    plant.collect(other, 3, "mismatched")
    assert plant.of(first).stage is Stage.SAMPLE


def test_a_judgement_on_another_frame_with_the_same_bytes_replaces_it_too(plant: Judgements) -> None:
    first, other = plant.say(0), plant.say(1, "defect", offset=5)
    plant.collect(first, 2)
    assert plant.of(first).stage is Stage.SAMPLE
    plant.collect(other, 2, sample=sample_of(0))
    assert plant.of(first).stage is Stage.REPLACED


def test_a_version_that_learned_before_it_was_replaced_is_still_told(plant: Judgements) -> None:
    said = plant.say(0)
    plant.collect(said, 1)
    plant.retrain(2, "v1", 0)
    plant.collect(plant.say(3, "defect", by="bob"), 4)
    plant.collect(plant.say(5, "good", by="cyd"), 6)
    plant.retrain(7, "v2", 0)
    seen = plant.of(said)
    assert (seen.stage, seen.version) == (Stage.REPLACED, "v1")


def test_a_good_one_that_was_replaced_in_time_taught_no_version(plant: Judgements) -> None:
    said = plant.say(0)
    plant.collect(said, 1)
    plant.collect(plant.say(2, "defect", by="bob"), 3)
    plant.collect(plant.say(4, "good", by="cyd"), 5)
    plant.retrain(7, "v1", 0)
    assert plant.of(said).version is None


def test_a_retrain_without_collecting_teaches_what_was_collected_before(plant: Judgements) -> None:
    collected, waiting = plant.say(0, offset=0), plant.say(0, offset=1)
    plant.collect(collected, 1)
    plant.retrain(2, "v1", 0)
    assert [plant.of(one).stage for one in (collected, waiting)] == [Stage.TRAINED, Stage.SENT]


def test_a_version_that_was_trained_before_did_not_learn_from_it(plant: Judgements) -> None:
    """Its sample may have been imported before, or have been judged good by somebody else."""
    plant.retrain(1, "v1", 0)
    said = plant.say(2)
    plant.collect(said, 3)
    seen = plant.of(said)
    assert (seen.stage, seen.version) == (Stage.SAMPLE, None)
    plant.retrain(4, "v2", 0)
    assert plant.of(said).version == "v2"


def test_a_removed_sample_teaches_the_next_version_nothing(plant: Judgements) -> None:
    said = plant.say(0)
    plant.collect(said, 1)
    plant.retrain(2, "v1", 7)
    seen = plant.of(said)
    assert (seen.stage, seen.version, seen.in_live_version) == (Stage.SAMPLE, None, False)
    plant.retrain(4, "v2", 0)
    plant.retrain(6, "v3", 7)
    seen = plant.of(said)
    assert (seen.version, seen.in_live_version) == ("v2", False)


def test_a_rollback_shows_that_the_live_version_has_not_learned_from_it(plant: Judgements) -> None:
    before = plant.retrain(1, "v1", 7)
    said = plant.say(2)
    plant.collect(said, 3)
    plant.retrain(4, "v2", 0)
    plant.judge(5, "v2")
    plant.announce(replace(before, released_at=minute(6)))
    seen = plant.of(said)
    assert (seen.stage, seen.version, seen.in_live_version) == (Stage.LIVE, "v2", False)


def test_a_version_with_another_threshold_learned_when_its_head_was_trained(plant: Judgements) -> None:
    plant.retrain(1, "v1", 0)
    said = plant.say(2)
    plant.collect(said, 3)
    plant.announce(replace(share_head(plant.store, "A", "v2", of="v1"), released_at=minute(4)))
    assert plant.of(said).version is None


def test_of_two_trainers_the_one_that_has_the_sample_teaches_it(plant: Judgements) -> None:
    said = plant.say(0)
    plant.collect(said, 1)
    plant.retrain(2, "v1-other", 7)
    plant.retrain(3, "v1-own", 0, 7)
    assert plant.of(said).version == "v1-own"


def test_an_outcome_that_is_told_again_keeps_its_time_and_a_refusal_gives_way(plant: Judgements) -> None:
    said = plant.say(0)
    plant.collect(said, 1, "expired")
    plant.collect(said, 2)
    plant.collect(said, 3)
    plant.collect(said, 4, "expired")
    seen = plant.of(said)
    assert (seen.stage, seen.collected_at) == (Stage.SAMPLE, minute(2))


def test_a_version_whose_card_cannot_be_read_is_named_until_it_can(plant: Judgements) -> None:
    said = plant.say(0)
    plant.collect(said, 1)
    release = plant.retrain(2, "v1", 0)
    plant.announce(replace(release, version="v2", released_at=minute(3)))
    plant.announce(replace(release, card_sha256="0" * 64, version="v1", released_at=minute(1.5)))
    seen = plant.of(said)
    assert (seen.stage, seen.version, seen.unread_version, seen.in_live_version) == (Stage.SAMPLE, None, "v1", None)


def test_a_word_of_the_review_waits_until_the_broker_has_it_and_is_listed_once(database: Database) -> None:
    rig, outcomes = ReviewRig(database), Outcomes(database)
    rig.inspect(inspection(0))
    rig.desk.say(Reviewer("page-1", "ada"), Position("images", 0, 0), Word(Judgement.GOOD))

    def stages() -> list[Stage]:
        return [one.outcome.stage for one in outcomes.last(by="ada", limit=9)]

    assert stages() == [Stage.WAITING]
    sent = rig.sent()
    assert stages() == [Stage.SENT]
    rig.hear(*sent)
    assert stages() == [Stage.SENT]


def test_last_judgements_come_newest_first_of_a_person_and_a_line(plant: Judgements) -> None:
    for offset in range(4):
        plant.say(offset, offset=offset, by="bob" if offset % 2 else "ada", line="B" if offset == 3 else "A")
    plant.collect(plant.say(9, offset=9), 10)
    last = plant.outcomes.last(limit=3)
    assert [one.source.offset for one in last] == [9, 3, 2]
    assert [one.outcome.stage for one in last] == [Stage.SAMPLE, Stage.SENT, Stage.SENT]
    assert [one.source.offset for one in plant.outcomes.last(by="bob", limit=9)] == [3, 1]
    assert [one.source.offset for one in plant.outcomes.last(by="bob", line="A", limit=9)] == [1]
    assert plant.outcomes.last(by="no\0body", limit=9) == plant.outcomes.on(Position("no\0topic", 0, 0)) == []
    assert last[0].verdict is Judgement.GOOD
