"""The demo's bookkeeping: every frame sent, every inspection that came back."""

import math
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.embedded.demo.report import LatencyMs, RejectQuality
from qc_worker.simplenet.roc import auroc


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A frame that went out; `defect` is the truth about it."""

    frame_id: str
    line: str
    defect: str | None


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame with the first inspection that came for it."""

    sent: SentFrame
    inspection: Inspection


class Tally:
    """Filled by the cameras' thread and the reader's; frames are matched by the ids that the demo gave them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, SentFrame] = {}
        self._judged: dict[str, JudgedFrame] = {}
        self._first_scored_at: dict[tuple[str, str], datetime] = {}
        self._duplicates = 0

    def record_sent(self, frame: SentFrame) -> None:
        """To be called before the frame goes out, or its inspection could be the quicker one."""
        with self._lock:
            self._sent[frame.frame_id] = frame

    def record_inspection(self, inspection: Inspection) -> None:
        """Count an inspection; those of frames that the demo did not send are none of its business."""
        with self._lock:
            sent = self._sent.get(inspection.frame_id or "")
            if sent is None:
                return
            if sent.frame_id in self._judged:
                self._duplicates += 1
                return
            self._judged[sent.frame_id] = JudgedFrame(sent, inspection)
            if inspection.model_version:
                first = (sent.line, inspection.model_version)
                scored_at = self._first_scored_at.get(first, inspection.scored_at)
                self._first_scored_at[first] = min(scored_at, inspection.scored_at)

    @property
    def frames_sent(self) -> int:
        return len(self._sent)

    @property
    def inspections(self) -> int:
        """Inspections that came back, duplicates included."""
        return len(self._judged) + self._duplicates

    @property
    def duplicates(self) -> int:
        return self._duplicates

    @property
    def missing(self) -> int:
        """Frames sent that have no inspection (yet)."""
        return len(self._sent) - len(self._judged)

    def judged(self, line: str | None = None) -> list[JudgedFrame]:
        """Judged frames in the order their inspections came."""
        with self._lock:
            frames = list(self._judged.values())
        return [frame for frame in frames if line in (None, frame.sent.line)]

    def first_scored_at(self, line: str, version: str) -> datetime | None:
        """When a model version judged its first frame."""
        with self._lock:
            return self._first_scored_at.get((line, version))

    def model_versions(self, line: str) -> tuple[str, ...]:
        """Versions that judged frames of the line, in order of appearance."""
        with self._lock:
            found = [(scored_at, version) for (of, version), scored_at in self._first_scored_at.items() if of == line]
        return tuple(version for _, version in sorted(found))


def verdict_counts(frames: Iterable[JudgedFrame]) -> dict[str, int]:
    """How often each verdict was given."""
    return dict(Counter(frame.inspection.verdict.value for frame in frames))


def reject_quality(frames: Iterable[JudgedFrame]) -> RejectQuality:
    """How many of the rejects show a defect."""
    rejects = [frame for frame in frames if frame.inspection.verdict is Verdict.REJECT]
    return RejectQuality(rejects=len(rejects), right=sum(frame.sent.defect is not None for frame in rejects))


def latency(frames: Sequence[JudgedFrame]) -> LatencyMs:
    """From taking the frame to its verdict."""
    told = [frame.inspection for frame in frames]
    spent_s = [(one.scored_at - one.captured_at).total_seconds() for one in told if one.captured_at]
    if not spent_s:
        return LatencyMs(math.nan, math.nan, math.nan)
    return LatencyMs(*(float(ms) for ms in np.percentile(spent_s, (50, 95, 99)) * 1000))


def image_auroc(frames: Iterable[JudgedFrame]) -> float:
    """How well anomaly scores tell defects from good parts; NaN unless both were seen.

    Scores count from the threshold of the model that gave them, so that frames of two versions can be compared.
    """
    good: list[float] = []
    bad: list[float] = []
    for frame in frames:
        score, threshold = frame.inspection.score, frame.inspection.threshold
        if score is not None and threshold is not None:
            (good if frame.sent.defect is None else bad).append(score - threshold)
    return auroc(good, bad)
