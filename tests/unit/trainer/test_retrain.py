"""The use case on the real backbone, with tiny pictures and the in-memory broker."""

import io
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from structlog.testing import capture_logs

from qc_worker.domain.errors import ModelError, ReleaseRefused, TrainingError, TransportError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.release import Release, ReleaseAction
from qc_worker.simplenet.checkpoint import file_sha256, load_model
from qc_worker.transport.memory.models import MemoryReleaseLog
from tests.support.factories import NOON
from tests.unit.trainer.factories import LINE, imported, png
from tests.unit.trainer.workshop import REQUEST, SPLIT, Workshop
from trainer.commands.retrain import retrained_document
from trainer.disk import disk_errors
from trainer.progress import stages
from trainer.releasing.versions import list_versions, open_model
from trainer.samples.groups import GroupBy
from trainer.samples.store import sha256


def test_a_retrain_stores_a_version_and_announces_it_last(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, defect=3)
    retrained = workshop.retrain()
    version = retrained.card.version
    assert workshop.models.versions("A") == [version]
    release = workshop.releases.read_all()["A"]
    assert workshop.models.releases("A") == [release]
    assert (release.version, release.action) == (version, ReleaseAction.RETRAIN)
    card = tmp_path / "models" / "A" / version / "card.json"
    assert release.card_sha256 == file_sha256(card)
    assert load_model(card.parent).card == retrained.card
    assert retrained.trained.defects is not None
    assert retrained.trained.defects.n == 3


