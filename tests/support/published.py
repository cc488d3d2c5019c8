"""Make inspections, releases and feedback as they are read back from their topics."""

from datetime import timedelta
from typing import Any

from qc_worker.domain.frame import Partition, Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.ports.results import PublishedInspection
from qc_worker.wire.json_types import encode_inspection
from tests.support.factories import NOON

RESULTS = "results"
MARKUP = "<img src=x onerror=alert(1)>\"'"
"""A name that would run a script if a page did not escape it."""


def inspection(offset: int = 0, **fields: Any) -> Inspection:
    """An inspection of line A whose frame lies at that offset and was taken that many seconds after noon."""
    taken = NOON + timedelta(seconds=offset)
    defaults: dict[str, Any] = {
        "frame_id": f"f{offset}",
        "line": "A",
        "camera": "top",
        "captured_at": taken,
        "scored_at": taken + timedelta(milliseconds=40),
        "source": Position("images", 0, offset),
        "verdict": Verdict.PASS,
        "model_version": "v1",
        "score": 0.5,
    }
    return Inspection(**{**defaults, **fields})


def published(one: Inspection, offset: int, *, partition: int = 0) -> PublishedInspection:
    """That inspection at a position on `results`."""
    position = Position(RESULTS, partition, offset)
    return PublishedInspection(one, position, b"A/top", (), one.scored_at, encode_inspection(one))


def places(offset: int, *, partition: int = 0) -> dict[Partition, int]:
    return {Partition(RESULTS, partition): offset}
