"""What of a retrain is told by its flags alone, and shown of it afterwards."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from qc_worker.domain.errors import TrainingError
from qc_worker.settings import load_settings
from tests.unit.trainer.factories import LINE
from tests.unit.trainer.workshop import REQUEST, SPLIT, Workshop
from trainer.commands.releases import print_versions
from trainer.releasing.versions import open_model
from trainer.retrain import RetrainRequest


def test_a_seed_of_any_size_trains_and_is_kept(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    retrained = workshop.retrain(replace(REQUEST, seed=10**40), offline=True)
    assert open_model(workshop.models, LINE, retrained.card.version).card.seed == 10**40


@pytest.mark.parametrize(("max_false_reject", "review_rate"), [(None, 0.01), (None, 0.04), (0.1, 0.1)])
def test_a_review_rate_that_cannot_be_is_refused_before_the_training(
    tmp_path: Path, max_false_reject: float | None, review_rate: float
) -> None:
    workshop = Workshop(tmp_path)
    request = replace(REQUEST, max_false_reject=max_false_reject, review_rate=review_rate)
    with pytest.raises(TrainingError, match=r"is not above the false-reject rate 0.*give a higher --review-rate"):
        workshop.retrain(request)
    assert not list((tmp_path / "features").rglob("*")), "nothing was computed"


@pytest.mark.parametrize("request_", [REQUEST, SPLIT], ids=["cross", "split"])
def test_a_version_counts_each_of_its_samples_once(
    tmp_path: Path, request_: RetrainRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    Workshop(tmp_path).retrain(request_, offline=True)
    settings = load_settings(state_dir=tmp_path, model_store=str(tmp_path / "models"))
    capsys.readouterr()
    print_versions(settings, line=LINE, as_json=True)
    [version] = json.loads(capsys.readouterr().out)["versions"]
    assert version["samples"] == 24
    print_versions(settings, line=LINE, as_json=False)
    assert re.search(r"│ +24 │", capsys.readouterr().out)
