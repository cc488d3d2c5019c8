"""Shapes of releases in answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_worker.domain.release import Release, ReleaseAction

PROMISED = "max_false_reject"
"""Figure of a release: the false-reject rate that its calibration promises."""


@dataclass(frozen=True, slots=True)
class LiveRelease:
    """The release of a line that is live."""

    __pydantic_config__: ClassVar = DOCUMENTED

    version: str
    """Model version."""
    threshold: float
    """Threshold of the score; scores above it are rejected."""
    max_false_reject: float | None
    """Promised rate: at most this share of good frames is rejected; null if it is not known."""
    released_at: datetime
    """Time of the announcement, UTC."""
    action: ReleaseAction
    """Action that made it live."""


@dataclass(frozen=True, slots=True)
class JudgingVersion:
    """A version that judged frames in the last minutes, on whichever worker."""

    __pydantic_config__: ClassVar = DOCUMENTED

    version: str
    """Model version."""
    frames: int
    """Frames that it judged in the window."""
    is_live: bool
    """True if it is the version that is to be live."""
    last_at: datetime
    """Second of its newest verdict, UTC."""
    partitions: tuple[int, ...]
    """Partitions of the frames' topic on which it gave the newest verdict: each is read by one worker at a time, so a
    worker that still judges with another version keeps its partitions there."""


@dataclass(frozen=True, slots=True)
class LineModels:
    """Models of a line."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: str
    """Production line."""
    live: LiveRelease | None
    """Release that is live; null if none was announced."""
    judges_since: datetime | None
    """First verdict of the live version after its release, UTC; null before, and without a release."""
    judges_after_s: float | None
    """Seconds from the release to that verdict."""
    judging: tuple[JudgingVersion, ...]
    """Versions at work: more than one, or another than the live one, while workers still load a release."""
    releases: tuple[Release, ...]
    """Announcements, newest first, 100 at most."""


@dataclass(frozen=True, slots=True)
class Models:
    """Models of all lines."""

    __pydantic_config__: ClassVar = DOCUMENTED

    window_s: int
    """Seconds back from now in which frames are counted."""
    lines: tuple[LineModels, ...]
    """Every line that has inspections or releases, in alphabetical order."""


def live_release(releases: Sequence[Release]) -> LiveRelease | None:
    """Return the last one of a line's releases, with the rate that its version promised when it was made."""
    if not releases:
        return None
    live = releases[-1]
    promised = (one.metrics[PROMISED] for one in reversed(releases) if _promises(one, live.version))
    return LiveRelease(live.version, live.threshold, next(promised, None), live.released_at, live.action)


def _promises(release: Release, version: str) -> bool:
    return release.version == version and PROMISED in release.metrics
