"""Sum up what came in: counted exactly by line and verdict, with a few inspections of each line as a sample."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qc_dashboard.history.search import StoredInspection
from qc_worker.domain.frame import Partition
from qc_worker.domain.inspection import Verdict

SAMPLE = 3
"""Most inspections of a line in one message."""


@dataclass(frozen=True, slots=True)
class LineNews:
    """What came in of one line."""

    counts: Mapping[Verdict, int]
    late: int
    sample: tuple[StoredInspection, ...]
    """In the order in which they were published; rejects and other rare verdicts rather than passes."""


@dataclass(frozen=True, slots=True)
class News:
    """What came in up to a place on `results`; two that follow each other can be added up."""

    after: Mapping[Partition, int]
    """Next offsets behind all that is counted."""
    lines: Mapping[str | None, LineNews]


def news_of(found: Iterable[StoredInspection], after: Mapping[Partition, int]) -> News:
    """Sum up these inspections."""
    by_line: dict[str | None, list[StoredInspection]] = {}
    for one in found:
        by_line.setdefault(one.line, []).append(one)
    return News(after, {line: _of_line(ones) for line, ones in by_line.items()})


def added(earlier: News, later: News) -> News:
    """Add up two that follow each other; partitions that only the earlier one has stay where they were."""
    lines = dict(earlier.lines)
    for line, news in later.lines.items():
        lines[line] = _sum(lines[line], news) if line in lines else news
    return News({**earlier.after, **later.after}, lines)


def _of_line(ones: list[StoredInspection]) -> LineNews:
    return LineNews(Counter(one.verdict for one in ones), sum(one.late for one in ones), _sample(ones))


def _sum(earlier: LineNews, later: LineNews) -> LineNews:
    counts = Counter(earlier.counts)
    counts.update(later.counts)
    return LineNews(counts, earlier.late + later.late, _sample([*earlier.sample, *later.sample]))


def _sample(ones: list[StoredInspection]) -> tuple[StoredInspection, ...]:
    """Choose the newest that are no passes, and fill up with the newest passes."""
    order = sorted(range(len(ones)), key=lambda index: (ones[index].verdict is Verdict.PASS, -index))
    return tuple(ones[index] for index in sorted(order[:SAMPLE]))
