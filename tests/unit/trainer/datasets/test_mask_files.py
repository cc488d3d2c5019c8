from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.datasets.mask_files import ENDINGS, PREFIXES, SUFFIXES, masks_beside, match_masks


def touch(*paths: Path) -> list[Path]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return list(paths)


def found(tmp_path: Path, image: str, *masks: str) -> list[str]:
    """Names of the masks of one image, below `masks`."""
    (path,) = touch(tmp_path / "images" / image)
    touch(*(tmp_path / "masks" / name for name in masks))
    matched = match_masks([path], tmp_path / "images", tmp_path / "masks")
    return [mask.relative_to(tmp_path / "masks").as_posix() for mask in matched.of(path)]


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".JPG", ".tiff", ".gif"])
@pytest.mark.parametrize("name", ["{}_mask", "{}-mask", "{}_gt", "{}_GT", "{}_Mask", "{}_label", "{}", "mask_{}"])
def test_masks_are_found_under_usual_names(tmp_path: Path, name: str, suffix: str) -> None:
    mask = f"sub/{name.format('Part1')}{suffix}"
    assert found(tmp_path, "sub/Part1.jpg", mask) == [mask]


@pytest.mark.parametrize("mask", ["a.jpg.png", "a.jpg_mask.png", "A_mask.png"])
def test_masks_may_be_named_after_the_whole_file_or_in_other_letters(tmp_path: Path, mask: str) -> None:
    assert found(tmp_path, "a.jpg", mask) == [mask]


@pytest.mark.parametrize(
    "masks", [("000/000.png", "000/001.png"), ("000_mask_0.png", "000_mask_1.png"), ("000_mask1.png", "000_mask2.png")]
)
def test_a_mask_in_several_files_is_found_whole(tmp_path: Path, masks: tuple[str, ...]) -> None:
    assert found(tmp_path, "000.png", *masks) == list(masks)


def test_the_most_telling_name_wins_and_then_lossless_formats(tmp_path: Path) -> None:
    assert found(tmp_path, "a.jpg", "a.png", "a_gt.png", "a_mask.jpg", "a_mask.bmp", "a_mask.png") == ["a_mask.png"]


def test_masks_of_other_images_are_not_taken_and_named_as_unused(tmp_path: Path) -> None:
    (image,) = touch(tmp_path / "images" / "a.jpg")
    touch(*(tmp_path / "masks" / name for name in ("ab.png", "b_mask.png", "a_1.png", "a_mask.txt", "c/a_x.png")))
    matched = match_masks([image], tmp_path / "images", tmp_path / "masks")
    assert matched.masks == {}
    assert [path.name for path in matched.unused] == ["a_1.png", "ab.png", "b_mask.png", "a_x.png"]


def test_masks_are_found_below_the_folder_named_like_the_images(tmp_path: Path) -> None:
    images = touch(tmp_path / "test" / "scratch" / "0.png")
    touch(tmp_path / "truth" / "scratch" / "0_mask.png", tmp_path / "truth" / "bent" / "0_mask.png")
    matched = match_masks(images, tmp_path / "test" / "scratch", tmp_path / "truth")
    assert matched.of(images[0]) == (tmp_path / "truth" / "scratch" / "0_mask.png",)


def test_masks_in_one_folder_are_found_for_images_whose_name_is_the_only_one(tmp_path: Path) -> None:
    root, masks = tmp_path / "test", tmp_path / "truth"
    images = touch(root / "scratch" / "0.png", root / "scratch" / "1.png", root / "bent" / "1.png")
    touch(masks / "0_mask.png", masks / "1_mask.png")
    matched = match_masks(images, root, masks)
    assert matched.masks == {images[0]: (masks / "0_mask.png",)}


def test_a_mask_missing_in_its_own_folder_is_not_taken_from_another_kind(tmp_path: Path) -> None:
    root, masks = tmp_path / "test", tmp_path / "truth"
    images = touch(root / "scratch" / "5.png", root / "scratch" / "6.png")
    touch(masks / "scratch" / "6_mask.png", masks / "bent" / "5_mask.png")
    assert match_masks(images, root, masks).masks == {images[1]: (masks / "scratch" / "6_mask.png",)}


def test_an_image_is_no_mask_of_its_own(tmp_path: Path) -> None:
    images = touch(tmp_path / "a.png", tmp_path / "b.jpg")
    touch(tmp_path / "b_gt.png")
    matched = match_masks(images, tmp_path, tmp_path)
    assert (matched.masks, matched.unused) == ({images[1]: (tmp_path / "b_gt.png",)}, ())


def test_masks_beside_their_pictures_are_told_from_them(tmp_path: Path) -> None:
    files = touch(*(tmp_path / name for name in ("0.png", "0_GT.png", "Part0.jpg", "Part0_label.bmp", "x_mask.png")))
    beside = masks_beside(files)
    assert beside.masks == {files[0]: (files[1],), files[2]: (files[3],)}  # there is no x.png: a picture like others
    assert masks_beside([*files, *touch(tmp_path / "0_mask.png")]).unused == (files[1],)


@given(
    stem=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=6),
    name=st.sampled_from([*(f"{{}}{ending}" for ending in ("", *ENDINGS)), *(f"{prefix}{{}}" for prefix in PREFIXES)]),
    suffix=st.sampled_from(SUFFIXES),
    spelled=st.sampled_from([str.lower, str.upper, str]),
)
def test_every_name_that_people_are_told_of_is_found(
    stem: str, name: str, suffix: str, spelled: Callable[[str], str]
) -> None:
    with TemporaryDirectory() as folder:
        mask = spelled(f"{name.format(stem)}{suffix}")
        assert found(Path(folder), f"{stem}.jpg", mask) == [mask]
