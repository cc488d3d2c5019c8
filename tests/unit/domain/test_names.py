import re
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain import names
from qc_worker.domain.names import FRAME_ID_PATTERN, NAME_PATTERN

FOLDER_NAMES = [names.line_name, names.camera_name, names.model_version]


@pytest.mark.parametrize("check", FOLDER_NAMES)
@pytest.mark.parametrize("text", ["A", "line-7", "Halle_2.Presse_3", "20261123T140100-0a1b2c3d", "x" * 64])
def test_ordinary_names_pass_unchanged(check: Callable[[str], str], text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize("check", FOLDER_NAMES)
@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../../etc", "/etc", "A/B", "A\\B", "A B", "A\n", "A\x00", "-rf", "_a", "Ä", "x" * 65, "٣"],
)
def test_hostile_names_are_refused(check: Callable[[str], str], text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check(text)


@pytest.mark.parametrize("check", FOLDER_NAMES)
@given(text=st.text(max_size=70))
def test_accepted_name_is_one_folder_below_its_parent(check: Callable[[str], str], text: str) -> None:
    try:
        name = check(text)
    except ValueError:
        return
    assert (PurePosixPath("models") / name).parent == PurePosixPath("models")
    assert name not in (".", "..")
    assert re.fullmatch(r"[\x21-\x7e]+", name)


@pytest.mark.parametrize("text", ["f1", "images:2:7", "a/b", "dGVzdA==", "x" * 128])
def test_frame_ids_may_hold_positions_and_base64(text: str) -> None:
    assert names.frame_id(text) == text


@pytest.mark.parametrize("text", ["", "/etc", "a b", "a\n", "x" * 129, "<script>", "a\x00"])
def test_hostile_frame_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a frame id"):
        names.frame_id(text)


def test_refusal_shows_a_huge_name_only_in_part() -> None:
    with pytest.raises(ValueError, match="is not a line") as refused:
        names.line_name("x" * 1_000_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("pattern", [NAME_PATTERN, FRAME_ID_PATTERN])
def test_published_pattern_is_anchored_at_both_ends(pattern: str) -> None:
    assert pattern.startswith("^")
    assert pattern.endswith("$")
