"""Show how many inspections a search has over time."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.parameters.fields import Text, Time
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.history.search import Search
from qc_dashboard.history.timeline import Timeline
from qc_dashboard.history.times import from_us, to_us
from qc_worker.domain.inspection import Verdict


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """Conditions that a counted inspection must meet, all of them."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: Text | None = None
    """Production line."""
    camera: Text | None = None
    """Camera."""
    verdict: tuple[Verdict, ...] = ()
    """Verdicts, any of them; may be given several times."""
    model_version: Text | None = None
    """Version of the model that judged."""
    since: Time | None = None
    """Earliest time, included; missing: the first inspection, a year before the end at most."""
    until: Time | None = None
    """Latest time, excluded; missing: the last inspection."""

    @property
    def search(self) -> Search:
        return Search(
            line=self.line,
            camera=self.camera,
            verdicts=self.verdict,
            model_version=self.model_version,
            since_us=None if self.since is None else to_us(self.since),
            until_us=None if self.until is None else to_us(self.until),
        )


@dataclass(frozen=True, slots=True)
class TimelineBucket:
    """Inspections in a bucket of time."""

    __pydantic_config__: ClassVar = DOCUMENTED

    since: datetime
    """Start, included, UTC."""
    until: datetime
    """End, excluded, UTC."""
    counts: dict[Verdict, int]
    """Number of inspections by verdict; those that did not occur are missing."""


@dataclass(frozen=True, slots=True)
class TimelineMark:
    """A release on the timeline."""

    __pydantic_config__: ClassVar = DOCUMENTED

    line: str
    """Line of the release."""
    released_at: datetime
    """Time of the release, UTC."""
    version: str
    """Version of the model."""
    action: str
    """Reason of the release: a new version, a rollback, another threshold ..."""


@dataclass(frozen=True, slots=True)
class TimelineCounts:
    """Inspections over time."""

    __pydantic_config__: ClassVar = DOCUMENTED

    since: datetime
    """Start of the span, UTC."""
    until: datetime
    """End of the span, UTC."""
    bucket_s: int
    """Length of a bucket; the first and the last one may be shorter."""
    buckets: tuple[TimelineBucket, ...]
    """Buckets with inspections, in the order of time."""
    marks: tuple[TimelineMark, ...]
    """Releases in the span, oldest first; the newest 50 of them."""


def show_timeline(request: Request) -> Response:
    """Answer with the counts."""
    query, api = query_of(request, TimelineQuery), api_of(request)
    return json_answer(_shown(api.history.timeline(query.search, now_us=to_us(api.clock.now()))))


def _shown(found: Timeline) -> TimelineCounts:
    return TimelineCounts(
        from_us(found.since_us),
        from_us(found.until_us),
        found.bucket_us // 1_000_000,
        tuple(
            TimelineBucket(
                from_us(max(one.start_us, found.since_us)),
                from_us(min(one.start_us + found.bucket_us, found.until_us)),
                one.counts,
            )
            for one in found.buckets
        ),
        tuple(TimelineMark(one.line, from_us(one.released_us), one.version, one.action) for one in found.marks),
    )
