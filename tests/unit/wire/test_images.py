from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Frame, Position, Record
from qc_worker.domain.names import camera_name, frame_id, line_name
from qc_worker.wire.headers import MAX_HEADER_BYTES, parse_time
from qc_worker.wire.images import EVENT_TYPE, claimed_line, decode_record, encode_frame, read_claims
from tests.unit.wire.strategies import NOON, frame_ids, hostile_records, names, record, stamps


@given(line=names, camera=names, identity=frame_ids, captured_at=stamps, content=st.binary(max_size=100))
def test_decoding_gives_back_what_the_camera_encoded(
    line: str, camera: str, identity: str, captured_at: datetime, content: bytes
) -> None:
    message = encode_frame(content, line=line, camera=camera, captured_at=captured_at, frame_id=identity)
    position = Position("images", 0, 0)
    frame = decode_record(Record(position, message.key, message.content, tuple(message.headers), NOON))
    assert (frame.line, frame.camera, frame.frame_id) == (line, camera, identity)
    assert (frame.captured_at, frame.content, frame.position) == (captured_at, content, position)
    assert frame.part is None


def test_encoded_frame_is_a_binary_mode_cloud_event() -> None:
    headers = dict(encode_frame(b"x", line="A", camera="top", captured_at=NOON, frame_id="f1").headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == b"f1"
    assert headers["ce_source"] == b"/lines/A/cameras/top"
    assert headers["ce_type"] == EVENT_TYPE.encode()
    assert headers["ce_time"] == b"2026-01-02T12:00:00+00:00"


def test_key_keeps_a_camera_in_one_partition() -> None:
    first, second = (encode_frame(b"x", line="A", camera="top", captured_at=NOON) for _ in range(2))
    assert first.key == second.key == b"A/top"


def test_frame_without_an_id_gets_its_own() -> None:
    first, second = (dict(encode_frame(b"x", line="A", camera="c", captured_at=NOON).headers) for _ in range(2))
    assert first["ce_id"] != second["ce_id"]


@pytest.mark.parametrize("line", ["", "../../etc", "A/B", "a b", "x" * 65, "A\n", ".hidden", "-flag"])
def test_camera_cannot_encode_a_name_the_worker_would_refuse(line: str) -> None:
    with pytest.raises(ValueError, match="is not a line"):
        encode_frame(b"x", line=line, camera="top", captured_at=NOON)


def test_plain_headers_are_enough() -> None:
    frame = decode_record(
        record(("line", b"B"), ("camera", b"side"), ("frame-id", b"42"), ("captured-at", b"1767355200000"), key=None)
    )
    assert (frame.line, frame.camera, frame.frame_id, frame.captured_at) == ("B", "side", "42", NOON)


def test_key_names_line_and_camera_where_headers_do_not() -> None:
    frame = decode_record(record(key=b"A/top"))
    assert (frame.line, frame.camera) == ("A", "top")


def test_headers_win_over_the_key() -> None:
    frame = decode_record(record(("line", b"B"), key=b"A/top"))
    assert (frame.line, frame.camera) == ("B", "top")


def test_header_names_are_read_in_any_case_and_the_last_counts() -> None:
    assert decode_record(record(("Line", b"B"), ("LINE", b"C"))).line == "C"


def test_frame_without_id_and_time_is_named_by_position_and_dated_by_its_record() -> None:
    frame = decode_record(record())
    assert (frame.frame_id, frame.captured_at) == ("images:2:7", NOON)


def test_times_are_turned_to_utc() -> None:
    stamp = datetime(2026, 1, 2, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    frame = decode_record(record(("ce_time", stamp.isoformat().encode())))
    assert frame.captured_at == NOON
    assert frame.captured_at.tzinfo is UTC


def test_traceparent_is_carried() -> None:
    assert decode_record(record(("traceparent", b"00-abc-def-01"))).traceparent == "00-abc-def-01"


def test_a_deadline_is_optional() -> None:
    assert decode_record(record()).deadline_ms is None
    assert decode_record(record(("deadline-ms", b"250"))).deadline_ms == 250


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("line", b"../../etc"),
        ("line", b"A\n"),
        ("line", b"A\x00"),
        ("line", "Ä".encode()),
        ("line", b"x" * 65),
        ("line", b"\xff\xfe"),
        ("line", b"A" * (MAX_HEADER_BYTES + 1)),
        ("camera", b"/dev/null"),
        ("camera", b"\xe4"),
    ],
)
def test_absurd_name_is_a_bad_header_and_costs_no_other(name: str, value: bytes) -> None:
    absurd = record((name, value), ("frame-id", b"f1"), ("captured-at", b"2026-01-02T13:00:00Z"))
    with pytest.raises(InvalidFrame) as refused:
        decode_record(absurd)
    assert refused.value.reason is Reason.BAD_HEADERS
    assert len(refused.value.detail) < 400
    claims = read_claims(absurd)
    assert (claims.frame_id, claims.captured_at) == ("f1", NOON + timedelta(hours=1))
    assert (claims.line, claims.camera) == ((None, "top") if name == "line" else ("A", None))


