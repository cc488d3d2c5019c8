"""Converts between JSON and domain values, checked both ways by pydantic."""

import re
from dataclasses import replace
from datetime import UTC
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from qc_worker.domain import names
from qc_worker.domain.collected import Collected
from qc_worker.domain.feedback import MAX_BOXES, Feedback, Judgement, MarkedBox
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection
from qc_worker.domain.release import Release

T = TypeVar("T")

INSPECTION = TypeAdapter(Inspection)
RELEASE = TypeAdapter(Release)
FEEDBACK = TypeAdapter(Feedback)
COLLECTED = TypeAdapter(Collected)


def encode_inspection(inspection: Inspection) -> bytes:
    """Encode an inspection as JSON."""
    return INSPECTION.dump_json(inspection)


def decode_inspection(raw: bytes) -> Inspection:
    """Read an inspection. Raises ValueError."""
    return _load(INSPECTION, raw)


def encode_release(release: Release) -> bytes:
    """Encode a release as JSON."""
    return RELEASE.dump_json(release)


def decode_release(raw: bytes) -> Release:
    """Read a release and check its names. Raises ValueError."""
    release = _load(RELEASE, raw)
    names.line_name(release.line)
    names.model_version(release.version)
    return release


def encode_feedback(feedback: Feedback) -> bytes:
    """Encode an operator's verdict as JSON."""
    return FEEDBACK.dump_json(feedback)


def decode_feedback(raw: bytes) -> Feedback:
    """Read a person's verdict and check its names and boxes. Raises ValueError."""
    feedback = _load(FEEDBACK, raw)
    names.line_name(feedback.line)
    names.frame_id(feedback.frame_id)
    _check_position(feedback.source)
    names.person_name(feedback.accepted_by)
    if feedback.model_version is not None:
        names.model_version(feedback.model_version)
    if feedback.kind is not None:
        names.defect_kind(feedback.kind)
    _check_marks(feedback)
    if feedback.accepted_at.tzinfo is None:
        return replace(feedback, accepted_at=feedback.accepted_at.replace(tzinfo=UTC))
    return feedback


def encode_collected(collected: Collected) -> bytes:
    """Encode the outcome of a verdict as JSON."""
    return COLLECTED.dump_json(collected)


def decode_collected(raw: bytes) -> Collected:
    """Read the outcome of a verdict and check its names. Raises ValueError."""
    collected = _load(COLLECTED, raw)
    names.line_name(collected.line)
    names.person_name(collected.accepted_by)
    _check_position(collected.source)
    if collected.sample is not None and not re.fullmatch(names.SHA256_PATTERN, collected.sample):
        raise ValueError("sample: not a SHA-256")
    if collected.accepted_at.tzinfo is None or collected.collected_at.tzinfo is None:
        raise ValueError("accepted_at, collected_at: a time without its zone")
    return collected


def _check_position(source: Position) -> None:
    if not (0 <= source.partition < 2**31 and 0 <= source.offset < 2**63):
        raise ValueError(f"source: {source} is not a position")


def _check_marks(feedback: Feedback) -> None:
    if feedback.verdict is not Judgement.DEFECT and (feedback.kind is not None or feedback.boxes):
        raise ValueError(f"verdict: {feedback.verdict} has neither a kind of defect nor boxes")
    if len(feedback.boxes) > MAX_BOXES:
        raise ValueError(f"boxes: {len(feedback.boxes)} are more than {MAX_BOXES}")
    for box in feedback.boxes:
        if not _is_drawn(box):
            raise ValueError(f"boxes: {box.width} x {box.height} at {box.x},{box.y} is not a rectangle")


def _is_drawn(box: MarkedBox) -> bool:
    return all(0 <= edge < 2**31 for edge in (box.x, box.y)) and all(
        0 < side < 2**31 for side in (box.width, box.height)
    )


def _load(adapter: TypeAdapter[T], raw: bytes) -> T:
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise ValueError(f"{where}: {first['msg']}") from None
