import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.features.file import FORMATS, HEADER_BYTES, map_features, write_features

KEY = "ab" * 32
OPEN_FILES = Path("/proc/self/fd")
ROWS = torch.arange(60, dtype=torch.bfloat16).view(5, 12)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "one"
    write_features(path, ROWS, key=KEY)
    return path.read_bytes()


def read_back(content: bytes, key: str = KEY) -> torch.Tensor | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one"
        path.write_bytes(content)
        return map_features(path, key=key)


@settings(deadline=None)
@given(n_rows=st.integers(1, 40), channels=st.integers(1, 40), kind=st.sampled_from(sorted(FORMATS)))
def test_what_is_written_is_read_bit_for_bit(n_rows: int, channels: int, kind: str) -> None:
    rows = torch.randn(n_rows, channels, generator=torch.Generator().manual_seed(n_rows)).to(FORMATS[kind])
    with tempfile.TemporaryDirectory() as folder:
        write_features(Path(folder) / "one", rows, key=KEY)
        found = map_features(Path(folder) / "one", key=KEY)
    assert found is not None
    assert found.dtype == rows.dtype
    assert torch.equal(found, rows)


@settings(deadline=None)
@given(length=st.integers(0, HEADER_BYTES + 119))
def test_a_file_that_was_cut_off_is_not_trusted(content: bytes, length: int) -> None:
    assert read_back(content[:length]) is None


@settings(deadline=None)
@given(position=st.integers(0, HEADER_BYTES + 119), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_read_as_other_numbers(content: bytes, position: int, bit: int) -> None:
    altered = bytearray(content)
    altered[position] ^= 1 << bit
    found = read_back(bytes(altered))
    # Some bits of the header's padding say nothing.
    assert found is None or (position < HEADER_BYTES and torch.equal(found, ROWS))


@settings(deadline=None)
@given(rubbish=st.binary(max_size=1_000))
def test_rubbish_is_no_features(rubbish: bytes) -> None:
    assert read_back(rubbish) is None


def test_more_bytes_than_written_are_not_trusted(content: bytes) -> None:
    assert read_back(content + b"\0\0") is None


def test_a_file_under_anothers_name_is_not_trusted(content: bytes) -> None:
    assert read_back(content, "cd" * 32) is None


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert map_features(tmp_path / "nothing", key=KEY) is None


def test_writing_to_mapped_rows_leaves_the_file_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one").write_bytes(content)
    rows = map_features(tmp_path / "one", key=KEY)
    assert rows is not None
    rows.zero_()
    assert (tmp_path / "one").read_bytes() == content


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_features(tmp_path / "one", ROWS, key=KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="counts open files by /proc")
def test_mapped_features_keep_no_file_open(tmp_path: Path) -> None:
    write_features(tmp_path / "one", ROWS, key=KEY)
    before = len(list(OPEN_FILES.iterdir()))
    mapped = [map_features(tmp_path / "one", key=KEY) for _ in range(50)]
    assert len(list(OPEN_FILES.iterdir())) == before
    assert all(rows is not None for rows in mapped)
