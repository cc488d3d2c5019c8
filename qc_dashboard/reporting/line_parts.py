"""Gather what a report needs of one line."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from qc_dashboard.history.tables import inspections
from qc_dashboard.history.tallying import Tally, line_tallies
from qc_dashboard.history.times import from_us
from qc_dashboard.reporting.estimates import Stratum
from qc_dashboard.reporting.figures import LineFigures, VersionUsed
from qc_dashboard.reporting.reviewed import (
    Finding,
    JudgedFrame,
    LineSpan,
    judged_twice,
    newest_findings,
    pass_strata,
)
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.inspection import Verdict

INSPECTED = (Verdict.PASS, Verdict.REVIEW, Verdict.REJECT)
FINDINGS = (Verdict.REVIEW, Verdict.REJECT)
MAX_VERSIONS = 100


@dataclass(frozen=True, slots=True)
class LinePart:
    """One line's share of a report."""

    line: str | None
    tallies: Sequence[Tally]
    judged: Sequence[JudgedFrame]
    pass_strata: Sequence[Stratum]
    findings: Sequence[Finding]
    versions: Sequence[VersionUsed]

    @property
    def by_verdict(self) -> dict[Verdict, int]:
        counted = frames_by(self.tallies, lambda one: one.verdict)
        return {verdict: counted[verdict.value] for verdict in Verdict}

    @property
    def figures(self) -> LineFigures:
        by_verdict = self.by_verdict
        return LineFigures(self.line, sum(by_verdict.values()), by_verdict, pass_share(by_verdict))

    @property
    def reject_stratum(self) -> Stratum:
        """Rejects, those of them that people decided on, and those that they called good."""
        words = Counter(one.word.verdict for one in self.judged if one.verdict is Verdict.REJECT)
        good, defect = words[Judgement.GOOD], words[Judgement.DEFECT]
        return Stratum(self.by_verdict[Verdict.REJECT], good + defect, good)


def line_part(connection: Connection, line: str | None, span: tuple[int, int], *, mapped: int) -> LinePart:
    """Gather one line's share; None: of frames that name no line, on which people cannot say anything."""
    tallies = line_tallies(connection, line, *span)
    passes = frames_by(tallies, lambda one: one.verdict)[Verdict.PASS.value]
    if line is None:
        return LinePart(None, tallies, [], [Stratum(passes, 0, 0)], [], [])
    of_line = LineSpan(line, *span)
    judged = judged_twice(connection, of_line)
    return LinePart(
        line,
        tallies,
        judged,
        pass_strata(connection, of_line, judged, passes),
        newest_findings(connection, of_line, judged, limit=mapped),
        _versions(connection, of_line, tallies),
    )


def frames_by(tallies: Iterable[Tally], name: Callable[[Tally], str]) -> Counter[str]:
    """Sum up the frames by a name."""
    counted: Counter[str] = Counter()
    for tally in tallies:
        counted[name(tally)] += tally.frames
    return counted


def pass_share(by_verdict: dict[Verdict, int]) -> float | None:
    """Return the yield: passes among passes, reviews and rejects."""
    inspected = sum(by_verdict[verdict] for verdict in INSPECTED)
    return by_verdict[Verdict.PASS] / inspected if inspected else None


def _versions(connection: Connection, span: LineSpan, tallies: Sequence[Tally]) -> list[VersionUsed]:
    counted = frames_by((one for one in tallies if one.model_version), lambda one: one.model_version)
    row = inspections.c
    used = []
    for version, frames in counted.most_common(MAX_VERSIONS):
        wanted = (row.line == span.line, row.model_version == version)
        within = (row.taken_us >= span.since_us, row.taken_us < span.until_us)
        # One query each: so each is a single step in an index.
        ends = [connection.scalar(select(end(row.taken_us)).where(*wanted, *within)) for end in (func.min, func.max)]
        used.append(VersionUsed(span.line, version, frames, from_us(ends[0] or 0), from_us(ends[1] or 0)))
    return sorted(used, key=lambda one: (one.first, one.version))
