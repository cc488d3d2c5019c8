from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qc_worker.domain.errors import TrainingError
from tests.unit.trainer.factories import LIMITS
from trainer.datasets.masks import as_png, read_mask
from trainer.judging.mask_overlap import MaskOverlap, Overlap, median_overlap, overlap

SIZE = (40, 30)
BOX = (10, 5, 20, 25)


def a_mask() -> Image.Image:
    mask = Image.new("L", SIZE)
    mask.paste(255, BOX)
    return mask


def coloured(background: int | tuple[int, ...], mark: int | tuple[int, ...], mode: str) -> Image.Image:
    mask = Image.new(mode, SIZE, background)
    mask.paste(mark, BOX)
    return mask


def palette(colour: tuple[int, int, int]) -> Image.Image:
    mask = coloured(0, 1, "P")
    mask.putpalette([0, 0, 0, *colour])
    return mask


def transparent_palette() -> Image.Image:
    mask = coloured(0, 1, "P")
    mask.putpalette([255, 255, 255, 255, 255, 255])
    mask.info["transparency"] = 0
    return mask


MASKS = {
    "labels of 1": lambda: coloured(0, 1, "L"),
    "one bit": lambda: coloured(0, 1, "1"),
    "16 bits, low values": lambda: coloured(0, 3, "I;16"),
    "dark blue": lambda: coloured((0, 0, 0), (0, 0, 1), "RGB"),
    "dark palette": lambda: palette((0, 0, 2)),
    "palette of blacks": lambda: palette((0, 0, 0)),
    "transparent palette": transparent_palette,
    "alpha over white": lambda: coloured((255, 255, 255, 0), (255, 255, 255, 255), "RGBA"),
    "alpha over black": lambda: coloured((0, 0, 0, 0), (0, 0, 0, 255), "RGBA"),
    "grey with alpha": lambda: coloured((255, 0), (255, 90), "LA"),
    "half transparent red": lambda: coloured((0, 0, 0, 255), (200, 0, 0, 128), "RGBA"),
    "colours whose fourth byte is unused": lambda: coloured((0, 0, 0, 0), (9, 0, 0, 0), "RGBA"),
    "opaque": lambda: coloured((0, 0, 0, 255), (0, 9, 0, 255), "RGBA"),
}


@pytest.mark.parametrize("make", MASKS.values(), ids=list(MASKS))
def test_whatever_a_mask_marks_by_colour_label_or_alpha_is_defect(
    tmp_path: Path, make: Callable[[], Image.Image]
) -> None:
    make().save(tmp_path / "a.png")
    assert np.array_equal(read_mask([tmp_path / "a.png"], LIMITS), np.asarray(a_mask()) > 0)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA", "P", "I;16"])
@pytest.mark.parametrize("opaque", [True, False])
def test_an_empty_mask_marks_nothing(tmp_path: Path, mode: str, opaque: bool) -> None:
    mask = Image.new(mode, SIZE)
    if opaque and mode in ("RGBA", "LA"):
        mask.putalpha(255)
    mask.save(tmp_path / "a.png")
    assert not read_mask([tmp_path / "a.png"], LIMITS).any()


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 255), (90, 90, 90), (200, 0, 0)])
@pytest.mark.parametrize(("suffix", "quality"), [("jpg", 50), ("webp", 30)])
def test_noise_of_lossy_formats_is_no_defect(
    tmp_path: Path, colour: tuple[int, int, int], suffix: str, quality: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    coloured((0, 0, 0), colour, "RGB").resize((320, 240), Image.Resampling.NEAREST).save(path, quality=quality)
    true = np.asarray(a_mask().resize((320, 240), Image.Resampling.NEAREST)) > 0
    found = overlap(read_mask([path], LIMITS), true)
    assert found is not None
    assert found.iou > 0.93


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_an_empty_mask_of_a_lossy_format_marks_nothing(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", SIZE).save(tmp_path / f"a.{suffix}", quality=30)
    assert not read_mask([tmp_path / f"a.{suffix}"], LIMITS).any()


def test_low_labels_of_a_lossless_webp_count(tmp_path: Path) -> None:
    coloured((0, 0, 0), (1, 0, 0), "RGB").save(tmp_path / "a.webp", lossless=True, exact=True)
    assert read_mask([tmp_path / "a.webp"], LIMITS).sum() == 200


def test_files_of_one_mask_are_laid_over_each_other(tmp_path: Path) -> None:
    for name, box in (("a", (0, 0, 4, 4)), ("b", (2, 2, 6, 6))):
        part = Image.new("L", SIZE)
        part.paste(9, box)
        part.save(tmp_path / f"{name}.png")
    assert read_mask([tmp_path / "a.png", tmp_path / "b.png"], LIMITS).sum() == 28
    Image.new("L", (4, 4)).save(tmp_path / "c.png")
    with pytest.raises(TrainingError, match="differ in size"):
        read_mask([tmp_path / "a.png", tmp_path / "c.png"], LIMITS)


def test_a_mask_of_any_label_becomes_a_png_of_black_and_white(tmp_path: Path) -> None:
    coloured(0, 1, "L").save(tmp_path / "a.bmp")
    (tmp_path / "b.png").write_bytes(as_png(read_mask([tmp_path / "a.bmp"], LIMITS)))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(a_mask()))


def test_a_file_that_is_no_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    for path in (tmp_path / "a.png", tmp_path / "nowhere.png", tmp_path):
        with pytest.raises(TrainingError, match=f"{path.name} cannot be read"):
            read_mask([path], LIMITS)


def test_a_mask_of_more_pixels_than_are_decoded_is_refused_in_one_line(tmp_path: Path) -> None:
    Image.new("1", (14_000, 14_000)).save(tmp_path / "a.png")
    with pytest.raises(TrainingError, match=r"a\.png cannot be read.*196000000 pixels"):
        read_mask([tmp_path / "a.png"], LIMITS)


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
