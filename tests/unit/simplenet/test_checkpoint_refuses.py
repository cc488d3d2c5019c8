"""Model folders that are damaged, forged or of another version are refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
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
from qc_worker.imaging.defects import encode_mask
from qc_worker.simplenet import checkpoint
from qc_worker.simplenet.checkpoint import (
    CARD_FILE,
    HEAD_FILE,
    file_sha256,
    load_model,
)
from tests.unit.simplenet.factories import a_card, a_head, a_shape, an_embedding_spec, reseal

State = dict[str, Tensor]


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
    del state["adaptors.0.projection.bias"]


def with_another_tensor(state: State) -> None:
    state["extra"] = torch.zeros(1)


def with_another_shape(state: State) -> None:
    state["standardiser.mean"] = torch.zeros(7)


def with_another_type(state: State) -> None:
    state["standardiser.mean"] = state["standardiser.mean"].double()


def with_infinity(state: State) -> None:
    state["discriminators.1.body.weight"][0, 0] = float("inf")


def with_zero_deviation(state: State) -> None:
    state["standardiser.std"][0] = 0.0


def with_zero_scale(state: State) -> None:
    state["scale"][0] = 0.0


def with_a_component_too_few(state: State) -> None:
    state["whitenings.0.centres"] = state["whitenings.0.centres"][1:].clone()


def with_negative_variance(state: State) -> None:
    state["discriminators.0.norm.running_var"][0] = -1.0


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
        with_zero_scale,
        with_a_component_too_few,
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
        {"channels": 6},
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
    reseal(folder, schema_version="1.0", channels=6, hidden=5, cells=8, head=None)
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


HEAD = asdict(a_shape())


MASK_HEAD = asdict(a_shape((3, 2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"level_channels": [4, 3]}, {"adapted": [4, 1]},
        {"components": [3, 4]}, {"components": [3, 0]}, {"components": [4_096, 4_096]},
        {"discriminators": [[0, 1]]}, {"discriminators": [[0, 1], [1]]}, {"hidden": 4}, {"cells": [8, 8]},
    ],
)  # fmt: skip
def test_a_head_of_another_size_than_its_card_states_is_refused(folder: Path, changes: dict[str, object]) -> None:
    reseal(folder, head={**HEAD, **changes})
    with pytest.raises(ModelError, match=HEAD_FILE):
        load_model(folder)


def test_a_head_too_large_for_any_of_ours_is_refused_before_memory_is_taken(folder: Path) -> None:
    reseal(folder, head={**HEAD, "level_channels": [8_000, 8_000], "adapted": [8_000, 8_000]})
    with pytest.raises(ModelError, match="is too large"):
        load_model(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"level_channels": [0, 2]}, {"level_channels": [-4, 2]}, {"level_channels": [10**9, 2]},
        {"level_channels": [], "adapted": [], "components": []}, {"level_channels": [4], "adapted": [4]},
        {"level_channels": [4], "adapted": [4], "components": [3], "discriminators": [[0]]},
        {"level_channels": [1] * 10**5, "adapted": [1] * 10**5, "components": [0] * 10**5},
        {"adapted": [5, 2]}, {"adapted": [0, 2]}, {"adapted": [-1, 2]},
        {"components": [-1, 2]}, {"components": [10**9, 2]}, {"components": [0, 0], "discriminators": []},
        {"discriminators": [[]]}, {"discriminators": [[2]]}, {"discriminators": [[-1]]}, {"discriminators": [[1, 0]]},
        {"discriminators": [[0] * 10**5]}, {"discriminators": [[0]] * 10**5},
        {"nearest": 0}, {"nearest": -1}, {"nearest": 10**9},
        {"hidden": 0}, {"hidden": -1}, {"hidden": 10**9}, {"hidden": 10**400},
        {"cells": [0, 0]}, {"cells": [-8, 8]}, {"cells": [4, 4]}, {"cells": [10**9, 10**9]}, {"cells": [8]},
        {"unknown": 1}, {"level_channels": "many"}, {"adapted": None},
        {"mask_head": {**MASK_HEAD, "hidden": 0}}, {"mask_head": {**MASK_HEAD, "mask_head": MASK_HEAD}},
        {"mask_head": {**MASK_HEAD, "cells": [3, 3]}}, {"mask_head": "yes"}, {"mask_head": MASK_HEAD},
    ],
)  # fmt: skip
def test_a_head_that_cannot_be_is_refused_in_one_line(folder: Path, changes: dict[str, object]) -> None:
    reseal(folder, head={**HEAD, **changes})
    with pytest.raises(ModelError, match=CARD_FILE) as refused:
        load_model(folder)
    message = str(refused.value).replace(str(folder), "")
    assert len(message.splitlines()) == 1
    assert len(message) < 400


@pytest.mark.parametrize("limit", ["MAX_HEAD_BYTES", "MAX_CARD_BYTES"])
def test_an_oversized_file_is_refused_before_it_is_parsed(
    folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, limit, 100)
    with pytest.raises(ModelError, match="more than 100 bytes"):
        load_model(folder)


def test_a_card_keeps_numbers_that_are_not_finite_out() -> None:
    with pytest.raises(ValidationError):
        a_card(a_head(), duration_s=float("nan"))


@pytest.mark.parametrize("grid_stride", [-8, 0, 8, 64])
def test_cells_have_the_stride_of_a_level(grid_stride: int) -> None:
    with pytest.raises(ValidationError, match="none of the levels"):
        a_card(a_head(), embedding=an_embedding_spec(levels=(16, 32), grid_stride=grid_stride))


@pytest.mark.parametrize("cells", [(8, 8), (1, 1)])
def test_parts_are_normalised_at_the_grids_cells_or_at_all_alike(cells: tuple[int, int]) -> None:
    a_card(a_head(cells=cells))
    with pytest.raises(ValidationError, match="for a grid of"):
        a_card(a_head(cells=(8, 4)))


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
