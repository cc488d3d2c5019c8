from pathlib import Path

import pytest
import torch

from tests.unit.trainer.factories import INPUT_SIZE, no_progress
from tests.unit.trainer.test_features import features
from trainer.feature_cache import NAME
from trainer.features import FeatureCounts
from trainer.validation import SyntheticFrame, ValidationFrames, draw_synthetic, validation_frames

SIDE = INPUT_SIZE // 8
SAMPLE = "ab" * 32


def synthetic(mask: torch.Tensor) -> SyntheticFrame:
    return SyntheticFrame(SAMPLE, torch.zeros(3, INPUT_SIZE, INPUT_SIZE, dtype=torch.uint8), mask)


def test_a_defect_is_the_same_whenever_it_is_drawn_and_whatever_else_is(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=3)
    one = draw_synthetic(frames.reader, samples, advance=no_progress)
    other = draw_synthetic(frames.reader, samples[2:], advance=no_progress)
    assert torch.equal(one[2].pixels, other[0].pixels)
    assert one[2].name == other[0].name
    assert all(bool(frame.mask.any()) for frame in one)


def test_a_synthetic_frames_name_is_one_that_the_cache_takes_and_says_what_is_in_it() -> None:
    dark = synthetic(torch.zeros(INPUT_SIZE, INPUT_SIZE, dtype=torch.bool))
    bright = SyntheticFrame(SAMPLE, dark.pixels + 1, dark.mask)
    assert NAME.fullmatch(dark.name)
    assert dark.name != bright.name


def test_even_the_smallest_defect_has_a_cell() -> None:
    mask = torch.zeros(INPUT_SIZE, INPUT_SIZE, dtype=torch.bool)
    mask[9, 17] = True
    assert synthetic(mask).cells((SIDE, SIDE)).nonzero().flatten().tolist() == [SIDE + 2]


def test_features_of_synthetic_frames_are_computed_once(tmp_path: Path) -> None:
    frames, samples = features(tmp_path, good=3, patches_per_frame=20)
    drawn = draw_synthetic(frames.reader, samples, advance=no_progress)
    counts = FeatureCounts()
    first = validation_frames(frames, drawn, counts, advance=no_progress)
    files = {path: path.stat().st_ino for path in frames.shelf.folder.glob("*.features")}
    again = validation_frames(frames, drawn, counts, advance=no_progress)
    assert files == {path: path.stat().st_ino for path in frames.shelf.folder.glob("*.features")}
    assert (counts.computed, counts.cached) == (3, 3)
    assert all(torch.equal(one, other) for one, other in zip(first.synthetic, again.synthetic, strict=True))
    assert all(
        len(rows) == len(defective) == 20 for rows, defective in zip(first.synthetic, first.defective, strict=True)
    )
    assert all(bool(defective.any()) for defective in first.defective)


@pytest.mark.parametrize(("shift", "expected"), [(4.0, 1.0), (0.0, 0.5)])
def test_the_auroc_is_one_where_defects_stand_out_and_a_half_where_they_do_not(shift: float, expected: float) -> None:
    class Distance(torch.nn.Module):
        """A head that takes the first channel for the score."""

        def __init__(self) -> None:
            super().__init__()
            self.standardiser = torch.nn.Identity()
            self.standardiser.register_buffer("mean", torch.zeros(1))
            self.adaptor = torch.nn.Identity()

        def discriminator(self, rows: torch.Tensor) -> torch.Tensor:
            return -rows[:, 0]

    good = torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
    defective = torch.tensor([True, True, False, False, False, False])
    frames = ValidationFrames((good,), (good + shift * defective[:, None],), (torch.ones(6, dtype=torch.bool),))
    found = ValidationFrames(frames.good, frames.synthetic, (defective if shift else torch.ones_like(defective),))
    assert found.auroc(Distance(), dtype=torch.float32) == pytest.approx(expected)  # type: ignore[arg-type]
