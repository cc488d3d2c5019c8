import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.names import readable
from qc_worker.imaging.image_files import IMAGE_SUFFIXES, UNOPENED, find_images, image_files, quoted
from qc_worker.imaging.opening import FORMATS
from tests.support.folders import locked, open_folder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder).files]


def test_every_suffix_of_a_format_that_is_decoded_is_an_images() -> None:
    decoded = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")}
    assert decoded <= IMAGE_SUFFIXES


@pytest.mark.parametrize("suffix", [".JP2", ".avif", ".Tga", ".jpe", ".jfif", ".dib", ".pnm"])
def test_suffixes_are_known_in_small_letters_and_capitals(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / f"a{suffix}")
    assert names(tmp_path) == [f"a{suffix}"]


def test_what_is_left_out_is_told_by_reason(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in ("a.png", "b.txt", "sub/c.TXT", "d.heic", "e.0001", "f", ".hidden/g.png", ".h"))
    )
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    found = find_images(tmp_path)
    assert found.files == (tmp_path / "a.png",)
    assert {reason: len(paths) for reason, paths in found.left_out.items()} == {
        "suffix .txt": 2,
        "suffix .heic": 1,
        "no suffix": 2,
        "hidden": 2,
        "broken link": 1,
        "neither file nor folder": 1,
    }


def test_links_to_folders_are_followed_and_each_folder_is_searched_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "z" / "a.png", tmp_path / "elsewhere" / "b.png")
    (folder / "a_link").symlink_to(folder / "z")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "z" / "up").symlink_to(folder)
    (folder / "z" / "self").symlink_to(folder / "z" / "self")
    (tmp_path / "elsewhere" / "back").symlink_to(folder / "z")
    assert names(folder) == ["linked/b.png", "z/a.png"]
    twice = find_images(folder).left_out["folder reached twice"]
    assert {path.name for path in twice} == {"a_link", "up", "back"}


def test_a_linked_folder_may_be_given_itself(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert image_files(tmp_path / "link") == [tmp_path / "link" / "a.png"]


def test_folders_without_permission_are_told_and_the_rest_is_found() -> None:
    with open_folder() as folder:
        touch(folder / "a.png", folder / "shut" / "b.png", folder / "no_entry" / "sub" / "c.png")
        (folder / "no_entry" / "d.png").touch()
        (folder / "no_entry").chmod(0o744)
        with locked(folder / "shut"):
            found = find_images(folder)
        assert [path.name for path in found.files] == ["a.png", "d.png"]  # reading the second one fails, and says why
        assert found.left_out == {f"{UNOPENED} (permission denied)": (folder / "no_entry" / "sub", folder / "shut")}


def test_names_that_are_no_utf8_can_be_printed() -> None:
    assert readable(Path(os.fsdecode(b"caf\xe9.png"))) == "caf\\xe9.png"
    assert readable("café.png") == "café.png"


@pytest.mark.skipif(shutil.which("bash") is None, reason="asks bash")
@given(st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & set(b"\0\n")))
def test_a_quoted_name_is_the_name_to_a_shell(name: bytes) -> None:
    echoed = subprocess.run(["bash", "-c", f"printf %s {quoted(os.fsdecode(name))}"], capture_output=True, check=True)
    assert echoed.stdout == name