@pytest.mark.parametrize(
    "value",
    [
        "Jürgen".encode("latin-1"),
        (7).to_bytes(8, "little"),
        b"\x00\x00\x00\x00\x2a",
        b"\xff\xfe",
        b"",
        b"x" * 100_000,
    ],
)
@pytest.mark.parametrize("name", ["operator", "uber-trace-id", "spring_json_header_types", "schema.id", "�"])
def test_headers_that_are_none_of_ours_are_nobodys_business(name: str, value: bytes) -> None:
    frame = decode_record(record((name, value)))
    assert (frame.line, frame.camera, frame.ignored) == ("A", "top", ())


def test_any_number_of_foreign_headers_will_do() -> None:
    assert decode_record(record(*((f"h{n}", b"\xff") for n in range(1_000)))).line == "A"


@pytest.mark.parametrize(
    "text",
    [
        "1767355200",
        "1767355200.0",
        "1767355200000",
        "1.7673552e12",
        "1767355200000000",
        "1767355200000000000",
        "2026-01-02T12:00:00Z",
        "2026-01-02 12:00:00+00:00",
        "2026-01-02T12:00:00.000000000Z",
        "20260102T120000Z",
        "2026-01-02T14:00:00+02:00",
        " 1767355200 ",
    ],
)
def test_times_that_can_be_told_are_read(text: str) -> None:
    frame = decode_record(record(("captured-at", text.encode())))
    assert (frame.captured_at, frame.ignored) == (NOON, ())


@pytest.mark.parametrize(
    "value",
    [
        b"yesterday",
        b"2026-01-02T03:04:05",
        b"2026-01-02",
        b"20260102030405",
        b"0",
        b"12",
        b"-1767355200",
        b"nan",
        b"1e99",
        b"9" * 30,
        b"9" * 5000,
        "²".encode(),
        b"0001-01-01T00:00:00+23:59",
        b"9999-12-31T23:59:59-23:59",
        b"\xff\xfe",
        (1_767_355_200_000).to_bytes(8, "big"),
    ],
)
@pytest.mark.parametrize("name", ["captured-at", "ce_time"])
def test_time_that_cannot_be_told_is_ignored_and_said(name: str, value: bytes) -> None:
    frame = decode_record(record((name, value)))
    assert frame.captured_at is None
    assert [header.name for header in frame.ignored] == [name]
    assert len(str(frame.ignored[0])) < 200


def test_time_of_the_event_stands_in_for_one_that_cannot_be_told() -> None:
    frame = decode_record(record(("captured-at", b"noon"), ("ce_time", b"2026-01-02T12:00:00Z")))
    assert frame.captured_at == NOON
    assert [str(header) for header in frame.ignored] == [
        "header captured-at ignored: 'noon' is not a time: use ISO 8601 with an offset, or a number since 1970"
    ]


