"""Convert inspections, releases, feedback and its outcomes to rows. What no database can hold is refused, not cut."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog

from qc_dashboard.database.frames import columns_of
from qc_dashboard.history.times import to_us
from qc_worker.domain.frame import Position
from qc_worker.ports.feeds import Published, PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection

MAX_NAME_LENGTH = 256
"""Longest name, characters: topics' names have 249 at most, and an index entry must fit its page."""

Row = dict[str, Any]
P = TypeVar("P", bound=Published)
log = structlog.get_logger()


def rows_of(published: Sequence[P], convert: Callable[[P], Row]) -> list[Row]:
    """Convert all; those that cannot be stored are logged and left out."""
    rows: list[Row] = []
    for one in published:
        try:
            rows.append(convert(one))
        except ValueError as error:
            log.warning("record not stored", reason=str(error), position=str(one.position))
    return rows


def inspection_row(published: PublishedInspection) -> Row:
    """Convert an inspection. Raises ValueError."""
    inspection = published.inspection
    scored_us = to_us(inspection.scored_at)
    return {
        **_source(inspection.source),
        "results_partition": published.position.partition,
        "results_offset": published.position.offset,
        "taken_us": scored_us if inspection.captured_at is None else to_us(inspection.captured_at),
        "scored_us": scored_us,
        "line": _name("line", inspection.line),
        "camera": _name("camera", inspection.camera),
        "frame_id": _name("frame_id", inspection.frame_id),
        "part": _name("part", inspection.part),
        "verdict": inspection.verdict.value,
        "reason": None if inspection.reason is None else inspection.reason.value,
        "model_version": _name("model_version", inspection.model_version),
        "score": _finite(inspection.score),
        "p_value": _finite(inspection.p_value),
        "threshold": _finite(inspection.threshold),
        "late": inspection.late,
        "document": _document(published.content),
    }


def release_row(published: PublishedRelease) -> Row:
    """Convert a release. Raises ValueError."""
    release = published.release
    return {
        "line": release.line,
        "released_us": to_us(release.released_at),
        "version": release.version,
        "action": release.action.value,
        "threshold": release.threshold,
        "document": _document(published.content),
    }


def feedback_row(published: PublishedFeedback) -> Row:
    """Convert a person's verdict. Raises ValueError."""
    feedback = published.feedback
    return {
        **_source(feedback.source),
        "accepted_us": to_us(feedback.accepted_at),
        "accepted_by": _name("accepted_by", feedback.accepted_by),
        "line": feedback.line,
        "verdict": feedback.verdict.value,
        "document": _document(published.content),
    }


def collected_row(published: PublishedCollected) -> Row:
    """Convert the outcome of a verdict. Raises ValueError."""
    collected = published.collected
    return {
        **_source(collected.source),
        "accepted_us": to_us(collected.accepted_at),
        "accepted_by": _name("accepted_by", collected.accepted_by),
        "line": collected.line,
        "outcome": collected.outcome.value,
        "collected_us": to_us(collected.collected_at),
        "sample": collected.sample,
    }


def can_be_stored(position: Position) -> bool:
    """Return True if the database's types can hold the position."""
    numbers_fit = 0 <= position.partition < 2**31 and 0 <= position.offset < 2**63
    return numbers_fit and len(position.topic) <= MAX_NAME_LENGTH and "\0" not in position.topic


def _source(position: Position) -> Row:
    if not can_be_stored(position):
        raise ValueError(f"source: {str(position)[:80]!r} is not a position")
    return columns_of(position)


def _name(field: str, text: str | None) -> str | None:
    if text is not None and (len(text) > MAX_NAME_LENGTH or "\0" in text):
        raise ValueError(f"{field}: {text[:80]!r} is not a name")
    return text


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _document(content: bytes) -> str:
    document = content.decode()
    if "\0" in document:
        raise ValueError("the document has a NUL")
    return document
