"""Sums of what came in: exact however they are cut and added up."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from qc_dashboard.api.live.news import SAMPLE, News, added, news_of
from qc_dashboard.api.live.tallies import WINDOW_S, Tallies
from qc_dashboard.history.rows import inspection_row
from qc_dashboard.history.search import StoredInspection
from qc_dashboard.history.times import to_us
from qc_worker.domain.frame import Partition
from qc_worker.domain.inspection import Verdict
from tests.support.factories import NOON
from tests.support.published import inspection, published

RESULTS = Partition("results", 0)
NOON_US = to_us(NOON)
kinds = st.tuples(st.sampled_from(["A", "B", None]), st.sampled_from(Verdict), st.booleans(), st.integers(-1000, 1000))


def stored(number: int, line: str | None, verdict: Verdict, late: bool, second: int) -> StoredInspection:
    one = inspection(number, line=line, verdict=verdict, late=late, scored_at=NOON + timedelta(seconds=second))
    return StoredInspection.of_row(inspection_row(published(one, number)).values())


def ones(given_kinds: Sequence[tuple[str | None, Verdict, bool, int]]) -> list[StoredInspection]:
    return [stored(number, *kind) for number, kind in enumerate(given_kinds)]


def place(found: Sequence[StoredInspection]) -> dict[Partition, int]:
    return {RESULTS: found[-1].results_offset + 1}


@given(st.lists(st.lists(kinds, min_size=1, max_size=8), min_size=1, max_size=5))
def test_sums_of_parts_are_the_sum_of_the_whole(batches: list[list[tuple[str | None, Verdict, bool, int]]]) -> None:
    whole = ones([kind for batch in batches for kind in batch])
    parts, start = [], 0
    for batch in batches:
        part = whole[start : start + len(batch)]
        parts.append(news_of(part, place(part)))
        start += len(batch)
    summed: News = reduce(added, parts)
    assert summed == news_of(whole, place(whole))
    for line, news in summed.lines.items():
        mine = [one for one in whole if one.line == line]
        assert news.counts == Counter(one.verdict for one in mine)
        assert news.late == sum(one.late for one in mine)
        rare = [one for one in mine if one.verdict is not Verdict.PASS]
        assert len(news.sample) == min(SAMPLE, len(mine))
        assert set(rare[-SAMPLE:]) <= set(news.sample)


@given(st.lists(kinds, max_size=30))
def test_tallies_count_the_window_and_nothing_else(given_kinds: list[tuple[str | None, Verdict, bool, int]]) -> None:
    found, tallies = ones(given_kinds), Tallies()
    for one in found:
        tallies.add([one], now_us=NOON_US)
    counted = tallies.by_line(now_us=NOON_US)
    # Verdicts of the future count as now.
    seconds = [(one, min(one.scored_us // 1_000_000, NOON_US // 1_000_000)) for one in found]
    within = [(one, second) for one, second in seconds if second > NOON_US // 1_000_000 - WINDOW_S]
    assert counted.keys() == {one.line for one, _ in within}
    for line, tally in counted.items():
        mine = [(one, second) for one, second in within if one.line == line]
        assert tally.counts == Counter(one.verdict for one, _ in mine)
        assert tally.frames_last_minute == sum(second > NOON_US // 1_000_000 - 60 for _, second in mine)
        assert tally.late == sum(one.late for one, _ in mine)
        assert tally.versions == {"v1": len(mine)}
    assert tallies.by_line(now_us=NOON_US + (WINDOW_S + 1) * 1_000_000) == {}
