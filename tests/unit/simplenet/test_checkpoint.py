import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet import checkpoint
from qc_worker.simplenet.checkpoint import (
    CARD_FILE,
    HEAD_FILE,
    file_sha256,
    head_sha256,
    load_model,
    new_version,
    save_model,
)
from qc_worker.simplenet.localise import encode_mask
from tests.unit.simplenet.factories import a_card, a_head, an_embedding_spec

State = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    head = a_head()
    save_model(tmp_path / "model", head, a_card(head))
    return tmp_path / "model"


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    head = a_head()
    card = save_model(tmp_path, head, a_card(head))
    model = load_model(tmp_path, card_sha256=file_sha256(tmp_path / CARD_FILE))
    assert model.card == card
    assert card.head_sha256 == head_sha256(head) == file_sha256(tmp_path / HEAD_FILE)
    assert not model.head.training
    embedding = torch.randn(1, 6, 4, 4)
    assert torch.equal(model.head.patch_scores(embedding), head.patch_scores(embedding))


def test_nothing_but_the_two_files_is_left(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CARD_FILE, HEAD_FILE]


def test_a_version_sorts_by_time_and_differs_by_content() -> None:
    card = a_card(a_head())
    assert new_version(card.created_at, "0123456789") == "20261123T120000-01234567"


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([CARD_FILE, HEAD_FILE]), where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_refused(folder: Path, name: str, where: float, flip: int) -> None:
    stated = file_sha256(folder / CARD_FILE)
    original = (folder / name).read_bytes()
    altered = bytearray(original)
    altered[int(where * len(altered))] ^= flip
    (folder / name).write_bytes(altered)
    try:
        with pytest.raises(ModelError):
            load_model(folder, card_sha256=stated)
    finally:
        (folder / name).write_bytes(original)


@pytest.mark.parametrize("name", [CARD_FILE, HEAD_FILE])
def test_a_truncated_or_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-10])
    with pytest.raises(ModelError):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder)


def without_bias(state: State) -> None:
    del state["adaptor.projection.bias"]


def with_another_tensor(state: State) -> None:
    state["extra"] = torch.zeros(1)


def with_another_shape(state: State) -> None:
    state["standardiser.mean"] = torch.zeros(7)


def with_another_type(state: State) -> None:
    state["standardiser.mean"] = state["standardiser.mean"].double()


def with_infinity(state: State) -> None:
    state["discriminator.body.weight"][0, 0] = float("inf")


def with_zero_deviation(state: State) -> None:
    state["standardiser.std"][0] = 0.0


def with_negative_variance(state: State) -> None:
    state["discriminator.norm.running_var"][0] = -1.0


@pytest.mark.parametrize(
    "change",
    [
        without_bias,
        with_another_tensor,
        with_another_shape,
        with_another_type,
        with_infinity,
        with_zero_deviation,
        with_negative_variance,
    ],
)
def test_a_head_that_does_not_fit_is_refused_even_with_a_right_digest(
    folder: Path, change: Callable[[State], None]
) -> None:
    state = load_file(folder / HEAD_FILE)
    change(state)
    save_file(state, folder / HEAD_FILE)
    reseal(folder, head_sha256=file_sha256(folder / HEAD_FILE))
    with pytest.raises(ModelError, match=HEAD_FILE):
        load_model(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": "9.0"},
        {"line": "../../etc"},
        {"channels": 0},
        {"channels": 10**9},
        {"unknown": 1},
        {"head_sha256": "short"},
        {"calibration": {"scores": [], "max_false_reject": 0.5}},
        {"calibration": {"scores": [2.0, 1.0], "max_false_reject": 0.5}},
        {"embedding": {}},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(folder: Path, changes: dict[str, object]) -> None:
    reseal(folder, **changes)
    with pytest.raises(ModelError, match=CARD_FILE):
        load_model(folder)


def test_a_model_made_by_an_earlier_version_says_to_retrain(folder: Path) -> None:
    reseal(folder, schema_version="1.0", cells=8)
    with pytest.raises(ModelError) as refused:
        load_model(folder)
    assert str(refused.value) == "this model was made by an earlier version: run `qc-trainer retrain --line A`"


@pytest.mark.parametrize("line", ["../../etc", "A; rm -r", 7, None])
def test_an_earlier_card_with_a_line_that_is_no_name_is_merely_refused(folder: Path, line: object) -> None:
    reseal(folder, schema_version="1.0", line=line)
    with pytest.raises(ModelError) as refused:
        load_model(folder)
    assert "../" not in str(refused.value).replace(str(folder), "")
    assert "rm -r" not in str(refused.value)


def test_a_rectangular_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    head = a_head(cells=(3, 5))
    card = save_model(tmp_path, head, a_card(head, embedding=an_embedding_spec(input_size=(96, 160)), cells=(3, 5)))
    model = load_model(tmp_path)
    assert (model.card, model.head.cells) == (card, (3, 5))
    assert model.card.embedding.input_size == (96, 160)


@pytest.mark.parametrize(
    "changes",
    [
        {"tiles": 0}, {"tiles": 9, "input_size": (2048, 2048)}, {"tiles": 2}, {"tiles": 2, "input_size": (250, 256)},
        {"tiles": 2, "input_size": (256, 256), "levels": (0,)}, {"levels": (-8,)},
    ],
)  # fmt: skip
def test_an_embedding_that_cannot_be_computed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="embedding"):
        a_card(a_head(), embedding=an_embedding_spec(**changes))


