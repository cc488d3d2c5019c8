import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.embedded.simulation.canvas import FRAME_SIZE
from qc_worker.embedded.simulation.defects import DEFECT_KINDS
from qc_worker.embedded.simulation.parts_line import Simulation, write_dataset

LINES = st.sampled_from(["A", "B", "C", "press-7"])
SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 10**6)


@settings(max_examples=15, deadline=None)
@given(LINES, SEEDS, INDICES)
def test_the_same_seed_line_and_index_give_the_same_bytes(line: str, seed: int, index: int) -> None:
    once, again = Simulation(line, seed=seed).frame(index), Simulation(line, seed=seed).frame(index)

    assert once.content == again.content
    assert once.defect == again.defect
    assert np.array_equal(once.mask, again.mask)


def test_parts_differ_by_seed_and_by_index() -> None:
    pictures = {Simulation("A", seed=seed).frame(index).content for seed in (1, 2) for index in (0, 1)}

    assert len(pictures) == 4


@settings(max_examples=40, deadline=None)
@given(LINES, SEEDS, INDICES, st.sampled_from(DEFECT_KINDS))
def test_a_mask_covers_where_the_part_differs_from_its_defect_free_twin(
    line: str, seed: int, index: int, defect: str
) -> None:
    simulation = Simulation(line, seed=seed)
    bad, mask, _ = simulation.draw(index, defect)
    twin, nothing, _ = simulation.draw(index, None)
    difference = np.abs(np.asarray(bad, dtype=float) - np.asarray(twin, dtype=float)).max(axis=2)

    assert not nothing.any()
    assert mask.any()
    assert difference[mask].mean() > 5 * difference[~mask].mean()
    # Blur and shadow reach a little beyond what the defect itself changed.
    assert (difference[~mask] > 40).mean() < 0.003


def test_a_good_frame_has_an_empty_mask_and_decodes_to_the_frame_size() -> None:
    frame = Simulation("B", seed=3, defect_share=0).frame(5)

    with Image.open(io.BytesIO(frame.content)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", FRAME_SIZE[::-1], "RGB")
    assert frame.defect is None
    assert not frame.mask.any()


def test_about_the_asked_share_of_parts_is_defective_and_every_kind_occurs() -> None:
    simulation = Simulation("A", seed=4, defect_share=0.3)
    defects = [simulation.defect_at(index) for index in range(400)]

    assert 0.2 < sum(defect is not None for defect in defects) / 400 < 0.4
    assert {defect for defect in defects if defect} == set(DEFECT_KINDS)


def test_a_dataset_is_laid_out_as_mvtec_ad_is(tmp_path: Path) -> None:
    write_dataset(tmp_path, line="A", seed=1, train_good=2, test_good=1, test_per_defect=1)

    assert len(list((tmp_path / "train" / "good").iterdir())) == 2
    assert {folder.name for folder in (tmp_path / "test").iterdir()} == {"good", *DEFECT_KINDS}
    for defect in DEFECT_KINDS:
        (image,) = (tmp_path / "test" / defect).iterdir()
        with Image.open(tmp_path / "ground_truth" / defect / f"{image.stem}_mask.png") as mask:
            assert mask.size == FRAME_SIZE[::-1]
            assert mask.getextrema() == (0, 255)


@pytest.mark.parametrize("line", ["A", "B", "C"])
def test_lines_make_different_kinds_of_parts(line: str) -> None:
    kinds = {other: Simulation(other, seed=0).part.name for other in ("A", "B", "C")}

    assert [name for other, name in kinds.items() if name == kinds[line]] == [kinds[line]]
