"""Hypothesis strategies for domain values and hostile records."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from qc_worker.domain.errors import Reason
from qc_worker.domain.feedback import Feedback, Judgement, MarkedBox
from qc_worker.domain.frame import Position, Record
from qc_worker.domain.inspection import Defect, Inspection, Mask, StageTimings, Verdict
from qc_worker.domain.names import FRAME_ID_PATTERN, NAME_PATTERN
from qc_worker.domain.release import Release, ReleaseAction

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: not name.endswith("\n"))
frame_ids = st.from_regex(FRAME_ID_PATTERN, fullmatch=True).filter(lambda name: not name.endswith("\n"))
parts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**9)
stamps = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
positions = st.builds(Position, topic=texts, partition=counts, offset=st.integers(0, 2**63 - 1))
sizes = st.tuples(counts, counts)
defects = st.builds(Defect, x=counts, y=counts, width=counts, height=counts, area_px=counts, peak_score=numbers)
timings = st.builds(StageTimings, decode=numbers, queue=numbers, inference=numbers, postprocess=numbers, total=numbers)

inspections = st.builds(
    Inspection,
    frame_id=st.none() | frame_ids,
    line=st.none() | names,
    camera=st.none() | names,
    captured_at=stamps,
    scored_at=stamps,
    source=positions,
    verdict=st.sampled_from(Verdict),
    part=st.none() | parts,
    reason=st.none() | st.sampled_from(Reason),
    detail=st.none() | texts,
    model_version=st.none() | names,
    precision=st.sampled_from([None, "float32", "bfloat16", "float16"]),
    score=st.none() | numbers,
    p_value=st.none() | numbers,
    threshold=st.none() | numbers,
    image_size=st.none() | sizes,
    defects=st.lists(defects, max_size=3).map(tuple),
    mask=st.none() | st.builds(Mask, size=sizes, counts=texts),
    heatmap_key=st.none() | texts,
    stage_ms=timings,
)

releases = st.builds(
    Release,
    line=names,
    version=names,
    card_sha256=texts,
    threshold=numbers,
    released_at=stamps,
    action=st.sampled_from(ReleaseAction),
    metrics=st.dictionaries(texts, numbers, max_size=3),
)

kinds = st.sampled_from(["scratch", "Kratzer, tief", "<b>dent"])
boxes = st.builds(MarkedBox, x=counts, y=counts, width=st.integers(1, 10**9), height=st.integers(1, 10**9))
feedbacks = st.builds(
    Feedback,
    line=names,
    frame_id=frame_ids,
    source=positions,
    verdict=st.sampled_from(Judgement),
    accepted_by=texts,
    accepted_at=stamps,
    model_version=st.none() | names,
) | st.builds(
    Feedback,
    line=names,
    frame_id=frame_ids,
    source=positions,
    verdict=st.just(Judgement.DEFECT),
    accepted_by=texts,
    accepted_at=stamps,
    kind=st.none() | kinds,
    boxes=st.lists(boxes, max_size=3).map(tuple),
)

known_headers = st.sampled_from(
    [
        "line",
        "LINE",
        "camera",
        "frame-id",
        "ce_id",
        "ce_time",
        "captured-at",
        "ce_specversion",
        "traceparent",
        "part",
        "ce_subject",
    ]
)
absurd_values = st.sampled_from(
    [
        b"",
        b"../../etc",
        b"A\n",
        b"A\x00B",
        b"-1",
        b"9" * 30,
        b"9" * 5000,
        "²".encode(),
        b"0001-01-01T00:00:00+23:59",
        b"9999-12-31T23:59:59-23:59",
        b"2026-01-02T03:04:05",
        b"1e400",
        b"\xff\xfe",
        b"x" * 9000,
    ]
)
hostile_headers = st.lists(st.tuples(known_headers | texts, st.binary(max_size=64) | absurd_values), max_size=12).map(
    tuple
)


def record(
    *headers: tuple[str, bytes], key: bytes | None = b"A/top", content: bytes = b"picture", offset: int = 7
) -> Record:
    """A record of `images` with these headers."""
    return Record(Position("images", 2, offset), key, content, headers, NOON)


hostile_records = st.builds(
    Record,
    position=st.just(Position("images", 0, 1)),
    key=st.none() | st.binary(max_size=100) | absurd_values,
    content=st.binary(max_size=10),
    headers=hostile_headers,
    appended_at=st.just(NOON),
)
