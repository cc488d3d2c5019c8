"""Which good samples of a line belong together: they share a folder, or a session of the camera.

Frames of one session share light, position and batch of parts. A new session has others, so a threshold that is to
hold for it must have been set without it.
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
from trainer.samples.store import Origin, SampleStore

SHORTEST_BREAK_S = 1800.0
BREAK_IN_MEDIAN_GAPS = 20
COPYING_GAP_S = 0.1
"""Files whose times are closer together than this, in the median, were copied rather than photographed."""
MIN_OUTSIDE_LARGEST = 5
"""Samples outside the largest group at the least, or `auto` does not take it for a grouping."""

COLLECTED = "collected"
UNDATED = "undated"
NO_FOLDER = "no-folder"
LABEL_LENGTH = 40
HASH_DIGITS = 6

_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._-]+")


class GroupBy(StrEnum):
    """How good samples are grouped."""

    AUTO = "auto"
    """By session if all samples have a time and there are several sessions; else by folder if there are several."""
    FOLDER = "folder"
    SESSION = "session"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Labels of the groups, valid as names, by sample; none if `by` is NONE."""

    by: GroupBy
    """Never AUTO: what it chose."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Samples in each group, largest first."""
        return dict(sorted(Counter(self.labels.values()).items(), key=lambda item: (-item[1], item[0])))


UNGROUPED = Grouping(GroupBy.NONE)


def group_samples(store: SampleStore, line: LineName, samples: Sequence[str], by: GroupBy) -> Grouping:
    """Give each good sample a group. Raises TrainingError if a sample's card cannot be read."""
    if by is GroupBy.NONE:
        return UNGROUPED
    origins = {sample: store.card(line, Judgement.GOOD, sample).origins[0] for sample in samples}
    if by is GroupBy.FOLDER:
        return Grouping(by, _folders(origins))
    sessions = Grouping(GroupBy.SESSION, _sessions(origins))
    return sessions if by is GroupBy.SESSION else _first_with_several(sessions, origins)


def session_starts(times: Iterable[datetime]) -> list[datetime]:
    """First time of each session, in order; a new one starts after a gap over 30 min and over 20 median gaps."""
    ascending = sorted(times)
    if len(ascending) < 2:
        return ascending
    gaps_s = _gaps_s(ascending)
    longest_s = max(SHORTEST_BREAK_S, BREAK_IN_MEDIAN_GAPS * median(gaps_s))
    after_breaks = [later for later, gap_s in zip(ascending[1:], gaps_s, strict=True) if gap_s > longest_s]
    return [ascending[0], *after_breaks]


def group_label(text: str) -> str:
    """A short name for a folder, valid as one of ours; what was changed gets part of a digest, so it stays unique."""
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
    """Whether the groups are more than one and some strays, and hold more than one sample each."""
    sizes = list(grouping.sizes.values())
    return sum(sizes[1:]) >= MIN_OUTSIDE_LARGEST and sum(sizes) >= 2 * len(sizes)


def _folders(origins: Mapping[str, Origin]) -> dict[str, str]:
    return {sample: _folder(origin) for sample, origin in origins.items()}


def _folder(origin: Origin) -> str:
    """The first folder below the one that was imported, else that one itself."""
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
    """When each picture was taken, as far as that is known."""
    captured = {sample: _aware(time) for sample, origin in origins.items() if (time := _captured(origin))}
    modified = {
        sample: _aware(origin.modified_at)
        for sample, origin in origins.items()
        if sample not in captured and origin.modified_at is not None
    }
    return captured if _copied(modified.values()) else {**captured, **modified}


def _captured(origin: Origin) -> datetime | None:
    """Operators accept frames soon after they were taken, so cards of before will do with that time."""
    return origin.captured_at or (origin.accepted_at if origin.position else None)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _copied(times: Iterable[datetime]) -> bool:
    gaps_s = _gaps_s(sorted(times))
    return not gaps_s or median(gaps_s) < COPYING_GAP_S


def _gaps_s(ascending: Sequence[datetime]) -> list[float]:
    return [(later - earlier).total_seconds() for earlier, later in pairwise(ascending)]
