import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qc_worker.domain.errors import TrainingError
from tests.unit.trainer.features.test_spec import SPEC
from trainer.features.cache import FeatureCache, Shelf

ROWS = torch.ones(4, 8, dtype=torch.bfloat16)
ENTRY_BYTES = 256 + 4 * 8 * 2
OTHER_SPEC = replace(SPEC, patches_per_frame=7)


def name(number: int) -> str:
    return f"{number:064x}"


def filled(cache: FeatureCache, numbers: Sequence[int], *, other: bool = False) -> Shelf:
    """Entries used one after the other, a second apart, long ago."""
    shelf = cache.shelf(OTHER_SPEC if other else SPEC)
    for number in numbers:
        shelf.put(name(number), ROWS)
        os.utime(shelf.folder / f"{name(number)}.features", (number, number))
    return shelf


def kept(shelf: Shelf) -> list[int]:
    return sorted(int(path.stem[:64], 16) for path in shelf.folder.glob("*.features"))


def make_room(
    cache: FeatureCache, shelf: Shelf, needed: Sequence[int], *, existing: Sequence[int] = range(100)
) -> None:
    cache.make_room(
        shelf,
        n_bytes=len(needed) * ENTRY_BYTES,
        samples=[name(number) for number in existing],
        needed=[name(number) for number in needed],
    )


def test_what_was_put_is_got_and_nothing_else(tmp_path: Path) -> None:
    shelf = FeatureCache(tmp_path, 1 << 20).shelf(SPEC)
    shelf.put(name(1), ROWS)
    found = shelf.get(name(1))
    assert found is not None
    assert torch.equal(found, ROWS)
    assert shelf.get(name(2)) is None
    assert FeatureCache(tmp_path, 1 << 20).shelf(OTHER_SPEC).get(name(1)) is None


@pytest.mark.parametrize("hostile", ["../" + "a" * 61, "a" * 63, "A" * 64, "a" * 64 + "/x", "a" * 64 + "\n", ""])
def test_a_name_that_is_no_digest_never_reaches_the_disk(tmp_path: Path, hostile: str) -> None:
    shelf = FeatureCache(tmp_path, 1 << 20).shelf(SPEC)
    with pytest.raises(TrainingError, match="is not a sample's SHA-256"):
        shelf.put(hostile, ROWS)
    with pytest.raises(TrainingError, match="is not a sample's SHA-256"):
        shelf.get(hostile)


def test_features_of_samples_that_no_longer_exist_are_removed(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 1 << 20)
    shelf, other = filled(cache, [1, 2]), filled(cache, [2, 3], other=True)
    shelf.put(f"{name(1)}-{'0' * 16}", ROWS)
    make_room(cache, shelf, [], existing=[2])
    assert (kept(shelf), kept(other)) == ([2], [2])


def test_below_the_limit_other_specs_and_frames_stay(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 6 * ENTRY_BYTES)
    shelf, other = filled(cache, [1, 2]), filled(cache, [3, 4], other=True)
    make_room(cache, shelf, [1, 5, 6])
    assert (kept(shelf), kept(other)) == ([1, 2], [3, 4])


def test_other_specs_go_before_frames_of_this_one(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 5 * ENTRY_BYTES)
    shelf, other = filled(cache, [1, 2]), filled(cache, [3, 4], other=True)
    make_room(cache, shelf, [1, 5, 6])
    assert kept(shelf) == [1, 2]
    assert not other.folder.exists()


def test_a_folder_that_lost_its_spec_goes_first(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 4 * ENTRY_BYTES)
    shelf, other = filled(cache, [1, 2]), filled(cache, [3, 4], other=True)
    (other.folder / "spec.json").unlink()
    make_room(cache, shelf, [8])
    assert kept(shelf) == [1, 2]
    assert not other.folder.exists()


def test_frames_unused_for_longest_go_first_and_needed_ones_never(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 4 * ENTRY_BYTES)
    shelf = filled(cache, [1, 2, 3, 4])
    shelf.get(name(2))
    make_room(cache, shelf, [1, 8])
    assert kept(shelf) == [1, 2, 4]


def test_more_than_the_limit_allows_is_refused_in_one_line(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, ENTRY_BYTES)
    with pytest.raises(TrainingError, match="--max-feature-mib"):
        make_room(cache, cache.shelf(SPEC), [1, 2])


def test_leftovers_of_a_killed_process_go_once_they_are_old(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 1 << 20)
    shelf = cache.shelf(SPEC)
    old, young = shelf.folder / ".tmp-old", shelf.folder / ".tmp-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    make_room(cache, shelf, [])
    assert (old.exists(), young.exists()) == (False, True)


def test_mapped_rows_outlive_their_file(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 1 << 20)
    shelf = filled(cache, [1])
    rows = shelf.get(name(1))
    make_room(cache, shelf, [], existing=[])
    assert kept(shelf) == []
    assert rows is not None
    assert torch.equal(rows, ROWS)
