"""Converts between JSON and domain values, checked both ways by pydantic."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from qc_worker.domain import names
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.inspection import Inspection
from qc_worker.domain.release import Release

T = TypeVar("T")

INSPECTION = TypeAdapter(Inspection)
RELEASE = TypeAdapter(Release)
FEEDBACK = TypeAdapter(Feedback)


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
    """Read an operator's verdict and check its names. Raises ValueError."""
    feedback = _load(FEEDBACK, raw)
    names.line_name(feedback.line)
    names.frame_id(feedback.frame_id)
    if not (0 <= feedback.source.partition < 2**31 and 0 <= feedback.source.offset < 2**63):
        raise ValueError(f"source: {feedback.source} is not a position")
    return feedback


def _load(adapter: TypeAdapter[T], raw: bytes) -> T:
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise ValueError(f"{where}: {first['msg']}") from None
