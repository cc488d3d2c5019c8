"""Group a line's good samples by folder or by camera session.

Frames of one session share light, position and batch of parts; a new session differs in all of them. A threshold that
is to hold for a new session must therefore be tested on sessions that it was not set from.
"""

import hashlib
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from statistics import median

from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import LineName
from trainer.samples.card import Origin
from trainer.samples.store import SampleStore

SHORTEST_BREAK_S = 1800.0
BREAK_IN_MEDIAN_GAPS = 20
COPYING_GAP_S = 0.1
"""If the median gap between file times is shorter, they are times of copying, not of taking the pictures."""
MIN_OUTSIDE_LARGEST = 5
"""Fewest samples outside the largest group for which `auto` accepts a grouping."""

COLLECTED = "collected"
UNDATED = "undated"
NO_FOLDER = "no-folder"
LABEL_LENGTH = 40
HASH_DIGITS = 6

_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._-]+")


class GroupBy(StrEnum):
    """Ways to group good samples."""

    AUTO = "auto"
    """By session if all samples have a time and there are several sessions; else by folder if there are several."""
    FOLDER = "folder"
    SESSION = "session"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Group label of each sample; labels are valid names. Empty if `by` is NONE."""

    by: GroupBy
    """The way that was used: for AUTO, the one that it chose."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of samples in each group, largest group first."""
        return dict(sorted(Counter(self.labels.values()).items(), key=lambda item: (-item[1], item[0])))


UNGROUPED = Grouping(GroupBy.NONE)


def group_samples(store: SampleStore, line: LineName, samples: Sequence[str], by: GroupBy) -> Grouping:
    """Assign each good sample to a group. Raises TrainingError if a sample's card cannot be read."""
    if by is GroupBy.NONE:
        return UNGROUPED
    origins = {sample: store.card(line, Judgement.GOOD, sample).origins[0] for sample in samples}
    if by is GroupBy.FOLDER:
        return Grouping(by, _folders(origins))
    sessions = Grouping(GroupBy.SESSION, _sessions(origins))
    return sessions if by is GroupBy.SESSION else _first_with_several(sessions, origins)


def session_starts(times: Iterable[datetime]) -> list[datetime]:
    """Return the first time of each session, in order.

    A new session starts after a gap that is longer than 30 min and longer than 20 median gaps.
    """
    ascending = sorted(times)
    if len(ascending) < 2:
        return ascending
    gaps_s = _gaps_s(ascending)
    longest_s = max(SHORTEST_BREAK_S, BREAK_IN_MEDIAN_GAPS * median(gaps_s))
    after_breaks = [later for later, gap_s in zip(ascending[1:], gaps_s, strict=True) if gap_s > longest_s]
    return [ascending[0], *after_breaks]


def group_label(text: str) -> str:
    """Return a short, valid label for a folder's name; a changed name gets part of a digest, so it stays unique."""
    plain = _NOT_IN_LABELS.sub("-", text).strip("._-")
    if plain == text and len(plain) <= LABEL_LENGTH and plain not in (COLLECTED, UNDATED, NO_FOLDER):
        return plain
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]
    return f"{plain[: LABEL_LENGTH - HASH_DIGITS - 1] or 'x'}-{digest}"


def _first_with_several(sessions: Grouping, origins: Mapping[str, Origin]) -> Grouping:
    folders = Grouping(GroupBy.FOLDER, _folders(origins))
    dated = UNDATED not in sessions.sizes
    candidates = [*([sessions] if dated else []), folders]
    return next(filter(_several, candidates), UNGROUPED)


def _several(grouping: Grouping) -> bool:
    """Return True if enough samples lie outside the largest group, and groups have two samples or more on average."""
    sizes = list(grouping.sizes.values())
    return sum(sizes[1:]) >= MIN_OUTSIDE_LARGEST and sum(sizes) >= 2 * len(sizes)


def _folders(origins: Mapping[str, Origin]) -> dict[str, str]:
    return {sample: _folder(origin) for sample, origin in origins.items()}


def _folder(origin: Origin) -> str:
    """Label a sample with the first folder below the imported one, else with the imported folder itself."""
    if origin.imported is None:
        return COLLECTED
    below, *names = origin.imported.replace("\\", "/").split("/")
    if names:
        return group_label(below)
    return group_label(origin.folder) if origin.folder else NO_FOLDER


def _sessions(origins: Mapping[str, Origin]) -> dict[str, str]:
    times = _times(origins)
    starts = session_starts(times.values())
    labels = dict.fromkeys(origins, UNDATED)
    for sample, time in times.items():
        labels[sample] = f"{starts[bisect_right(starts, time) - 1]:%Y%m%dT%H%M%S}"
    return labels


def _times(origins: Mapping[str, Origin]) -> dict[str, datetime]:
    """Return the time of each picture for which one is known; file times only if the files were not copied."""
    captured = {sample: _aware(time) for sample, origin in origins.items() if (time := _captured(origin))}
    modified = {
        sample: _aware(origin.modified_at)
        for sample, origin in origins.items()
        if sample not in captured and origin.modified_at is not None
    }
    return captured if _copied(modified.values()) else {**captured, **modified}


def _captured(origin: Origin) -> datetime | None:
    # Older cards have no capture time. Operators accept frames soon after they are taken, so that time is used.
    return origin.captured_at or (origin.accepted_at if origin.position else None)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _copied(times: Iterable[datetime]) -> bool:
    gaps_s = _gaps_s(sorted(times))
    return not gaps_s or median(gaps_s) < COPYING_GAP_S


def _gaps_s(ascending: Sequence[datetime]) -> list[float]:
    return [(later - earlier).total_seconds() for earlier, later in pairwise(ascending)]
