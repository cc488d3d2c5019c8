"""Make the figures of a span, all from one snapshot of the database."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from qc_dashboard.database.database import Database
from qc_dashboard.history.conditions import conditions, in_range
from qc_dashboard.history.search import Search
from qc_dashboard.history.tables import inspections
from qc_dashboard.reporting.defect_map import defect_maps
from qc_dashboard.reporting.estimates import estimate, estimate_of_strata
from qc_dashboard.reporting.figures import Counted, Figures, ReportSpan, Reviewed, VersionUsed
from qc_dashboard.reporting.reviewed import JudgedFrame, judged_twice, newest_findings, pass_strata
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.inspection import Verdict

MAX_MAPPED_FRAMES = 20_000
INSPECTED = (Verdict.PASS, Verdict.REVIEW, Verdict.REJECT)
FINDINGS = (Verdict.REVIEW, Verdict.REJECT)
NO_KIND = "no kind named"
NO_CAMERA = "no camera named"

Groups = Sequence[Row[Any]]


class Reporter:
    """Makes reports. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, span: ReportSpan) -> Figures:
        """Return the figures of the span. Raises ValueError for a line that cannot be."""
        if "\0" in span.line:
            raise ValueError(f"{span.line[:80]!r} is not a line")
        span = ReportSpan(span.line, in_range(span.since_us), in_range(span.until_us))
        with self._database.reading() as connection:
            groups = _groups(connection, span)
            judged = judged_twice(connection, span)
            passes = sum(group.frames for group in groups if group.verdict == Verdict.PASS)
            strata = pass_strata(connection, span, judged, passes)
            findings = newest_findings(connection, span, judged, limit=MAX_MAPPED_FRAMES)
        verdicts = _by(groups, "verdict")
        reviewed = _reviewed(verdicts, judged)
        rejects = next(one for one in reviewed if one.verdict is Verdict.REJECT)
        inspected = sum(verdicts.get(verdict, 0) for verdict in INSPECTED)
        return Figures(
            span=span,
            frames=sum(verdicts.values()),
            by_verdict={verdict: verdicts.get(verdict, 0) for verdict in Verdict},
            pass_share=passes / inspected if inspected else None,
            late=sum(group.frames for group in groups if group.late),
            errors_by_reason=_by((group for group in groups if group.verdict == Verdict.ERROR), "reason"),
            versions=_versions(groups),
            by_kind=pareto(_kinds(judged)),
            by_camera=pareto(_by((group for group in groups if group.verdict in FINDINGS), "camera", NO_CAMERA)),
            kinds_of_cameras=_kinds_of_cameras(judged),
            reviewed=reviewed,
            false_rejects=estimate(rejects.frames, reviewed=rejects.decided, wrong=rejects.good),
            escapes=estimate_of_strata(strata),
            maps=defect_maps(findings),
            mapped_frames=len(findings),
        )


def pareto(frames: Mapping[str, int]) -> tuple[Counted, ...]:
    """Order names by their frames, most first, with their shares."""
    total, so_far, listed = sum(frames.values()), 0, list[Counted]()
    for name, count in sorted(frames.items(), key=lambda item: (-item[1], item[0])):
        so_far += count
        listed.append(Counted(name, count, count / total, so_far / total))
    return tuple(listed)


def _groups(connection: Connection, span: ReportSpan) -> Groups:
    """Count the span's frames by all that the report distinguishes, in one pass."""
    row = inspections.c
    by = (row.camera, row.verdict, row.reason, row.model_version, row.late)
    wanted = conditions(Search(line=span.line, since_us=span.since_us, until_us=span.until_us))
    figures = (
        func.count().label("frames"),
        func.min(row.taken_us).label("first"),
        func.max(row.taken_us).label("last"),
    )
    return connection.execute(select(*by, *figures).where(*wanted).group_by(*by)).all()


def _by(groups: Iterable[Row[Any]], name: str, missing: str = "") -> dict[str, int]:
    counted: Counter[str] = Counter()
    for group in groups:
        counted[getattr(group, name) or missing] += group.frames
    return dict(counted)


def _versions(groups: Groups) -> tuple[VersionUsed, ...]:
    used: dict[str, VersionUsed] = {}
    for group in groups:
        if (name := group.model_version) is not None:
            one = used.get(name, VersionUsed(name, 0, group.first, group.last))
            used[name] = VersionUsed(
                name, one.frames + group.frames, min(one.first_us, group.first), max(one.last_us, group.last)
            )
    return tuple(sorted(used.values(), key=lambda one: (one.first_us, one.version)))


def _reviewed(verdicts: Mapping[str, int], judged: Sequence[JudgedFrame]) -> tuple[Reviewed, ...]:
    said = Counter((one.verdict, one.word.verdict) for one in judged)
    counts = {verdict: [said[verdict, word] for word in Judgement] for verdict in Verdict}
    return tuple(Reviewed(verdict, verdicts.get(verdict, 0), *counts[verdict]) for verdict in INSPECTED)


def _kinds(judged: Sequence[JudgedFrame]) -> Counter[str]:
    return Counter(one.word.kind or NO_KIND for one in judged if one.word.verdict is Judgement.DEFECT)


def _kinds_of_cameras(judged: Sequence[JudgedFrame]) -> dict[str, dict[str, int]]:
    cameras = sorted({one.camera or NO_CAMERA for one in judged if one.word.verdict is Judgement.DEFECT})
    return {camera: dict(_kinds([one for one in judged if (one.camera or NO_CAMERA) == camera])) for camera in cameras}
