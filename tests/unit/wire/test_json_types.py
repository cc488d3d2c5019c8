import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.feedback import MAX_BOXES, Feedback, Judgement, MarkedBox
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import SCHEMA_VERSION, Inspection, Verdict
from qc_worker.domain.release import Release
from qc_worker.wire.json_types import (
    decode_feedback,
    decode_inspection,
    decode_release,
    encode_feedback,
    encode_inspection,
    encode_release,
)
from tests.unit.wire.strategies import NOON, feedbacks, inspections, releases

RELEASE = Release(line="A", version="v1", card_sha256="0" * 64, threshold=1.5, released_at=NOON)
FEEDBACK = Feedback("A", "f1", Position("images", 0, 5), Judgement.GOOD, "anna", NOON)
INSPECTION = Inspection("f1", "A", "top", NOON, NOON, Position("images", 0, 5), Verdict.PASS)

DECODERS: list[Callable[[bytes], object]] = [decode_inspection, decode_release, decode_feedback]


@given(inspections)
def test_inspection_survives_json(inspection: Inspection) -> None:
    assert decode_inspection(encode_inspection(inspection)) == inspection


@given(releases)
def test_release_survives_json(release: Release) -> None:
    assert decode_release(encode_release(release)) == release


@given(feedbacks)
def test_feedback_survives_json(feedback: Feedback) -> None:
    assert decode_feedback(encode_feedback(feedback)) == feedback


@given(raw=st.binary(max_size=200) | st.text().map(str.encode), decode=st.sampled_from(DECODERS))
def test_any_bytes_are_a_value_or_a_value_error(raw: bytes, decode: Callable[[bytes], object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(raw)


def test_score_that_is_no_number_is_published_as_null() -> None:
    published = json.loads(encode_inspection(replace(INSPECTION, verdict=Verdict.ERROR, score=float("nan"))))
    assert published["score"] is None


def test_inspection_states_its_schema_version_and_source() -> None:
    published = json.loads(encode_inspection(INSPECTION))
    assert published["schema_version"] == SCHEMA_VERSION
    assert published["source"] == {"topic": "images", "partition": 0, "offset": 5}


@pytest.mark.parametrize("schema_version", ["1.0", "1.1"])
def test_inspections_from_before_the_number_format_can_be_read(schema_version: str) -> None:
    written: dict[str, Any] = json.loads(encode_inspection(INSPECTION)) | {"schema_version": schema_version}
    del written["precision"]
    assert decode_inspection(json.dumps(written).encode()) == replace(INSPECTION, schema_version=schema_version)


@pytest.mark.parametrize("schema_version", ["1.0", "1.4"])
def test_inspections_from_before_parts_can_be_read(schema_version: str) -> None:
    written: dict[str, Any] = json.loads(encode_inspection(INSPECTION)) | {"schema_version": schema_version}
    del written["part"]
    assert decode_inspection(json.dumps(written).encode()) == replace(INSPECTION, schema_version=schema_version)


@pytest.mark.parametrize("name", ["../../etc", "", "A/B", "A\n", "x" * 65])
def test_release_cannot_point_outside_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="is not a line"):
        decode_release(encode_release(replace(RELEASE, line=name)))
    with pytest.raises(ValueError, match="is not a model version"):
        decode_release(encode_release(replace(RELEASE, version=name)))


def test_release_without_a_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        decode_release(encode_release(replace(RELEASE, threshold=float("nan"))))


@pytest.mark.parametrize("line", ["../../etc", "", "A\x00"])
def test_feedback_with_a_hostile_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is not a line"):
        decode_feedback(encode_feedback(replace(FEEDBACK, line=line)))


def test_feedback_from_before_kinds_and_versions_can_be_read() -> None:
    written: dict[str, Any] = json.loads(encode_feedback(FEEDBACK))
    before = ("line", "frame_id", "source", "verdict", "accepted_by", "accepted_at")
    assert decode_feedback(json.dumps({name: written[name] for name in before}).encode()) == FEEDBACK


def test_time_of_feedback_without_a_zone_is_utc() -> None:
    written: dict[str, Any] = json.loads(encode_feedback(FEEDBACK)) | {"accepted_at": "2026-01-02T12:00:00"}
    assert decode_feedback(json.dumps(written).encode()) == FEEDBACK


BOX = MarkedBox(1, 2, 30, 40)
DEFECTIVE = replace(FEEDBACK, verdict=Judgement.DEFECT, kind="scratch", boxes=(BOX,), model_version="v1")


@pytest.mark.parametrize(
    ("absurd", "reason"),
    [
        (replace(DEFECTIVE, kind="../../etc"), "kind of defect"),
        (replace(DEFECTIVE, kind="a/b"), "kind of defect"),
        (replace(DEFECTIVE, kind="Good"), "kind of defect"),
        (replace(DEFECTIVE, kind=" scratch"), "kind of defect"),
        (replace(DEFECTIVE, kind="scr\x00atch"), "kind of defect"),
        (replace(DEFECTIVE, kind="x" * 65), "kind of defect"),
        (replace(DEFECTIVE, kind=""), "kind of defect"),
        (replace(DEFECTIVE, model_version="../v1"), "is not a model version"),
        (replace(DEFECTIVE, accepted_by="x" * 129), "longer than 128"),
        (replace(DEFECTIVE, boxes=(BOX,) * (MAX_BOXES + 1)), "65 are more than 64"),
        (replace(DEFECTIVE, boxes=(replace(BOX, width=0),)), "is not a rectangle"),
        (replace(DEFECTIVE, boxes=(replace(BOX, x=-1),)), "is not a rectangle"),
        (replace(DEFECTIVE, boxes=(replace(BOX, y=2**31),)), "is not a rectangle"),
        (replace(DEFECTIVE, verdict=Judgement.GOOD), "neither a kind of defect nor boxes"),
        (replace(DEFECTIVE, verdict=Judgement.UNSURE, kind=None), "neither a kind of defect nor boxes"),
    ],
)
def test_feedback_that_cannot_be_is_refused(absurd: Feedback, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_feedback(encode_feedback(absurd))


def test_unknown_fields_are_ignored_so_that_a_minor_version_may_add_some() -> None:
    written: dict[str, Any] = json.loads(encode_feedback(FEEDBACK)) | {"mood": "fine"}
    assert decode_feedback(json.dumps(written).encode()) == FEEDBACK


def test_error_names_the_field() -> None:
    written: dict[str, Any] = json.loads(encode_feedback(FEEDBACK))
    written["source"]["offset"] = "late"
    with pytest.raises(ValueError, match=r"source\.offset"):
        decode_feedback(json.dumps(written).encode())


@pytest.mark.parametrize("offset", [-1, 2**63, 10**30])
def test_feedback_on_a_position_that_cannot_be_is_refused(offset: int) -> None:
    impossible = replace(FEEDBACK, source=replace(FEEDBACK.source, offset=offset))
    with pytest.raises(ValueError, match="is not a position"):
        decode_feedback(encode_feedback(impossible))
