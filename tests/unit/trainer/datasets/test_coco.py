"""Annotations in COCO's format, as other tools write them, and as nobody should."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.inspection import Mask
from qc_worker.imaging.run_lengths import decode_mask
from tests.unit.trainer.factories import LIMITS, png
from trainer.datasets.labelled import DataSet
from trainer.datasets.labelled_folder import open_dataset
from trainer.datasets.layouts.coco import _compressed
from trainer.datasets.masks import read_mask

KINDS = [{"id": 1, "name": "scratch"}, {"id": 2, "name": "dent"}, {"id": 3, "name": "OK"}]


def write(file: Path, annotations: dict[str, list[dict[str, Any]]], *, images: Path | None = None) -> Path:
    """Write images of 48 x 48 pixels and their annotations."""
    home = images or file.parent
    for each in (home, file.parent):
        each.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    noted: list[dict[str, Any]] = []
    for number, (name, of_image) in enumerate(annotations.items()):
        (home / name).write_bytes(png(number))
        entries.append({"id": number, "file_name": name, "width": 48, "height": 48})
        noted += [{"id": len(noted), "image_id": number, "category_id": 1, **each} for each in of_image]
    file.write_text(json.dumps({"images": entries, "annotations": noted, "categories": KINDS}))
    return file.parent


def parts_of(dataset: DataSet) -> dict[str, list[str]]:
    return {kind.kind: [path.name for path in kind.files] for kind in dataset.test if kind.files}


def mask_of(dataset: DataSet) -> list[tuple[int, int]]:
    """Return the marked pixels of the only mask."""
    [files] = [files for kind in dataset.test for files in kind.masks.values()]
    return [(int(y), int(x)) for y, x in np.argwhere(read_mask(files, LIMITS))]


BOX = {"bbox": [2, 3, 2, 1], "area": 2}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("annotations/instances_train2017.json", "annotations/test.json"),
        ("train/_annotations.coco.json", "test/_annotations.coco.json"),
        ("train.json", "test.json"),
    ],
)
def test_parts_are_known_by_the_name_of_their_file_or_folder(tmp_path: Path, train: str, test: str) -> None:
    beside = "coco.json" in train
    write(tmp_path / train, {"a.png": []}, images=None if beside else tmp_path / "images")
    write(tmp_path / test, {"b.png": [], "c.png": [BOX]}, images=None if beside else tmp_path / "images")
    dataset = open_dataset(tmp_path)
    assert [path.name for kind in dataset.training for path in kind.files] == ["a.png"]
    assert parts_of(dataset) == {"good": ["b.png"], "scratch": ["c.png"]}
    assert mask_of(dataset) == [(3, 2), (3, 3)]


def test_every_tenth_good_image_is_for_tests_if_no_file_is(tmp_path: Path) -> None:
    write(tmp_path / "all.json", {f"{number:02}.png": [] for number in range(20)} | {"x.png": [BOX]})
    dataset = open_dataset(tmp_path)
    assert parts_of(dataset) == {"good": ["00.png", "10.png"], "scratch": ["x.png"]}
    assert "every 10th" in dataset.layout


POLYGON = {"segmentation": [[2, 3, 3, 3, 3, 3, 2, 3]], "bbox": [2, 3, 2, 1]}
RUNS = [2 * 48 + 3, 1, 47, 1, 48 * 48 - 3 * 48 - 4]


@pytest.mark.parametrize(
    "annotation",
    [
        BOX,
        POLYGON,
        {"segmentation": {"size": [48, 48], "counts": RUNS}, "iscrowd": 1},
        {"segmentation": coco.frPyObjects({"size": [48, 48], "counts": RUNS}, 48, 48) | {"counts": None}},
    ],
)
def test_boxes_polygons_and_run_lengths_become_masks(tmp_path: Path, annotation: dict[str, Any]) -> None:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict) and segmentation["counts"] is None:
        counts = coco.frPyObjects({"size": [48, 48], "counts": RUNS}, 48, 48)["counts"]
        annotation = {"segmentation": {"size": [48, 48], "counts": counts.decode()}}
    write(tmp_path / "all.json", {"good.png": [], "x.png": [annotation]})
    assert mask_of(open_dataset(tmp_path)) == [(3, 2), (3, 3)]


def test_kind_is_that_of_the_largest_area_and_all_areas_are_its_mask(tmp_path: Path) -> None:
    dent = {"bbox": [10, 10, 1, 3], "area": 3, "category_id": 2}
    write(tmp_path / "all.json", {"good.png": [], "x.png": [BOX, dent]})
    dataset = open_dataset(tmp_path)
    assert parts_of(dataset)["dent"] == ["x.png"]
    assert mask_of(dataset) == [(3, 2), (3, 3), (10, 10), (11, 10), (12, 10)]


def test_category_that_is_called_good_is_no_defect_and_a_box_of_the_whole_image_no_mask(tmp_path: Path) -> None:
    whole = {"bbox": [0, 0, 48, 48], "segmentation": [], "category_id": 2}
    write(tmp_path / "test.json", {"ok.png": [{"category_id": 3, "bbox": [1, 1, 5, 5]}], "x.png": [whole]})
    dataset = open_dataset(tmp_path)
    assert parts_of(dataset) == {"good": ["ok.png"], "dent": ["x.png"]}
    assert all(not kind.masks for kind in dataset.test)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "gone.png", "..\\secret.png", "a\x00.png"])
def test_file_outside_of_the_data_set_or_missing_is_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(png(9))
    folder = write(tmp_path / "set" / "all.json", {"good.png": []})
    document = json.loads((folder / "all.json").read_text())
    document["images"].append({"id": 7, "file_name": name, "width": 48, "height": 48})
    (folder / "all.json").write_text(json.dumps(document))
    dataset = open_dataset(folder)
    assert parts_of(dataset) == {"good": ["good.png"]}
    assert sum(map(len, dataset.left_out.values())) == 1


@pytest.mark.parametrize(
    "annotation",
    [
        {"category_id": 99},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": [["a", 2, 3, 4, 5, 6]]},
        {"segmentation": [[float("nan")] * 6]},
        {"segmentation": {"size": [9, 9], "counts": [81]}},
        {"segmentation": {"size": [48, 48], "counts": [5]}},
        {"segmentation": {"size": [48, 48]}},
        {"segmentation": 7},
        {"bbox": "large"},
        {"area": "large"},
    ],
)
def test_annotation_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, annotation: dict[str, Any]) -> None:
    write(tmp_path / "all.json", {"good.png": [], "x.png": [annotation, {"category_id": 1}]})
    with pytest.raises(SettingsError, match=r"all\.json is not COCO") as refused:
        open_dataset(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("size", [(0, 48), (48, -1), (1 << 20, 48)])
def test_size_that_no_image_has_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = write(tmp_path / "all.json", {"good.png": [], "x.png": [BOX]})
    document = json.loads((folder / "all.json").read_text())
    document["images"][1] |= {"width": size[0], "height": size[1]}
    (folder / "all.json").write_text(json.dumps(document))
    with pytest.raises(SettingsError, match="is not COCO"):
        open_dataset(folder)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_run_lengths_are_compressed_as_decoders_read_them(runs: list[int]) -> None:
    total = sum(runs)
    if total:
        decoded = decode_mask(Mask((total, 1), _compressed(runs)))
        inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        assert np.array_equal(decoded[:, 0], inside)
