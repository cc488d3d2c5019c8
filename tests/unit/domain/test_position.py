import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.frame import Position


@given(st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True), st.integers(0, 2**31 - 1), st.integers(0, 10**18 - 1))
def test_position_is_read_as_it_was_written(topic: str, partition: int, offset: int) -> None:
    assert Position.parse(str(Position(topic, partition, offset))) == Position(topic, partition, offset)


@pytest.mark.parametrize(
    "text", ["", "images", "images:0", ":0:1", "images:0:", "images:-1:2", "images:0:1e3", "i:0:٣"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a position"):
        Position.parse(text)
