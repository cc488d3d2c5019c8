from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qc_worker.domain.errors import TrainingError
from trainer.mask_overlap import MaskOverlap, Overlap, median_overlap, overlap
from trainer.masks import find_mask, mask_png, read_mask


def a_mask() -> Image.Image:
    mask = Image.new("L", (40, 30))
    mask.paste(255, (10, 5, 20, 25))
    return mask


@pytest.mark.parametrize(
    "name", ["a_mask.png", "a.png", "a.bmp", "a_mask.tif", "a.JPG", "a-mask.png", "a_gt.PNG", "a.tiff"]
)
def test_masks_are_found_under_usual_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    a_mask().save(tmp_path / "sub" / name)
    found = find_mask(tmp_path, Path("sub/a.jpg"))
    assert found == tmp_path / "sub" / name
    assert read_mask(found).sum() == pytest.approx(200, abs=4)


def test_a_mask_named_as_such_wins_over_a_picture_of_the_same_stem(tmp_path: Path) -> None:
    for name in ("a.png", "a_mask.bmp", "a_mask.png"):
        a_mask().save(tmp_path / name)
    assert find_mask(tmp_path, Path("a.jpg")) == tmp_path / "a_mask.png"


def test_masks_of_other_images_are_not_taken(tmp_path: Path) -> None:
    for name in ("ab.png", "b_mask.png", "a_mask.txt"):
        a_mask().save(tmp_path / name, "PNG")
    assert find_mask(tmp_path, Path("a.jpg")) is None
    assert find_mask(tmp_path / "nowhere", Path("a.jpg")) is None


def test_noise_of_jpeg_is_no_defect(tmp_path: Path) -> None:
    a_mask().save(tmp_path / "a.jpg", quality=50)
    assert (np.asarray(Image.open(tmp_path / "a.jpg")) > 0).sum() > 200
    assert np.array_equal(read_mask(tmp_path / "a.jpg"), np.asarray(a_mask()) > 0)


def test_a_mask_of_any_label_becomes_a_png_of_black_and_white(tmp_path: Path) -> None:
    Image.fromarray((np.asarray(a_mask()) > 0).astype(np.uint8)).save(tmp_path / "a.bmp")
    (tmp_path / "b.png").write_bytes(mask_png(tmp_path / "a.bmp"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(a_mask()))


def test_a_file_that_is_no_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(TrainingError, match=r"a\.png cannot be read"):
        read_mask(tmp_path / "a.png")


def test_overlap_counts_pixels() -> None:
    mask, truth = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    mask[:2], truth[1, :2] = True, True
    assert overlap(mask, truth) == Overlap(iou=2 / 8, area_ratio=4.0)
    assert overlap(~truth, truth) == Overlap(iou=0.0, area_ratio=7.0)
    assert overlap(mask, np.zeros_like(truth)) is None


def test_overlaps_are_summed_up_by_their_medians() -> None:
    overlaps = [Overlap(0.1, 9.0), Overlap(0.5, 2.0), Overlap(0.3, 4.0)]
    assert median_overlap(overlaps) == MaskOverlap(n=3, iou=0.3, area_ratio=4.0)
    assert median_overlap([]) is None
