"""Decide which inspections are offered to reviewers, and how doubtful each is."""

import math
import zlib
from hashlib import blake2b
from typing import Any

from qc_dashboard.database.frames import columns_of
from qc_worker.domain import names
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

ALWAYS = frozenset({Verdict.REJECT, Verdict.REVIEW})
"""Verdicts of which every frame is offered."""


def offered_share(verdict: Verdict, source: Position, pass_share: float) -> float | None:
    """Return the share of this verdict that is offered if this frame is; None if it is not.

    Passes are chosen by their position, as workers choose those that get a heatmap and the archive those that it
    keeps: what is offered of a smaller share has its pictures.
    """
    if verdict in ALWAYS:
        return 1.0
    if verdict is Verdict.PASS and zlib.crc32(str(source).encode()) < pass_share * 2**32:
        return pass_share
    return None


def doubt(verdict: Verdict, source: Position, *, score: float | None, threshold: float | None) -> float:
    """Return a number from 0 to 1: near 1 if the score is near the threshold, relative to the threshold's size.

    For a pass it is random, so that the passes that people come to judge stay a fair sample of all.
    """
    if verdict is Verdict.PASS:
        return int.from_bytes(blake2b(str(source).encode(), digest_size=6).digest()) / 2**48
    if score is None or threshold is None or not math.isfinite(score - threshold):
        return 0.0
    scale = abs(threshold) or 1.0
    return scale / (scale + abs(score - threshold))


def queue_row(inspection: Any, *, pass_share: float) -> dict[str, Any] | None:
    """Return the queue's row for a row of the history; None if the frame is not offered or cannot be judged."""
    source = Position(inspection.source_topic, inspection.source_partition, inspection.source_offset)
    verdict = Verdict(inspection.verdict)
    share = offered_share(verdict, source, pass_share)
    if share is None or not can_be_judged(inspection.line, inspection.frame_id):
        return None
    return {
        **columns_of(source),
        "line": inspection.line,
        "verdict": verdict.value,
        "taken_us": inspection.taken_us,
        "doubt": doubt(verdict, source, score=inspection.score, threshold=inspection.threshold),
        "share": share,
        "said_us": 0,
    }


def can_be_judged(line: str | None, frame_id: str | None) -> bool:
    """Return True if a person's word can name that line and frame."""
    try:
        names.line_name(line or "")
        names.frame_id(frame_id or "")
    except ValueError:
        return False
    return True
