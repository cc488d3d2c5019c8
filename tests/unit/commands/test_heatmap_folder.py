"""Names of the pictures that `score --heatmaps` writes."""

import os
import unicodedata
from collections import Counter
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.commands.heatmap_folder import HeatmapFolder, distinct_names
from qc_worker.domain.errors import SettingsError

LETTERS = st.characters(codec="utf-8", exclude_characters="/\x00") | st.sampled_from("aA-01.ßéÉ☃\u0301\udce9")


def alike(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def test_files_of_like_names_get_pictures_of_their_own() -> None:
    names = distinct_names([Path("x/a.png"), Path("y/a.jpg"), Path("z/a-0.png"), Path("b.png")])
    assert len(set(names)) == 4
    assert names[2:] == ["a-0.png", "b.png"]


@given(st.lists(st.text(LETTERS, min_size=1, max_size=300), max_size=30), st.integers(20, 255))
def test_names_are_distinct_on_any_file_system_and_never_too_long(stems: list[str], max_bytes: int) -> None:
    names = distinct_names([Path(f"{number}/{stem}.png") for number, stem in enumerate(stems)], max_bytes=max_bytes)
    assert len({alike(name) for name in names}) == len(stems)
    assert all(len(os.fsencode(name)) <= max_bytes and "/" not in name and name.endswith(".png") for name in names)


def test_a_name_that_is_used_once_and_fits_is_kept() -> None:
    stems = ["ä☃", "a", "b-1", "B-2", "n" * 240]
    assert distinct_names([Path(f"{stem}.jpg") for stem in stems]) == [f"{stem}.png" for stem in stems]


@pytest.mark.parametrize("stem", ["n" * 251, "ß" * 125, "😀" * 62])
def test_long_names_are_cut_in_whole_characters_and_stay_distinct(stem: str, tmp_path: Path) -> None:
    names = distinct_names([Path(f"{stem}.png"), Path(f"x/{stem}.png"), Path(f"{stem[:-1]}y.png")])
    for name in names:
        (tmp_path / name).write_bytes(b"")
        os.fsencode(name).decode()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "path", ["{0}/a.png", "a-{0}.png", "{0}/" + "n" * 251 + ".png", "{0}/a-{1}.png"], ids=["one", "own", "cut", "mixed"]
)
def test_naming_takes_time_in_proportion_to_the_files(path: str) -> None:
    def spent_s(count: int) -> float:
        paths = [Path(path.format(number, number % 50)) for number in range(count)]
        started_s = perf_counter()
        names = distinct_names(paths)
        assert max(Counter(names).values()) == 1
        return perf_counter() - started_s

    few = min(spent_s(5_000) for _ in range(3))
    assert min(spent_s(20_000) for _ in range(3)) < 10 * few  # quadratic: 16 times, and 3 s


def test_an_image_that_is_to_be_judged_is_not_replaced_by_its_heatmap(tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    image.write_bytes(b"picture")
    with pytest.raises(SettingsError, match=r"one.png in it is one of the images"):
        HeatmapFolder(tmp_path, [image])
    HeatmapFolder(tmp_path / "heat", [image])
    (tmp_path / "heat" / "one.png").write_bytes(b"of an earlier run")
    HeatmapFolder(tmp_path / "heat", [image])


def test_a_folder_that_cannot_be_is_told_before_the_judging(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, message in ((tmp_path / "file", "not a folder"), (tmp_path / "file" / "in", "Not a directory")):
        with pytest.raises(SettingsError, match=message):
            HeatmapFolder(folder, [])