@given(stamps.filter(lambda stamp: datetime(2000, 1, 1, tzinfo=UTC) <= stamp < datetime(2100, 1, 1, tzinfo=UTC)))
def test_numbers_of_every_unit_say_the_same_time(stamp: datetime) -> None:
    microseconds = (stamp - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert parse_time(str(microseconds)) == parse_time(str(1_000 * microseconds)) == stamp
    assert abs(parse_time(str(microseconds / 1e6)) - stamp) <= timedelta(microseconds=2)
    assert abs(parse_time(str(microseconds // 1_000)) - stamp) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frame-id", b"../x"),
        ("frame-id", b"x" * 129),
        ("frame-id", b"\xff"),
        ("deadline-ms", b"soon"),
        ("deadline-ms", b"0"),
        ("deadline-ms", b"-5"),
        ("deadline-ms", b"86400001"),
        ("deadline-ms", b"9" * 5000),
        ("deadline-ms", b"000000001" * 400),
        ("traceparent", b"\xff"),
        ("part", b"x" * 129),
        ("part", b" \t "),
        ("part", b"47\x0011"),
        ("part", b"\xff"),
        ("ce_subject", "47\u202e11".encode()),
    ],
)
def test_optional_header_that_cannot_be_used_is_ignored_and_said(name: str, value: bytes) -> None:
    frame = decode_record(record((name, value)))
    assert (frame.line, frame.frame_id, frame.deadline_ms, frame.traceparent) == ("A", "images:2:7", None, None)
    assert frame.part is None
    assert [header.name for header in frame.ignored] == [name]


@pytest.mark.parametrize("name", ["line", "camera", "frame-id", "captured-at", "deadline-ms", "traceparent", "part"])
def test_empty_header_is_as_good_as_none(name: str) -> None:
    assert decode_record(record((name, b""))) == decode_record(record())


@pytest.mark.parametrize("topic", ["_images", "t" * 249])
def test_topic_that_is_no_id_costs_no_frame(topic: str) -> None:
    assert decode_record(replace(record(), position=Position(topic, 2, 7))).frame_id == "2:7"


def test_record_that_could_not_be_read_says_why() -> None:
    with pytest.raises(InvalidFrame, match="codec lz4 is not installed") as refused:
        decode_record(replace(record(), unreadable="codec lz4 is not installed here"))
    assert refused.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize("key", [None, b"", b"A", b"/", b"A/", b"/top", b"A/top/x", b"../../etc/passwd", b"\xff/\xff"])
def test_key_that_names_no_line_and_camera_is_a_bad_header(key: bytes | None) -> None:
    with pytest.raises(InvalidFrame) as refused:
        decode_record(record(key=key))
    assert refused.value.reason is Reason.BAD_HEADERS


@given(hostile_records)
def test_any_record_is_a_frame_with_safe_names_or_a_bad_header(hostile: Record) -> None:
    frame = _frame_or_reason(hostile)
    if not isinstance(frame, Frame):
        assert frame is Reason.BAD_HEADERS
        return
    assert line_name(frame.line) == frame.line
    assert camera_name(frame.camera) == frame.camera
    assert frame_id(frame.frame_id) == frame.frame_id
    assert frame.captured_at is None or frame.captured_at.utcoffset() == timedelta(0)
    assert frame.part is None or (0 < len(frame.part) <= 128 and frame.part.isprintable())


def _frame_or_reason(hostile: Record) -> Frame | Reason:
    try:
        return decode_record(hostile)
    except InvalidFrame as error:
        return error.reason


@given(line=names, camera=names, by_header=st.booleans(), other=names)
def test_claimed_line_is_that_of_the_frame(line: str, camera: str, by_header: bool, other: str) -> None:
    headers = (("line", other.encode()), ("Line", line.encode())) if by_header else ()
    key = f"{other if by_header else line}/{camera}".encode()
    recorded = Record(Position("images", 0, 0), key, b"x", headers, NOON)
    assert claimed_line(recorded) == decode_record(recorded).line == line
