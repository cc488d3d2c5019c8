"""Read from the history what a client has missed between two connections."""

from collections.abc import Iterator, Mapping

from qc_dashboard.api.live.news import News, news_of
from qc_dashboard.history.history import History
from qc_worker.domain.frame import Partition

READ_AT_ONCE = 1_000
MOST_MISSED = 50_000
"""Most inspections that are read again for a client; one that missed more loads its page again."""


class TooFarApart(Exception):
    """What the client knows cannot be continued: it missed too much, or the topic was made again."""


def spans_missed(seen: Mapping[int, int], now: Mapping[Partition, int]) -> dict[Partition, range]:
    """Return the offsets that the client has not seen, by partition. Raises TooFarApart.

    A partition that the client does not know came later, so the client has seen nothing of it.
    """
    spans = {partition: range(seen.get(partition.partition, 0), end) for partition, end in now.items()}
    unknown = seen.keys() - {partition.partition for partition in now}
    ahead = any(seen.get(partition.partition, 0) > end for partition, end in now.items())
    if unknown or ahead or sum(map(len, spans.values())) > MOST_MISSED:
        raise TooFarApart
    return spans


def news_missed(history: History, spans: Mapping[Partition, range]) -> Iterator[News]:
    """Yield what was missed, in steps, each with the places behind it. Raises DatabaseAway."""
    places = {partition: span.start for partition, span in spans.items()}
    for partition, span in spans.items():
        while places[partition] < span.stop:
            found = history.published_after({partition: places[partition]}, limit=READ_AT_ONCE)
            missed = [one for one in found if one.results_offset < span.stop]
            whole = len(missed) < READ_AT_ONCE
            places[partition] = span.stop if whole else missed[-1].results_offset + 1
            yield news_of(missed, dict(places))