def test_the_card_lists_every_sample_and_the_promise(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    retrained = workshop.retrain(replace(SPLIT, max_false_reject=0.1, review_rate=0.3), offline=True)
    card = retrained.card
    assert card.samples.calibrate_by == "split"
    used = sorted(card.samples.training + card.samples.calibration)
    assert used == workshop.samples.ids(LINE, Judgement.GOOD)
    assert (len(card.samples.calibration), retrained.promise.n) == (9, 9)
    assert (card.calibration.max_false_reject, card.calibration.review_rate) == (0.1, 0.3)


def test_every_good_sample_fits_the_head_and_calibrates_it_by_one_that_did_not_see_it(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    retrained = workshop.retrain(REQUEST, offline=True)
    samples, good = retrained.card.samples, workshop.samples.ids(LINE, Judgement.GOOD)
    assert samples.calibrate_by == "cross"
    assert list(samples.training) == sorted(samples.calibration) == good
    assert (retrained.promise.n, retrained.trained.features.computed) == (24, 24)


def test_a_rectangle_is_trained_and_stored_like_a_square(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, defect=3, input_size=(48, 80))
    card = workshop.retrain(offline=True).card
    model = open_model(workshop.models, LINE, card.version)
    assert (model.card.embedding.input_size, model.card.head.cells) == ((48, 80), (6, 10))
    assert model.head.offset.shape == (3, 6, 10)


def test_a_tiled_model_states_its_tiles_and_cost_and_finds_its_defects(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, defect=3, input_size=(128, 160), tiles=2)
    retrained = workshop.retrain(offline=True)
    card = open_model(workshop.models, LINE, retrained.card.version).card
    assert (card.embedding.tiles, card.head.cells) == (2, (16, 20))
    assert card.cost == card.embedding.cost > 128 * 160 / 256**2
    assert (card.input_size_reason, retrained.frames_per_s > 0) == ("as the test asks", True)
    assert retrained.trained.defects is not None
    assert retrained.trained.defects.image_auroc > 0.9


def test_whole_sessions_are_held_out_and_the_rate_on_a_new_one_is_stated(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, good=0)
    sessions = {sha256(png(seed)): seed % 6 for seed in range(48)}
    for seed in range(48):
        time = NOON + timedelta(hours=seed % 6 * 5, minutes=seed)
        origin = imported(f"{seed}.png").model_copy(update={"captured_at": time})
        workshop.samples.add(LINE, Judgement.GOOD, png(seed), origin=origin)
    retrained = workshop.retrain(replace(SPLIT, max_false_reject=0.07), offline=True)
    samples, promise = retrained.card.samples, retrained.promise
    held_out = {sessions[sample] for sample in samples.calibration}
    assert not held_out & {sessions[sample] for sample in samples.training}
    assert (samples.group_by, sorted(samples.groups.values())) == ("session", [8] * 6)
    assert promise.groups == len(held_out) == 2
    assert promise.group_rate is not None
    assert retrained.trained.by_groups is not None
    assert retrained.card.calibration.threshold == retrained.trained.by_groups.threshold
    document = retrained_document(retrained)
    assert (document["group_by"], document["groups"]) == ("session", 6)
    assert document["new_group_false_reject"] == promise.group_rate


def test_one_group_is_warned_of_and_no_groups_are_as_before(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with capture_logs() as logs:
        retrained = workshop.retrain(replace(REQUEST, dry_run=True))
    assert [entry["good_samples"] for entry in logs if "of one group" in entry["event"]] == [24]
    assert (retrained.card.samples.group_by, retrained.promise.groups) == ("none", 0)
    assert retrained.look_alike.pictures == retrained.look_alike.compared == 24
    with capture_logs() as logs:
        workshop.retrain(replace(REQUEST, dry_run=True, group_by=GroupBy.NONE))
    assert not [entry for entry in logs if "of one group" in entry["event"]]


def test_frames_that_are_all_black_are_refused(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, good=0)
    for width in range(48, 72):
        file = io.BytesIO()
        Image.new("L", (width, 48)).save(file, "PNG")
        workshop.samples.add(LINE, Judgement.GOOD, file.getvalue(), origin=imported(f"{width}.png"))
    with pytest.raises(TrainingError, match="all 24 good samples of line A show the same picture"):
        workshop.retrain()


def test_copies_of_few_pictures_are_refused(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, good=12)
    for seed in range(12):
        file = io.BytesIO()
        Image.open(io.BytesIO(png(seed))).save(file, "BMP")
        workshop.samples.add(LINE, Judgement.GOOD, file.getvalue(), origin=imported(f"{seed}.bmp"))
    with pytest.raises(TrainingError, match=r"24 good samples of line A show 12 different.*at least 20"):
        workshop.retrain()


def test_the_same_samples_and_seed_give_the_same_head_bit_for_bit(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    dry = replace(REQUEST, dry_run=True)
    first, second = workshop.retrain(dry), workshop.retrain(dry)
    assert first.card.head_sha256 == second.card.head_sha256
    assert first.card.calibration == second.card.calibration


def test_the_order_in_which_samples_came_does_not_show_in_the_head(tmp_path: Path) -> None:
    forwards = Workshop(tmp_path / "forwards", good=0)
    backwards = Workshop(tmp_path / "backwards", good=0)
    for workshop, seeds in ((forwards, range(24)), (backwards, reversed(range(24)))):
        for seed in seeds:
            workshop.samples.add(LINE, Judgement.GOOD, png(seed), origin=imported())
    one, other = (workshop.retrain(replace(REQUEST, dry_run=True)) for workshop in (forwards, backwards))
    assert one.card.head_sha256 == other.card.head_sha256


def test_a_dry_run_writes_and_announces_nothing(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    assert not workshop.retrain(replace(REQUEST, dry_run=True)).announced
    assert workshop.models.versions("A") == []
    assert workshop.releases.read_all() == {}


def test_offline_the_version_is_stored_and_not_live(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    assert not workshop.retrain(offline=True).announced
    [entry] = list_versions(workshop.models, LINE)
    assert (entry.live, entry.released) == (False, False)
    assert workshop.models.releases("A") == []


def test_a_line_that_is_being_retrained_is_refused_at_once(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with FileLock(tmp_path / "samples" / ".A.lock"), pytest.raises(TrainingError, match="by another process"):
        workshop.retrain()


def test_too_few_samples_leave_the_old_model_alone(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="12 good samples are too few"):
        Workshop(tmp_path, good=12).retrain()


def test_when_the_broker_dies_the_version_is_kept_and_the_error_says_how_to_announce_it(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.broker.available = False
    with pytest.raises(TransportError, match=r"stored but was not announced.*qc-trainer promote --line A --version"):
        workshop.retrain()
    assert len(workshop.models.versions("A")) == 1


def test_promote_and_rollback_move_between_stored_versions(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    one, two = (workshop.retrain(replace(REQUEST, seed=seed)).card.version for seed in (0, 1))
    assert workshop.releaser().rollback(LINE).version == one
    assert workshop.releases.read_all()["A"].action is ReleaseAction.ROLLBACK
    with pytest.raises(ReleaseRefused, match="no earlier live version"):
        workshop.releaser().rollback(LINE)
    assert workshop.releaser().promote(LINE, two).version == two
    assert [entry.version for entry in list_versions(workshop.models, LINE) if entry.live] == [two]
    with pytest.raises(ModelError, match="nope is not in the model store"):
        workshop.releaser().promote(LINE, "nope")


def test_a_broken_version_is_not_promoted(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    version = workshop.retrain(offline=True).card.version
    (tmp_path / "models" / "A" / version / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError):
        workshop.releaser().promote(LINE, version)
    assert workshop.models.releases("A") == []
    assert [entry.card for entry in list_versions(workshop.models, LINE)] == [None]
    with pytest.raises(ModelError):
        open_model(workshop.models, LINE, version)


def test_an_interrupt_while_releasing_waits_until_it_is_announced(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with stages() as shown:
        retrained = workshop.retrainer(InterruptingLog(workshop.releases)).run(REQUEST, shown)
    assert workshop.releases.read_all()["A"].version == retrained.card.version


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot read or write.*No space left"), disk_errors():
        raise OSError(28, "No space left on device", str(tmp_path))


class InterruptingLog:
    """The operator presses Ctrl-C in the very moment of the announcement."""

    refused = 0

    def __init__(self, log: MemoryReleaseLog) -> None:
        self._log = log

    def announce(self, release: Release) -> None:
        signal.raise_signal(signal.SIGINT)
        self._log.announce(release)

    def read_all(self) -> dict[str, Release]:
        return self._log.read_all()

    def poll(self, *, timeout_s: float) -> list[Release]:
        return list(self._log.poll(timeout_s=timeout_s))

    def close(self) -> None:
        self._log.close()
