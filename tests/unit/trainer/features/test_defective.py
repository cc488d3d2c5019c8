"""On the real backbone, with tiny pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qc_worker.simplenet.regions import Ignored
from tests.unit.trainer.factories import INPUT_SIZE, no_progress
from tests.unit.trainer.features.test_extract import features
from trainer.features import defective as module
from trainer.features.cache import NAME
from trainer.features.defective import COVERED_SHARE, DefectiveFeatures, Twin, defective_features, twins
from trainer.features.extract import FrameFeatures

SIDE = INPUT_SIZE // 8
SAMPLE = "ab" * 32


def found(frames: FrameFeatures, chosen: list[Twin]) -> Tensor:
    """Rows of all samples that were drawn on, one below the other."""
    return torch.cat(list(defective_features(frames, chosen, advance=no_progress).covered.values()))


def notes_of(frames: FrameFeatures, chosen: list[Twin]) -> list[tuple[int, str]]:
    """Progress that is told."""
    notes: list[tuple[int, str]] = []

    def told(steps: int, note: str = "") -> None:
        notes.append((steps, note))

    defective_features(frames, chosen, advance=told)
    return notes


def files(frames: FrameFeatures) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in frames.shelf.folder.glob("*.features")}


def test_every_sample_is_drawn_on_before_any_is_again() -> None:
    chosen = twins(["aa", "bb", "cc"], 7)
    assert [twin.sample for twin in chosen] == ["aa", "bb", "cc", "aa", "bb", "cc", "aa"]
    assert [twin.repeat for twin in chosen] == [0, 0, 0, 1, 1, 1, 2]
    assert twins(["aa", "bb"], 0) == []


def test_a_name_is_one_that_the_cache_takes_and_says_how_the_defect_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {twin.name for twin in twins([SAMPLE, "cd" * 32], 6)}
    assert len(names) == 6
    assert all(NAME.fullmatch(name) for name in names)
    monkeypatch.setattr(module, "SYNTHETIC_VERSION", -1)
    assert not names & {twin.name for twin in twins([SAMPLE, "cd" * 32], 6)}


def test_features_are_computed_once_and_are_the_same_bits_from_the_shelf(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=3)
    chosen = twins(samples, 5)
    first = found(frames, chosen)
    written = files(frames)
    assert set(written) == {f"{name}.features" for twin in chosen for name in (twin.name, twin.mask_name)}
    assert notes_of(frames, chosen) == [(5, "cached")]
    assert torch.equal(first, found(frames, chosen))
    assert files(frames) == written


def test_a_defect_is_the_same_whatever_others_are_drawn_beside_it(tmp_path: Path) -> None:
    frames, samples = features(tmp_path / "one", good=3)
    other, _ = features(tmp_path / "other", good=3)
    together = defective_features(frames, twins(samples, 6), advance=no_progress).covered
    assert list(together) == samples
    for index, sample in enumerate(samples):
        alone = [found(other, [twins(samples, 6)[index + first]]) for first in (0, 3)]
        assert torch.equal(together[sample], torch.cat(alone))


def test_another_repeat_is_another_defect(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=1)
    one, other = (found(frames, [twin]) for twin in twins(samples, 2))
    assert one.shape != other.shape or not torch.equal(one, other)


def test_none_are_asked_for_none_are_given(tmp_path: Path) -> None:
    frames, _ = features(tmp_path, good=1)
    assert defective_features(frames, [], advance=no_progress) == DefectiveFeatures({}, [])
    assert not files(frames)


def covers(monkeypatch: pytest.MonkeyPatch, mask: Ignored) -> None:
    """Let every synthetic defect be a bright patch at `mask`."""

    def drawn(pixels: Tensor, random: np.random.Generator) -> tuple[Tensor, Ignored]:
        return torch.where(torch.from_numpy(mask), 255, pixels.contiguous()).to(torch.uint8), mask

    monkeypatch.setattr(module, "synthetic_defect", drawn)


def a_mask(top: int, left: int, bottom: int, right: int) -> Ignored:
    mask = np.zeros((INPUT_SIZE, INPUT_SIZE), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "cells"),
    [
        (a_mask(8, 16, 24, 32), [10, 11, 18, 19]),
        (a_mask(8, 16, 24, 33), [10, 11, 18, 19]),  # an eighth of the next cells is not enough
        (a_mask(8, 16, 24, 34), [10, 11, 12, 18, 19, 20]),
        (a_mask(9, 17, 10, 18), [10]),  # the smallest defect has a cell
    ],
)
def test_cells_count_that_the_defect_covers_by_a_quarter_or_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: Ignored, cells: list[int]
) -> None:
    assert COVERED_SHARE == 0.25
    covers(monkeypatch, mask)
    frames, samples = features(tmp_path, good=1)
    rows = found(frames, twins(samples, 1))
    (pixels,) = frames.reader.pictures(samples)
    painted = torch.where(torch.from_numpy(mask), 255, pixels).to(torch.uint8)
    (embedding,) = frames.scorer.embed(painted[None]).flatten(2).transpose(1, 2)
    torch.testing.assert_close(rows.float(), embedding[cells], rtol=1e-2, atol=1e-2)


def test_cells_in_the_ignored_area_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    covers(monkeypatch, a_mask(8, 16, 24, 32))
    frames, samples = features(tmp_path, good=1)
    half = replace(frames, ignored=a_mask(0, 0, 16, INPUT_SIZE))
    assert len(found(half, twins(samples, 1))) == 2


def test_a_defect_wholly_in_the_ignored_area_gives_no_features_and_is_kept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    covers(monkeypatch, a_mask(8, 16, 24, 32))
    frames, samples = features(tmp_path, good=2)
    frames = replace(frames, ignored=a_mask(0, 0, 32, INPUT_SIZE))
    assert found(frames, twins(samples, 2)).shape == (0, frames.scorer.channels)
    assert notes_of(frames, twins(samples, 2)) == [(2, "cached")]


def test_what_lies_in_the_ignored_area_has_no_influence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = a_mask(0, 0, 8, INPUT_SIZE)
    both, below = a_mask(0, 0, 24, 16), a_mask(8, 0, 24, 16)
    rows = []
    for name, mask in (("both", both), ("below", below)):
        covers(monkeypatch, mask)
        frames, samples = features(tmp_path / name, good=1)
        rows.append(found(replace(frames, ignored=ignored), twins(samples, 1)))
    assert torch.equal(*rows)
