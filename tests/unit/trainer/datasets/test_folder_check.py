from pathlib import Path

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.feedback import Judgement
from tests.unit.trainer.factories import LIMITS, LINE
from trainer.samples.folders.import_folders import ImportFolder


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def chosen(folder: Path, *, defect: bool = False, masks: Path | None = None) -> int:
    """How many files an import of this folder would take."""
    judgement = Judgement.DEFECT if defect else Judgement.GOOD
    return len(ImportFolder(LINE, judgement, folder, masks).task(LIMITS).files)


def mvtec(folder: Path) -> Path:
    return touch(
        folder,
        *("train/good/0.png", "train/good/1.png", "test/good/2.png", "test/bent/0.png", "test/scratch/0.png"),
        *("ground_truth/bent/0_mask.png", "ground_truth/scratch/0_mask.png"),
    )


def visa(folder: Path) -> Path:
    return touch(folder, *(f"Data/{each}/0.png" for each in ("Images/Normal", "Images/Anomaly", "Masks/Anomaly")))


@pytest.mark.parametrize("part", ["", "test", "test/bent", "ground_truth", "ground_truth/bent"])
def test_defects_and_masks_of_a_dataset_are_no_good_parts(tmp_path: Path, part: str) -> None:
    dataset = mvtec(tmp_path / "my set")
    with pytest.raises(SettingsError, match=r"not good parts.*import --line A --dataset '.*/my set'"):
        chosen(dataset / part)


@pytest.mark.parametrize(("part", "count"), [("train", 2), ("train/good", 2), ("test/good", 1)])
def test_good_parts_of_a_dataset_are_good(tmp_path: Path, part: str, count: int) -> None:
    assert chosen(mvtec(tmp_path) / part) == count


@pytest.mark.parametrize("part", ["", "Data", "Data/Images", "Data/Images/Anomaly", "Data/Masks"])
def test_visa_likewise(tmp_path: Path, part: str) -> None:
    with pytest.raises(SettingsError, match=r"not good parts.*--dataset"):
        chosen(visa(tmp_path) / part)
    assert chosen(tmp_path / "Data" / "Images" / "Normal") == 1


def test_a_folder_of_datasets_is_refused_with_the_first_of_them(tmp_path: Path) -> None:
    for product in ("bottle", "cable"):
        mvtec(tmp_path / product)
    with pytest.raises(SettingsError, match=r"--dataset \S*/bottle"):
        chosen(tmp_path)


def test_a_dataset_behind_a_link_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(mvtec(tmp_path / "set") / "test")
    with pytest.raises(SettingsError, match="--dataset"):
        chosen(tmp_path / "link")


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("good/0.png", "scratch/0.png"), "scratch"),
        (("OK/0.png", "NG/0.png"), "NG"),
        (("0.png", "sub/defects/0.png"), "defects"),
        (("images/0.png", "masks/0.png"), "masks"),
        (("images/0.png", "Ground_Truth/0.png"), "Ground_Truth"),
    ],
)
def test_folders_called_like_defects_or_masks_are_no_good_parts(
    tmp_path: Path, names: tuple[str, ...], wrong: str
) -> None:
    with pytest.raises(SettingsError, match=f"contains a folder `{wrong}` whose images are not good parts.*--defect"):
        chosen(touch(tmp_path, *names))


def test_masks_alone_are_no_good_parts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="folder `ground_truth`"):
        chosen(touch(tmp_path, "ground_truth/0.png") / "ground_truth")


@pytest.mark.parametrize(
    "names",
    [("monday/0.png", "tuesday/0.png"), ("monday/good/0.png", "tuesday/good/0.png"), ("masks/a.png", "masks/b.png")],
)
def test_other_folders_of_good_parts_are_taken(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert chosen(touch(tmp_path, *names)) == 2


@pytest.mark.parametrize("part", ["", "test", "train", "ground_truth", "test/good"])
def test_good_parts_and_masks_of_a_dataset_are_no_defects(tmp_path: Path, part: str) -> None:
    with pytest.raises(SettingsError, match=r"not defects.*--dataset"):
        chosen(mvtec(tmp_path) / part, defect=True)


@pytest.mark.parametrize(("names", "wrong"), [(("a/good/0.png",), "good"), (("x/0.png", "masks/0.png"), "masks")])
def test_folders_called_like_good_parts_or_masks_are_no_defects(
    tmp_path: Path, names: tuple[str, ...], wrong: str
) -> None:
    with pytest.raises(SettingsError, match=f"folder `{wrong}`.*separately"):
        chosen(touch(tmp_path, *names), defect=True)


def test_masks_among_the_folders_of_defects_are_left_out_where_they_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/0.png", "images/1.png", "masks/0.png")
    task = ImportFolder(LINE, Judgement.DEFECT, tmp_path, tmp_path / "masks").task(LIMITS)
    assert [(file.path.name, len(file.masks)) for file in task.files] == [("0.png", 1), ("1.png", 0)]
    assert chosen(mvtec(tmp_path / "set") / "test" / "bent", defect=True, masks=tmp_path / "set" / "ground_truth") == 1
