"""Make the figures of a span, all from one snapshot of the database."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from qc_dashboard.database.database import Database
from qc_dashboard.history.conditions import TABLE
from qc_dashboard.history.counting import distinct
from qc_dashboard.history.gaps import Gap, gaps_between
from qc_dashboard.history.times import from_us, to_us
from qc_dashboard.projecting.follower import Outage
from qc_dashboard.reporting.defect_map import archived_pictures, defect_maps
from qc_dashboard.reporting.estimates import Stratum, estimate_of_strata
from qc_dashboard.reporting.figures import Counted, Figures, MissingData, ReportSpan, Reviewed
from qc_dashboard.reporting.line_parts import FINDINGS, INSPECTED, LinePart, frames_by, line_part, pass_share
from qc_dashboard.reporting.reviewed import JudgedFrame
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

MAX_SPAN = timedelta(days=366)
MAX_LINES = 200
MAX_LISTED = 100
MAX_MISSING = 100
MAX_MAPPED_FRAMES = 20_000
NO_KIND = "no kind named"
NO_CAMERA = "no camera named"
NO_LINE = "no line named"
OTHERS = "others"
LOST = "Retention removed them from the topic of results before the dashboard had read them."


class Reporter:
    """Makes reports. Every method may raise DatabaseAway."""

    def __init__(self, database: Database, *, outages: Callable[[], Sequence[Outage]] = tuple) -> None:
        self._database = database
        self._outages = outages

    def figures(self, span: ReportSpan) -> Figures:
        """Return the figures of the span. Raises ValueError for a span or line that cannot be."""
        span = _checked(span)
        since_us, until_us = to_us(span.since), to_us(span.until)
        with self._database.reading() as connection:
            lines = _lines(connection, span)
            mapped = MAX_MAPPED_FRAMES // max(1, len(lines))
            parts = [line_part(connection, line, (since_us, until_us), mapped=mapped) for line in lines]
            gaps = gaps_between(connection, since_us, until_us)
            pictures = archived_pictures(connection, (one for part in parts for one in part.findings))
        if not span.lines:
            parts = [part for part in parts if part.tallies]
        return _figures(span, parts, [*map(_lost, gaps), *self._outstanding(span)], pictures)

    def _outstanding(self, span: ReportSpan) -> Iterator[MissingData]:
        for outage in self._outages():
            if outage.since < span.until:
                reason = f"The dashboard cannot read them at the moment: {outage.reason}"
                yield MissingData(outage.since.astimezone(UTC), None, reason, None, is_lost=False)


def pareto(frames: Mapping[str, int], most: int = MAX_LISTED) -> tuple[Counted, ...]:
    """Order names by their frames, most first, with their shares; what is too rare for the list is summed up."""
    total, so_far, listed = sum(frames.values()), 0, list[Counted]()
    ordered = sorted(frames.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[most:])
    for name, count in [*ordered[:most], *([(OTHERS, rest)] if rest else [])]:
        so_far += count
        listed.append(Counted(name, count, count / total, so_far / total))
    return tuple(listed)


def _checked(span: ReportSpan) -> ReportSpan:
    """Return the span in UTC. Raises ValueError."""
    for line in span.lines:
        if "\0" in line:
            raise ValueError(f"{line[:80]!r} is not a line")
    if span.since >= span.until:
        raise ValueError("the start of the span does not come before its end")
    if span.until - span.since > MAX_SPAN:
        raise ValueError(f"the span is longer than {MAX_SPAN.days} days")
    try:
        return ReportSpan(span.lines, span.since.astimezone(UTC), span.until.astimezone(UTC))
    except OverflowError:
        raise ValueError("the span does not lie within the calendar") from None


def _lines(connection: Connection, span: ReportSpan) -> list[str | None]:
    lines: list[str | None] = [*dict.fromkeys(span.lines)] or [*distinct(connection, TABLE.line), None]
    if len(lines) > MAX_LINES:
        raise ValueError(f"a report is about {MAX_LINES} lines at most, not {len(lines)}: name those that you want")
    return lines


def _figures(
    span: ReportSpan,
    parts: Sequence[LinePart],
    missing: Sequence[MissingData],
    pictures: Mapping[tuple[str, str], Position],
) -> Figures:
    by_verdict = {verdict: sum(part.by_verdict[verdict] for part in parts) for verdict in Verdict}
    tallies = [tally for part in parts for tally in part.tallies]
    errors = frames_by((one for one in tallies if one.verdict == Verdict.ERROR.value), lambda one: one.reason)
    findings = [one for part in parts for one in part.findings]
    strata = [stratum for part in parts for stratum in part.pass_strata]
    return Figures(
        span=span,
        missing=tuple(missing[-MAX_MISSING:]),
        frames=sum(by_verdict.values()),
        by_verdict=by_verdict,
        pass_share=pass_share(by_verdict),
        late=sum(tally.late for tally in tallies),
        errors_by_reason=dict(sorted(errors.items())),
        by_line=tuple(part.figures for part in parts),
        versions=tuple(version for part in parts for version in part.versions),
        by_kind=pareto(_kinds(one for part in parts for one in part.judged)),
        by_camera=pareto(_finding_cameras(parts)),
        kinds_of_cameras=_kinds_of_cameras(parts),
        reviewed=_reviewed(by_verdict, parts),
        false_rejects=estimate_of_strata(_some(part.reject_stratum for part in parts)),
        escapes=estimate_of_strata(_some(strata)),
        maps=defect_maps(findings, pictures=pictures),
        mapped_frames=len(findings),
    )


def _some(strata: Iterable[Stratum]) -> list[Stratum]:
    """Leave out what has no frames: nothing is estimated of it, and it must not widen the others' intervals."""
    return [stratum for stratum in strata if stratum.frames] or [Stratum(0, 0, 0)]


def _reviewed(by_verdict: Mapping[Verdict, int], parts: Sequence[LinePart]) -> tuple[Reviewed, ...]:
    said = Counter((one.verdict, one.word.verdict) for part in parts for one in part.judged)
    counts = {verdict: [said[verdict, word] for word in Judgement] for verdict in INSPECTED}
    return tuple(Reviewed(verdict, by_verdict[verdict], *counts[verdict]) for verdict in INSPECTED)


def _kinds(judged: Iterable[JudgedFrame]) -> Counter[str]:
    return Counter(one.word.kind or NO_KIND for one in judged if one.word.verdict is Judgement.DEFECT)


def _camera(part: LinePart, camera: str | None, parts: Sequence[LinePart]) -> str:
    """Name a camera; of several lines, each may have one of that name."""
    name = camera or NO_CAMERA
    return name if len(parts) == 1 else f"{part.line or NO_LINE}, {name}"


def _finding_cameras(parts: Sequence[LinePart]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for part in parts:
        found = (one for one in part.tallies if one.verdict in FINDINGS)
        for camera, frames in frames_by(found, lambda one: one.camera).items():
            counted[_camera(part, camera, parts)] += frames
    return counted


def _kinds_of_cameras(parts: Sequence[LinePart]) -> dict[str, dict[str, int]]:
    found: dict[str, list[JudgedFrame]] = {}
    for part in parts:
        for one in part.judged:
            if one.word.verdict is Judgement.DEFECT:
                found.setdefault(_camera(part, one.camera, parts), []).append(one)
    return {camera: dict(_kinds(judged)) for camera, judged in sorted(found.items())}


def _lost(gap: Gap) -> MissingData:
    return MissingData(_time(gap.since_us), _time(gap.until_us), LOST, gap.records, is_lost=True)


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
