"""Bring together what the model and what people said about the frames of a span."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select, tuple_

from qc_dashboard.database.frames import SOURCE
from qc_dashboard.history.tables import inspections
from qc_dashboard.reporting.estimates import Stratum
from qc_dashboard.review.last_words import LastWord, last_words
from qc_dashboard.review.tables import queue
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

LOOKED_UP_AT_ONCE = 200
DECIDED = (Judgement.GOOD, Judgement.DEFECT)


@dataclass(frozen=True, slots=True)
class LineSpan:
    """A line, from a time, included, to a time, excluded; microseconds since 1970."""

    line: str
    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame of the span that model and people have judged."""

    source: Position
    verdict: Verdict
    camera: str | None
    word: LastWord


class Finding(NamedTuple):
    """A reject or review that nobody has called good."""

    line: str
    camera: str | None
    source: Position
    document: str


def judged_twice(connection: Connection, span: LineSpan) -> list[JudgedFrame]:
    """Return the frames of the span that people have said a word on."""
    words = last_words(connection, line=span.line, since_us=span.since_us)
    sources, found = list(words), list[JudgedFrame]()
    row = inspections.c
    key = tuple_(*(row[name] for name in SOURCE))
    query = select(*key.clauses, row.verdict, row.camera).where(
        row.line == span.line, row.taken_us >= span.since_us, row.taken_us < span.until_us
    )
    for start in range(0, len(sources), LOOKED_UP_AT_ONCE):
        some = [(s.topic, s.partition, s.offset) for s in sources[start : start + LOOKED_UP_AT_ONCE]]
        for one in connection.execute(query.where(key.in_(some))):
            source = Position(*one[:3])
            found.append(JudgedFrame(source, Verdict(one.verdict), one.camera, words[source]))
    return found


def pass_strata(connection: Connection, span: LineSpan, judged: Sequence[JudgedFrame], passes: int) -> list[Stratum]:
    """Divide the span's passes by the share of them that was offered at their time.

    With one share the frames of its stratum are all passes. With several, all are divided as the offered frames say:
    each stands for 1 / share frames.
    """
    row = queue.c
    offered = select(*(row[name] for name in SOURCE), row.share).where(
        row.line == span.line,
        row.verdict == Verdict.PASS.value,
        row.taken_us >= span.since_us,
        row.taken_us < span.until_us,
    )
    shares = {Position(*found[:3]): found.share for found in connection.execute(offered)}
    words: dict[float, Counter[Judgement]] = defaultdict(Counter)
    for one in judged:
        if one.source in shares and one.word.verdict in DECIDED:
            words[shares[one.source]][one.word.verdict] += 1
    sizes = {share: number / share for share, number in Counter(shares.values()).items()}
    whole = sum(sizes.values())
    strata = [
        Stratum(
            max(round(passes * size / whole), words[share].total()),
            words[share].total(),
            words[share][Judgement.DEFECT],
        )
        for share, size in sorted(sizes.items())
    ]
    return strata or [Stratum(passes, 0, 0)]


def newest_findings(
    connection: Connection, span: LineSpan, judged: Sequence[JudgedFrame], *, limit: int
) -> list[Finding]:
    """Return the newest rejects and reviews that nobody has called good, newest first."""
    good = {one.source for one in judged if one.word.verdict is Judgement.GOOD}
    row, found = inspections.c, list[Finding]()
    query = select(*(row[name] for name in SOURCE), row.camera, row.document).where(
        row.line == span.line,
        row.verdict.in_([Verdict.REJECT.value, Verdict.REVIEW.value]),
        row.taken_us >= span.since_us,
        row.taken_us < span.until_us,
    )
    for one in connection.execute(query.order_by(row.taken_us.desc()).limit(limit)).yield_per(500):
        if (source := Position(*one[:3])) not in good:
            found.append(Finding(span.line, one.camera, source, one.document))
    return found
