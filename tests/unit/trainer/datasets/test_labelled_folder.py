import csv
from collections import Counter
from pathlib import Path

import pytest

from qc_worker.domain.errors import SettingsError
from trainer.datasets.labelled import DataSet
from trainer.datasets.labelled_folder import labelled_images, open_dataset, products
from trainer.datasets.layouts.names import is_bad, is_good, is_masks


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def training(dataset: DataSet) -> list[str]:
    return [path.relative_to(dataset.folder).as_posix() for kind in dataset.training for path in kind.files]


def masks_by_name(dataset: DataSet) -> dict[str, list[str]]:
    """Masks of each test image, by the image's name."""
    images = [image for kind in dataset.test for image in kind.images()]
    return {image.name: [mask.relative_to(dataset.folder).as_posix() for mask in image.masks] for image in images}


MVTEC = ("train/good/0.png", "test/good/0.png", "test/bent/0.png", "test/bent/1.png", "ground_truth/bent/0_mask.png")
"""With one mask that is missing."""


def test_mvtec_ad(tmp_path: Path) -> None:
    dataset = open_dataset(touch(tmp_path, *MVTEC, "readme.txt", "license.txt"))
    assert training(dataset) == ["train/good/0.png"]
    assert masks_by_name(dataset) == {
        "good/0.png": [],
        "bent/0.png": ["ground_truth/bent/0_mask.png"],
        "bent/1.png": [],
    }
    assert dataset.unused_masks == ()


def test_mvtec_loco(tmp_path: Path) -> None:
    dataset = open_dataset(
        touch(
            tmp_path,
            *("train/good/000.png", "validation/good/000.png", "test/good/000.png", "test/logical_anomalies/000.png"),
            *("test/structural_anomalies/000.png", "defects_config.json"),
            *(f"ground_truth/{kind}_anomalies/000/000.png" for kind in ("logical", "structural")),
            "ground_truth/logical_anomalies/000/001.png",
        )
    )
    assert training(dataset) == ["train/good/000.png", "validation/good/000.png"]
    assert masks_by_name(dataset) == {
        "good/000.png": [],
        "logical_anomalies/000.png": [f"ground_truth/logical_anomalies/000/00{number}.png" for number in (0, 1)],
        "structural_anomalies/000.png": ["ground_truth/structural_anomalies/000/000.png"],
    }


def test_mvtec_ad_2(tmp_path: Path) -> None:
    dataset = open_dataset(
        touch(
            tmp_path,
            *("train/good/0_regular.png", "validation/good/1_regular.png", "test_private/2.png"),
            *("test_public/good/3_regular.png", "test_public/bad/4_shift.png"),
            "test_public/ground_truth/bad/4_shift_mask.png",
        )
    )
    assert len(training(dataset)) == 2
    assert masks_by_name(dataset) == {
        "good/3_regular.png": [],
        "bad/4_shift.png": ["test_public/ground_truth/bad/4_shift_mask.png"],
    }


def test_mvtec_3d(tmp_path: Path) -> None:
    names = ("train/good", "validation/good", "test/good", "test/bent")
    folder = touch(tmp_path, *(f"{name}/{part}" for name in names for part in ("rgb/0.png", "xyz/0.tiff", "gt/0.png")))
    dataset = open_dataset(folder)
    assert training(dataset) == ["train/good/rgb/0.png", "validation/good/rgb/0.png"]
    assert masks_by_name(dataset) == {"good/0.png": [], "bent/0.png": ["test/bent/gt/0.png"]}
    assert len(dataset.left_out["folder beside rgb"]) == 4


def test_masks_in_a_folder_among_a_kinds_images_are_no_images(tmp_path: Path) -> None:
    folder = touch(tmp_path, "train/good/0.png", "test/good/1.png", "test/bent/2.png", "test/bent/masks/2.png")
    assert masks_by_name(open_dataset(folder))["bent/2.png"] == ["test/bent/masks/2.png"]
    assert len(masks_by_name(open_dataset(folder))) == 2


def test_images_in_no_folder_of_a_kind_are_taken_for_good_in_a_training_folder_alone(tmp_path: Path) -> None:
    folder = touch(tmp_path, "train/0.png", "test/1.png", "test/good/2.png", "test/bent/3.png")
    dataset = open_dataset(folder)
    assert (training(dataset), list(masks_by_name(dataset))) == (["train/0.png"], ["good/2.png", "bent/3.png"])
    assert dataset.left_out["in no folder of a kind"] == (folder / "test/1.png",)


def test_btad(tmp_path: Path) -> None:
    dataset = open_dataset(touch(tmp_path, "train/ok/0.bmp", "test/ok/1.bmp", "test/ko/2.bmp", "ground_truth/ko/2.png"))
    assert training(dataset) == ["train/ok/0.bmp"]
    assert masks_by_name(dataset) == {"good/1.bmp": [], "ko/2.bmp": ["ground_truth/ko/2.png"]}


def test_supervised_sets_have_defects_to_train_on_too(tmp_path: Path) -> None:
    folder = touch(
        tmp_path, *(f"{part}/{kind}_front/{part}.jpg" for part in ("train", "test") for kind in ("ok", "def"))
    )
    dataset = open_dataset(folder)
    assert Counter(kind.is_good for kind in dataset.training) == {True: 1, False: 1}
    assert masks_by_name(dataset) == {"good/test.jpg": [], "def_front/test.jpg": []}


