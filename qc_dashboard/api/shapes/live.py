"""Shapes of the live state: lines, and the messages of the stream."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from qc_dashboard.api.live.event_ids import event_id
from qc_dashboard.api.live.news import News
from qc_dashboard.api.live.workers import WorkersState
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.inspections import ListedInspection, listed
from qc_dashboard.api.shapes.models import LiveRelease
from qc_dashboard.projecting.follower import Away
from qc_worker.domain.inspection import Verdict


@dataclass(frozen=True, slots=True)
class LineState:
    """What a line does now."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: str
    """Production line."""
    last: ListedInspection | None
    """Newest inspection by capture time."""
    lag_s: float | None
    """Seconds from the capture of the newest inspection's frame to its verdict: it grows if workers fall behind; null
    if the capture time is not known."""
    frames_per_s: float
    """Verdicts per second, mean of the last minute."""
    counts: Mapping[Verdict, int]
    """Verdicts in the window, by verdict; those that did not occur are missing."""
    reject_share: float | None
    """Share of rejects in the window; null if there were no verdicts."""
    review_share: float | None
    """Share of reviews in the window."""
    error_share: float | None
    """Share of frames in the window that were not judged: errors, and those without a model."""
    late: int
    """Verdicts in the window that came after the frame's deadline."""
    release: LiveRelease | None
    """Release that is live; null if none was announced."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A topic that cannot be followed at the moment: what it carries is missing here until it can."""

    __pydantic_config__: ClassVar = DOCUMENTED

    topic: str
    """Topic."""
    since: datetime
    """Begin of the outage, UTC."""
    reason: str
    """Reason in a sentence."""
    away: Away
    """Part that does not work: the broker, the history's database, or the dashboard itself."""
    hides_verdicts: bool
    """True if new inspections cannot come in, so that what is known of the lines is old."""


@dataclass(frozen=True, slots=True)
class WorkersNow:
    """Workers of all lines together and the frames that wait for them, as the broker said some seconds ago.

    All are null if it has not answered lately; then `reason` says why.
    """

    __pydantic_config__: ClassVar = DOCUMENTED

    asked_at: datetime | None
    """Time of the broker's answer, UTC."""
    alive: int | None
    """Workers that the broker takes for alive; one that was killed counts until its session times out."""
    usual: int | None
    """Most workers that were there together for a minute in the last hour; null in the first minute."""
    waiting_frames: int | None
    """Frames on the topic that are not judged yet."""
    oldest_waits_s: float | None
    """Seconds for which the oldest of them has waited at least; 0 if none waits for longer than a moment."""
    arriving_per_s: float | None
    """Frames per second that cameras have sent, mean of the last half minute; null at first."""
    reason: str | None
    """Reason in a sentence why nothing is known."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A span of time of which inspections are missing here for good: retention took them before they were read."""

    __pydantic_config__: ClassVar = DOCUMENTED

    since: datetime | None
    """Time of the last inspection before it, UTC; null: there is none."""
    until: datetime | None
    """Time of the first inspection behind it, UTC; null: none has come yet."""
    records: int
    """Largest number of inspections that are missing."""


@dataclass(frozen=True, slots=True)
class LineStates:
    """What all lines do now."""

    __pydantic_config__: ClassVar = DOCUMENTED

    now: datetime
    """Time of the answer, UTC."""
    window_s: int
    """Seconds back from now in which verdicts are counted."""
    lines: tuple[LineState, ...]
    """Every line of the history, in alphabetical order."""
    waiting: tuple[Waiting, ...]
    """Topics that cannot be followed at the moment."""
    workers: WorkersNow
    """Workers, and what waits for them."""
    lost: tuple[Lost, ...]
    """What was lost to the history in the last day, newest last."""
    event_id: str | None
    """Id from which the stream continues this answer: give it as `after`; null just after a start."""


@dataclass(frozen=True, slots=True)
class NewOnLine:
    """What came in of one line since the message before."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: str | None
    """Production line; null for frames that name none."""
    counts: Mapping[Verdict, int]
    """Number of new inspections by verdict, exact; those that did not occur are missing."""
    late: int
    """Number of them that came after the frame's deadline."""
    sample: tuple[ListedInspection, ...]
    """At most three of them, oldest first: rejects and other rare verdicts rather than passes."""


@dataclass(frozen=True, slots=True)
class NewInspections:
    """Content of an event `inspections`: what came in since the event before, each inspection counted once."""

    __pydantic_config__: ClassVar = DOCUMENTED

    lines: tuple[NewOnLine, ...]
    """Lines that something came in of."""


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Content of the event `start`, the first one."""

    __pydantic_config__: ClassVar = DOCUMENTED

    event_id: str
    """Id from which the counts of this stream begin."""
    resumed: bool
    """True if the events continue those that the client has seen."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Content of the event `reload`: too much was missed to be sent again; load the page's state again."""

    __pydantic_config__: ClassVar = DOCUMENTED

    reason: str
    """Reason in a sentence."""


def shown_workers(state: WorkersState) -> WorkersNow:
    """Make the workers' state as the API gives it."""
    return WorkersNow(
        asked_at=state.asked_at,
        alive=state.alive,
        usual=state.usual,
        waiting_frames=state.waiting,
        oldest_waits_s=state.oldest_waits_s,
        arriving_per_s=state.arriving_per_s,
        reason=state.reason,
    )


def shown_news(news: News) -> NewInspections:
    """Make the content of an event."""
    lines = sorted(news.lines.items(), key=lambda item: (item[0] is not None, item[0] or ""))
    return NewInspections(
        tuple(NewOnLine(line, one.counts, one.late, tuple(map(listed, one.sample))) for line, one in lines)
    )


def id_after(news: News) -> str:
    """Return the id of the event that carries the news."""
    return event_id(news.after)