@pytest.mark.parametrize("input_size", [(31, 256), (256, 2049), (0, 0)])
def test_an_input_too_small_or_too_large_is_refused(input_size: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="input_size"):
        a_card(a_head(), embedding=an_embedding_spec(input_size=input_size))


@pytest.mark.parametrize("changes", [{"channels": 16_000}, {"channels": 7}, {"hidden": 4}])
def test_a_head_of_another_size_than_its_card_states_is_refused(folder: Path, changes: dict[str, object]) -> None:
    reseal(folder, **changes)
    with pytest.raises(ModelError):
        load_model(folder)


@pytest.mark.parametrize("limit", ["MAX_HEAD_BYTES", "MAX_CARD_BYTES"])
def test_an_oversized_file_is_refused_before_it_is_parsed(
    folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, limit, 100)
    with pytest.raises(ModelError, match="more than 100 bytes"):
        load_model(folder)


def test_a_folder_that_cannot_be_made_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    head = a_head()
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "file" / "model", head, a_card(head))


def test_a_card_keeps_numbers_that_are_not_finite_out() -> None:
    with pytest.raises(ValidationError):
        a_card(a_head(), duration_s=float("nan"))


def reseal(folder: Path, **changes: object) -> None:
    """Rewrite the card, as someone with access to the store could."""
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, **changes}))


@pytest.mark.parametrize("wide_stride", [-8, 16, 32])
def test_a_wide_map_is_finer_than_the_levels(wide_stride: int) -> None:
    with pytest.raises(ValidationError, match="not finer"):
        a_card(a_head(), embedding=an_embedding_spec(levels=(16, 32), wide_stride=wide_stride))


def test_the_ignored_area_comes_back_with_the_card(tmp_path: Path) -> None:
    ignored = np.zeros((64, 64), dtype=bool)
    ignored[3:40, 5:9] = True
    head = a_head()
    save_model(tmp_path, head, a_card(head, ignored=encode_mask(ignored)))
    card = load_model(tmp_path, card_sha256=file_sha256(tmp_path / CARD_FILE)).card
    assert card.ignored_pixels is not None
    assert np.array_equal(card.ignored_pixels, ignored)


@pytest.mark.parametrize(
    ("ignored", "why"),
    [
        ({"size": [64, 32], "counts": "0"}, "not the input's"),
        ({"size": [10**6, 10**6], "counts": "0"}, "not the input's"),
        ({"size": [64, 64], "counts": "no runs"}, "cannot be read"),
        ({"size": [64, 64], "counts": "5"}, "do not fill 64 x 64"),
        ({"size": [64, 64], "counts": encode_mask(np.ones((64, 64), dtype=bool)).counts}, "nothing to judge"),
    ],
)
def test_an_ignored_area_that_does_not_fit_its_model_is_refused(folder: Path, ignored: object, why: str) -> None:
    card = json.loads((folder / CARD_FILE).read_text()) | {"ignored": ignored}
    (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(ModelError, match=why):
        load_model(folder)