def test_letters_of_folders_do_not_matter(tmp_path: Path) -> None:
    folder = touch(tmp_path, "Train/Good/0.png", "TEST/OK/0.png", "TEST/Scratch/0.png", "Ground-Truth/scratch/0_GT.PNG")
    assert masks_by_name(open_dataset(folder))["Scratch/0.png"] == ["Ground-Truth/scratch/0_GT.PNG"]


def test_masks_beside_test_images_are_no_images(tmp_path: Path) -> None:
    dataset = open_dataset(
        touch(tmp_path, "train/good/0.png", "test/good/1.png", "test/bad/2.png", "test/bad/2_GT.png")
    )
    assert masks_by_name(dataset) == {"good/1.png": [], "bad/2.png": ["test/bad/2_GT.png"]}


def test_masks_of_no_image_are_told_but_not_those_of_good_ones(tmp_path: Path) -> None:
    folder = touch(tmp_path, *MVTEC, "ground_truth/bent/9_mask.png", "ground_truth/good/0_mask.png")
    assert open_dataset(folder).unused_masks == (tmp_path / "ground_truth/bent/9_mask.png",)


def visa(folder: Path, rows: list[tuple[str, str, str]] | None = None) -> Path:
    """`rows`: split, label, image."""
    product = folder / "candle"
    touch(product, *(f"Data/Images/Normal/{number:04}.JPG" for number in range(20)), "image_anno.csv")
    touch(product, *(f"Data/Images/Anomaly/{number:03}.JPG" for number in range(2)), "Data/Masks/Anomaly/000.png")
    if rows is not None:
        (folder / "split_csv").mkdir()
        with (folder / "split_csv" / "1cls.csv").open("w", newline="", encoding="utf-8-sig") as file:
            table = csv.writer(file)
            table.writerow(["object", "split", "label", "image", "mask"])
            table.writerow(["capsules", "test", "normal", "capsules/Data/Images/Normal/0000.JPG", ""])
            table.writerows(["candle", split, label, f"candle/Data/Images/{image}", ""] for split, label, image in rows)
    return product


def test_visa_is_split_as_its_table_says(tmp_path: Path) -> None:
    rows = [("train", "normal", f"Normal/{number:04}.JPG") for number in range(17)]
    rows += [
        ("test", "normal", "Normal/0018.JPG"),
        ("test", "anomaly", "Anomaly/000.JPG"),
        ("test", "anomaly", "x/y.JPG"),
    ]
    dataset = open_dataset(visa(tmp_path, rows))
    assert training(dataset) == [f"Data/Images/Normal/{number:04}.JPG" for number in range(17)]
    assert masks_by_name(dataset) == {"good/0018.JPG": [], "Anomaly/000.JPG": ["Data/Masks/Anomaly/000.png"]}
    assert [path.name for path in dataset.left_out["not in the split table"]] == ["0017.JPG", "0019.JPG", "001.JPG"]
    assert "1cls.csv" in dataset.layout


def test_visa_without_a_table_keeps_every_tenth_good_image_for_the_test(tmp_path: Path) -> None:
    for folder, rows in ((tmp_path / "a", None), (tmp_path / "b", [])):
        dataset = open_dataset(visa(folder, rows))
        assert (len(training(dataset)), len(masks_by_name(dataset))) == (18, 4)
        assert [name for name in masks_by_name(dataset) if name.startswith("good")] == [
            "good/0000.JPG",
            "good/0010.JPG",
        ]


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    product = visa(tmp_path, [])
    for content in (b"object,split\ncandle,train\n", b"object,\xff\n"):
        (tmp_path / "split_csv" / "1cls.csv").write_bytes(content)
        with pytest.raises(SettingsError, match=r"1cls\.csv"):
            open_dataset(product)


def test_a_folder_of_several_products_is_refused_and_one_of_one_is_taken(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "bottle", *MVTEC)
    assert open_dataset(tmp_path / "one").folder == tmp_path / "one" / "bottle"
    touch(tmp_path / "one" / "1cls" / "candle", *MVTEC)
    assert products(tmp_path / "one") == [tmp_path / "one" / "bottle"]
    touch(tmp_path / "one" / "cable", *MVTEC)
    with pytest.raises(SettingsError, match=r"contains 2 data sets \(bottle, cable\).*--dataset .*/bottle"):
        open_dataset(tmp_path / "one")


def test_a_test_lists_good_images_first_and_needs_both(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/aa/0.png", "test/good/0.png", "test/zz/0.png")
    assert [image.kind for image in labelled_images(tmp_path)] == ["good", "aa", "zz"]
    (tmp_path / "test/good/0.png").unlink()
    with pytest.raises(SettingsError, match="test/good contains no image files"):
        labelled_images(tmp_path)


@pytest.mark.parametrize("name", ["good", "OK", "Normal", "ok_front", "good_parts", "defect-free", "no_defect"])
def test_names_of_good_parts(name: str) -> None:
    assert (is_good(name), is_bad(name)) == (True, False)


@pytest.mark.parametrize(
    "name", ["bad", "KO", "NG", "nok", "not_good", "not ok", "Anomaly", "defects", "def_front", "n.i.o"]
)
def test_names_of_defects(name: str) -> None:
    assert not is_good(name)


@pytest.mark.parametrize("name", ["scratch", "monday", "cam1", "goods_in", "2026-11-23", "crack"])
def test_names_that_say_neither(name: str) -> None:
    assert (is_good(name), is_bad(name), is_masks(name)) == (False, False, False)
