from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.addresses import kafka_address


@given(host=st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True), port=st.integers(1, 65535))
def test_every_host_and_port_is_an_address(host: str, port: int) -> None:
    assert kafka_address(f" {host}:{port} ") == (host, port)


@given(st.text(max_size=30))
def test_no_text_is_more_than_one_line_of_error(text: str) -> None:
    try:
        host, port = kafka_address(text)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert host
        assert 1 <= port <= 65535
