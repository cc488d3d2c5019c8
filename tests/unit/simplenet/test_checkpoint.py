"""A model on disk comes back as it was saved."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from qc_worker.domain.errors import ModelError
from qc_worker.imaging.defects import encode_mask
from qc_worker.simplenet.card import ModelCard
from qc_worker.simplenet.checkpoint import (
    CARD_FILE,
    HEAD_FILE,
    file_sha256,
    head_sha256,
    load_model,
    new_version,
    save_model,
)
from qc_worker.simplenet.fit_settings import FitSettings
from tests.unit.simplenet.factories import a_card, a_head, an_embedding_spec, reseal


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    head = a_head()
    card = save_model(tmp_path, head, a_card(head))
    model = load_model(tmp_path, card_sha256=file_sha256(tmp_path / CARD_FILE))
    assert model.card == card
    assert card.head_sha256 == head_sha256(head) == file_sha256(tmp_path / HEAD_FILE)
    assert not model.head.training
    embedding = torch.randn(1, 6, 4, 4)
    assert torch.equal(model.head.patch_scores(embedding), head.patch_scores(embedding))


def test_a_mask_head_comes_back_too(tmp_path: Path) -> None:
    head = a_head()
    head.adopt(a_head((3, 2), seed=1, cells=(16, 16)))
    save_model(tmp_path, head, a_card(head, embedding=an_embedding_spec(mask_levels=(4, 8))))
    found = load_model(tmp_path).head
    assert found.shape == head.shape
    assert found.mask_head is not None
    assert head.mask_head is not None
    embedding = torch.randn(1, 5, 16, 16)
    assert torch.equal(found.mask_head.patch_scores(embedding), head.mask_head.patch_scores(embedding))


def test_a_card_in_a_store_that_records_a_hold_out_share_stays_readable(folder: Path) -> None:
    """Written by the code of before `hold_out_share` went, which decided nothing."""
    text = (Path(__file__).parent / "card_with_hold_out_share.json").read_text(encoding="utf-8")
    recorded = json.loads(text)["training"]
    assert recorded.pop("hold_out_share") == 0.2
    training = ModelCard.model_validate_json(text).training
    assert training == FitSettings(**recorded)
    assert json.loads(training.model_dump_json()) == {
        **recorded, "hidden": 256, "nearest": 4, "max_whitener_bytes": 14 << 20,
    }  # fmt: skip
    reseal(folder, training=recorded | {"hold_out_share": 0.2, "synthetic_shares": [1.0, 0.5]})
    assert load_model(folder).card.training == training


def test_fields_that_fit_settings_never_had_are_refused(folder: Path) -> None:
    reseal(folder, training={"steps": 10, "epochs": 3})
    with pytest.raises(ModelError, match=r"training\.epochs: Extra inputs are not permitted"):
        load_model(folder)


def test_nothing_but_the_two_files_is_left(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CARD_FILE, HEAD_FILE]


def test_a_version_sorts_by_time_and_differs_by_content() -> None:
    card = a_card(a_head())
    assert new_version(card.created_at, "0123456789") == "20261123T120000-01234567"


def test_a_rectangular_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    head = a_head((4, 2, 3), cells=(3, 5))
    card = save_model(
        tmp_path,
        head,
        a_card(head, embedding=an_embedding_spec(levels=(8, 16, 32), input_size=(96, 160), grid_stride=32)),
    )
    model = load_model(tmp_path)
    assert (model.card, model.head.shape.cells) == (card, (3, 5))
    assert model.card.embedding.input_size == (96, 160)


def test_a_folder_that_cannot_be_made_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    head = a_head()
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "file" / "model", head, a_card(head))


def test_the_ignored_area_comes_back_with_the_card(tmp_path: Path) -> None:
    ignored = np.zeros((64, 64), dtype=bool)
    ignored[3:40, 5:9] = True
    head = a_head()
    save_model(tmp_path, head, a_card(head, ignored=encode_mask(ignored)))
    card = load_model(tmp_path, card_sha256=file_sha256(tmp_path / CARD_FILE)).card
    assert card.ignored_pixels is not None
    assert np.array_equal(card.ignored_pixels, ignored)
