"""`qc-trainer samples` as people call it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from tests.unit.trainer.factories import LINE, NOW, imported, png
from trainer.cli import app
from trainer.samples.card import Origin, Word
from trainer.samples.labelled import labelled_samples
from trainer.samples.store import SampleStore, sha256

FRAME = Position("images", 0, 7)
GOOD, REMOVED, SCRATCH, DENT = (sha256(png(seed)) for seed in range(4))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SampleStore:
    """Two good samples, one of them held back, and two defects."""
    monkeypatch.setenv("QC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "300")
    store = SampleStore(tmp_path / "state" / "samples")
    store.add(LINE, Judgement.GOOD, png(0), origin=imported("a.png"))
    store.add(LINE, Judgement.GOOD, png(1), origin=imported("b.png"))
    store.judge(LINE, REMOVED, Word(judgement=Judgement.UNSURE, by="bob", at=NOW + timedelta(hours=1)))
    origin = Origin(position=FRAME, frame_id="f7", part="SN 4711", accepted_by="ada", accepted_at=NOW)
    said: dict[str, Any] = {"judgement": Judgement.DEFECT, "by": "ada", "source": FRAME, "model_version": "v3"}
    for seed, kind in ((2, "scratch"), (3, "dent")):
        word = Word(kind=kind, at=NOW + timedelta(minutes=seed), **said)
        store.add(LINE, Judgement.DEFECT, png(seed), origin=origin, word=word, mask=png(9) if seed == 2 else None)
    return store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["samples", "--line", "A", *arguments])


def document(*arguments: str) -> list[dict[str, Any]]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    samples: list[dict[str, Any]] = json.loads(done.stdout)["samples"]
    return samples


def test_list_says_who_judged_which_frame_when_and_with_which_version(store: SampleStore) -> None:
    by_id = {each["sample"]: each for each in document()}
    assert set(by_id) == {GOOD, REMOVED, SCRATCH, DENT}
    scratch = by_id[SCRATCH]
    assert (scratch["judgement"], scratch["kind"], scratch["by"], scratch["at"], scratch["mask"]) == (
        "defect",
        "scratch",
        "ada",
        (NOW + timedelta(minutes=2)).isoformat(),
        "coarse",
    )
    assert (scratch["source"], scratch["model_version"], scratch["part"]) == ("images:0:7", "v3", "SN 4711")
    table = run().stdout
    assert all(shown in table for shown in (SCRATCH[:12], "scratch", "ada", "images:0:7", "v3", "SN 4711", "bob"))


@pytest.mark.parametrize(
    ("kind", "found"),
    [("good", [GOOD]), ("defect", [SCRATCH, DENT]), ("unsure", [REMOVED]), ("dent", [DENT]), ("crack", [])],
)
def test_list_can_be_narrowed_to_a_judgement_or_a_kind_of_defect(
    store: SampleStore, kind: str, found: list[str]
) -> None:
    assert [each["sample"] for each in document("--kind", kind)] == found


def test_removed_sample_is_not_used_and_its_history_says_who_removed_it(store: SampleStore) -> None:
    [removed] = document("remove", GOOD[:8], "--by", "eve")
    assert (removed["judgement"], removed["by"]) == ("unsure", "eve")
    assert store.ids(LINE, Judgement.GOOD) == []
    [shown] = document("show", GOOD)
    assert [(word["judgement"], word["by"]) for word in shown["words"]] == [("good", "import"), ("unsure", "eve")]


def test_restored_sample_is_what_it_was(store: SampleStore) -> None:
    document("remove", SCRATCH, GOOD)
    restored = document("restore", SCRATCH, REMOVED[:6], "--by", "eve")
    assert [(each["judgement"], each["kind"], each["by"]) for each in restored] == [
        ("defect", "scratch", "eve"),
        ("good", None, "eve"),
    ]
    assert store.mask(LINE, SCRATCH) == png(9)
    assert store.ids(LINE, Judgement.GOOD) == [REMOVED]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["show"], "name samples by their ids"),
        (["show", "abc"], "no sample begins with 'abc'"),
        (["show", "f" * 64], "no sample begins"),
        (["list", GOOD], "only show, remove and restore take ids"),
    ],
)
def test_samples_that_are_not_there_are_refused_in_a_line(
    store: SampleStore, arguments: list[str], reason: str
) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert reason in done.output


def test_frame_that_was_never_more_than_doubtful_cannot_be_restored(store: SampleStore) -> None:
    word = Word(judgement=Judgement.UNSURE, by="ada", at=NOW)
    store.add(LINE, Judgement.UNSURE, png(5), origin=imported("f.png"), word=word)
    done = run("restore", sha256(png(5)))
    assert done.exit_code == 2
    assert "neither good nor a defect" in done.output


def test_damaged_card_is_listed_as_such(store: SampleStore) -> None:
    (store.folder / "A" / "good" / f"{GOOD}.json").write_bytes(b"{")
    assert [each["sample"] for each in document() if not each["readable"]] == [GOOD]
    assert "cannot be read" in run().stdout


def test_a_test_on_samples_has_unseen_good_ones_and_defects_by_kind_with_their_masks(store: SampleStore) -> None:
    store.add(LINE, Judgement.GOOD, png(6), origin=imported("new.png"))
    images = labelled_samples(store, LINE, {GOOD})
    assert [(image.kind, image.path.name, len(image.masks)) for image in images] == [
        ("good", sha256(png(6)), 0),
        ("dent", DENT, 0),
        ("scratch", SCRATCH, 1),
    ]
    with pytest.raises(TrainingError, match="trained on all good samples"):
        labelled_samples(store, LINE, {GOOD, sha256(png(6))})
    document("remove", SCRATCH, DENT)
    with pytest.raises(TrainingError, match="has no samples of defects"):
        labelled_samples(store, LINE, {GOOD})
