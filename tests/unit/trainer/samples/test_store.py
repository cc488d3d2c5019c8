import hashlib
import json
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.files import write_atomically
from tests.unit.trainer.factories import LINE, NOW, imported, png
from trainer.samples.card import SampleCard, Word
from trainer.samples.store import SampleStore, Stored, sha256


def test_a_sample_is_named_by_its_content_and_tells_its_origin(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    assert store.add(LINE, Judgement.GOOD, png(0), origin=imported("a.png")) is Stored.ADDED
    name = hashlib.sha256(png(0)).hexdigest()
    assert store.ids(LINE, Judgement.GOOD) == [name]
    assert store.read(LINE, Judgement.GOOD, name) == png(0)
    assert json.loads((tmp_path / "A" / "good" / f"{name}.json").read_text())["origins"][0]["imported"] == "a.png"


def test_the_same_bytes_are_stored_once_with_every_origin(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    for name in ("a.png", "b.png", "a.png"):
        store.add(LINE, Judgement.GOOD, png(0), origin=imported(name))
    assert len(store.ids(LINE, Judgement.GOOD)) == 1
    origins = store.card(LINE, Judgement.GOOD, sha256(png(0))).origins
    assert [origin.imported for origin in origins] == ["a.png", "b.png"]


def test_the_newer_judgement_of_the_same_bytes_holds(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.add(LINE, Judgement.GOOD, png(0), origin=imported())
    assert store.add(LINE, Judgement.DEFECT, png(0), origin=imported(), mask=png(1)) is Stored.JUDGED_ANEW
    assert (store.ids(LINE, Judgement.GOOD), len(store.ids(LINE, Judgement.DEFECT))) == ([], 1)
    assert store.mask(LINE, sha256(png(0))) == png(1)


def test_bytes_without_their_card_are_no_sample_and_adding_again_completes_them(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.add(LINE, Judgement.GOOD, png(0), origin=imported())
    (tmp_path / "A" / "good" / f"{sha256(png(0))}.json").unlink()
    assert store.ids(LINE, Judgement.GOOD) == []
    assert store.add(LINE, Judgement.GOOD, png(0), origin=imported()) is Stored.ADDED


def test_a_sample_that_was_changed_on_disk_is_not_trained_on(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.add(LINE, Judgement.GOOD, png(0), origin=imported())
    (tmp_path / "A" / "good" / sha256(png(0))).write_bytes(png(1))
    with pytest.raises(TrainingError, match="was changed on disk"):
        store.read(LINE, Judgement.GOOD, sha256(png(0)))


def damaged(store: SampleStore, how: str) -> str:
    """A sample that was damaged, by its id."""
    store.add(LINE, Judgement.GOOD, png(0), origin=imported("a.png"))
    sample = sha256(png(0))
    path = store.folder / "A" / "good" / sample
    match how:
        case "cut":
            path.write_bytes(png(0)[:-9])
        case "emptied":
            path.write_bytes(b"")
        case "removed":
            path.unlink()
        case "card":
            path.with_name(f"{sample}.json").write_text('{"sha')
        case "both":
            path.unlink()
            path.with_name(f"{sample}.json").write_bytes(b"\xff")
    return sample


def used(store: SampleStore, sample: str) -> tuple[SampleCard, bytes]:
    """As a retrain uses it."""
    return store.card(LINE, Judgement.GOOD, sample), store.read(LINE, Judgement.GOOD, sample)


DAMAGES = ["cut", "emptied", "removed", "card", "both"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_sample_is_repaired_by_importing_the_image_again(tmp_path: Path, how: str) -> None:
    store = SampleStore(tmp_path)
    sample = damaged(store, how)
    with pytest.raises(TrainingError, match="import the image again to repair it"):
        used(store, sample)
    assert store.add(LINE, Judgement.GOOD, png(0), origin=imported("a.png")) is Stored.REPAIRED
    assert store.read(LINE, Judgement.GOOD, sample) == png(0)
    assert [origin.imported for origin in store.card(LINE, Judgement.GOOD, sample).origins] == ["a.png"]
    assert store.add(LINE, Judgement.GOOD, png(0), origin=imported("a.png")) is Stored.KNOWN


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_sample_is_gone_with_the_file_that_the_error_names(tmp_path: Path, how: str) -> None:
    store = SampleStore(tmp_path)
    sample = damaged(store, how)
    with pytest.raises(TrainingError) as raised:
        used(store, sample)
    [named] = re.findall(r"\S+\.json", str(raised.value).replace(f"{tmp_path}", "").replace(" is damaged", ""))
    (tmp_path / named.lstrip("/")).unlink()
    assert store.ids(LINE, Judgement.GOOD) == []


def test_an_error_of_a_damaged_sample_names_the_image_that_it_was(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    with pytest.raises(TrainingError, match=r"\(a\.png\): import"):
        store.read(LINE, Judgement.GOOD, damaged(store, "removed"))


def test_only_lines_with_samples_are_lines(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    (tmp_path / "empty" / "good").mkdir(parents=True)
    store.add(LINE, Judgement.GOOD, png(0), origin=imported())
    assert store.lines() == ["A"]
    assert SampleStore(tmp_path / "nowhere").lines() == []


def test_cards_of_before_are_read_and_completed_when_the_file_is_imported_again(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.add(LINE, Judgement.GOOD, png(0), origin=imported("a.png"))
    card = store.card(LINE, Judgement.GOOD, sha256(png(0)))
    assert card.origins[0].captured_at is None
    dated = imported("a.png").model_copy(update={"captured_at": NOW, "folder": "monday/good", "accepted_by": "later"})
    assert store.add(LINE, Judgement.GOOD, png(0), origin=dated) is Stored.KNOWN
    [origin] = store.card(LINE, Judgement.GOOD, sha256(png(0))).origins
    assert (origin.captured_at, origin.folder, origin.accepted_by) == (NOW, "monday/good", "import")


class Crash(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("step", range(8))
def test_crash_at_any_step_of_a_new_judgement_leaves_one_judgement_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    store, steps = SampleStore(tmp_path), iter(range(100))
    store.add(LINE, Judgement.DEFECT, png(0), origin=imported(), mask=png(1))
    sample = sha256(png(0))
    word = Word(judgement=Judgement.UNSURE, by="ada", at=NOW + timedelta(minutes=1))

    def crash() -> None:
        if next(steps) == step:
            raise Crash

    def write(path: Path, content: bytes) -> None:
        crash()
        write_atomically(path, content)

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        crash()
        unlink_file(path, missing_ok=missing_ok)

    unlink_file = Path.unlink
    with monkeypatch.context() as patched:
        patched.setattr("trainer.samples.store.write_atomically", write)
        patched.setattr(Path, "unlink", unlink)
        with suppress(Crash):
            store.judge(LINE, sample, word)
    listed = [judgement for judgement in Judgement if store.ids(LINE, judgement) == [sample]]
    assert listed in ([Judgement.DEFECT], [Judgement.UNSURE])
    assert store.read(LINE, listed[0], sample) == png(0)
    store.judge(LINE, sample, word)
    assert [path.name for path in sorted((tmp_path / "A" / "defect").iterdir())] == []
    assert [path.name for path in sorted((tmp_path / "A" / "unsure").iterdir())] == [
        sample,
        f"{sample}.json",
        f"{sample}.mask.png",
    ]


def test_sample_that_is_judged_anew_while_a_retrain_reads_it_can_still_be_read(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.add(LINE, Judgement.GOOD, png(0), origin=imported())
    [sample] = store.ids(LINE, Judgement.GOOD)
    store.judge(LINE, sample, Word(judgement=Judgement.UNSURE, by="ada", at=NOW + timedelta(minutes=1)))
    assert store.ids(LINE, Judgement.GOOD) == []
    assert store.read(LINE, Judgement.GOOD, sample) == png(0)
    assert store.card(LINE, Judgement.GOOD, sample).origins[0].imported == "x.png"
