"""Records every frame that the demo sent and every inspection that came back."""

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
    """A frame that was sent, with its true label: a defect kind, or None for a good part."""

    frame_id: str
    line: str
    defect: str | None


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame with its first inspection."""

    sent: SentFrame
    inspection: Inspection


class Tally:
    """Frames sent and inspections received; filled by the cameras' thread and the reader's.

    Frames are matched by the ids that the demo gave them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, SentFrame] = {}
        self._judged: dict[str, JudgedFrame] = {}
        self._first_scored_at: dict[tuple[str, str], datetime] = {}
        self._duplicates = 0

    def record_sent(self, frame: SentFrame) -> None:
        """Record a frame; call this before sending it, or its inspection could come first."""
        with self._lock:
            self._sent[frame.frame_id] = frame

    def record_inspection(self, inspection: Inspection) -> None:
        """Count an inspection; those of frames that the demo did not send are ignored."""
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
        """Return the judged frames in the order of their inspections; `line` None: of all lines."""
        with self._lock:
            frames = list(self._judged.values())
        return [frame for frame in frames if line in (None, frame.sent.line)]

    def first_scored_at(self, line: str, version: str) -> datetime | None:
        """Return the time at which a model version judged its first frame; None if it has judged none."""
        with self._lock:
            return self._first_scored_at.get((line, version))

    def model_versions(self, line: str) -> tuple[str, ...]:
        """Return the versions that judged frames of the line, in order of appearance."""
        with self._lock:
            found = [(scored_at, version) for (of, version), scored_at in self._first_scored_at.items() if of == line]
        return tuple(version for _, version in sorted(found))


def verdict_counts(frames: Iterable[JudgedFrame]) -> dict[str, int]:
    """Count the frames by verdict."""
    return dict(Counter(frame.inspection.verdict.value for frame in frames))


def reject_quality(frames: Iterable[JudgedFrame]) -> RejectQuality:
    """Count the rejects, and those of them that show a defect."""
    rejects = [frame for frame in frames if frame.inspection.verdict is Verdict.REJECT]
    return RejectQuality(rejects=len(rejects), right=sum(frame.sent.defect is not None for frame in rejects))


def latency(frames: Sequence[JudgedFrame]) -> LatencyMs:
    """Compute percentiles of the time from capture to verdict; NaN without frames."""
    told = [frame.inspection for frame in frames]
    spent_s = [(one.scored_at - one.captured_at).total_seconds() for one in told if one.captured_at]
    if not spent_s:
        return LatencyMs(math.nan, math.nan, math.nan)
    return LatencyMs(*(float(ms) for ms in np.percentile(spent_s, (50, 95, 99)) * 1000))


def image_auroc(frames: Iterable[JudgedFrame]) -> float:
    """Compute how well anomaly scores separate defects from good parts (AUROC); NaN unless both were seen.

    Each score is taken relative to the threshold of the model that gave it, so that frames of two versions can be
    compared.
    """
    good: list[float] = []
    bad: list[float] = []
    for frame in frames:
        score, threshold = frame.inspection.score, frame.inspection.threshold
        if score is not None and threshold is not None:
            (good if frame.sent.defect is None else bad).append(score - threshold)
    return auroc(good, bad)
