"""Make figures of what pages got and showed when, compared with when it was published."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from benchmarks.harness.dashboard_load import Sent
from benchmarks.harness.dashboard_streams import StreamClient
from benchmarks.harness.dashboard_tabs import Tab

WARM_UP_SHARE = 0.2
LONG_FRAME_MS = 50.0

Came: TypeAlias = tuple[float, np.ndarray]


@dataclass
class Memory:
    """Memory over time: seconds and MiB."""

    dashboard: list[tuple[float, float]] = field(default_factory=list)
    renderers: list[tuple[float, float]] = field(default_factory=list)


def memory_of(name: str, samples: Sequence[tuple[float, float]]) -> Mapping[str, float]:
    """Return the memory after the warm-up and at the end, and its growth in between."""
    kept = samples[int(len(samples) * WARM_UP_SHARE) :]
    if len(kept) < 2:
        return {}
    times, sizes = np.array(kept).T
    slope = np.polyfit(times, sizes, 1)[0] * 3600
    return {name: round(sizes[0], 1), f"{name}_end": round(sizes[-1], 1), f"{name}_per_hour": round(slope, 1)}


def delivered_s(sent: Sent, clients: Iterable[StreamClient]) -> np.ndarray:
    """Return the delay of each inspection at each client that follows the stream."""
    published = {partition: np.array(times) for partition, times in sent.by_partition.items()}
    return _joined((_delays(published, client) for client in clients), sent.began_at)


def shown_s(sent: Sent, tabs: Iterable[Tab]) -> np.ndarray:
    """Return the delay of each inspection until a card's total had it, in each tab."""
    published = {line: np.array(times) for line, times in sent.by_line.items()}
    return _joined((_delays_shown(published, tab) for tab in tabs), sent.began_at)


def percentiles_ms(delays_s: np.ndarray) -> Mapping[str, float] | None:
    """Return p50, p95 and maximum in milliseconds."""
    if delays_s.size == 0:
        return None
    p50, p95 = np.percentile(delays_s, (50, 95)) * 1000
    return {"p50": round(p50), "p95": round(p95), "max": round(delays_s.max() * 1000)}


def fluid(tabs: Sequence[Tab], lasted_s: float) -> Mapping[str, object]:
    """Return how fluid the tabs are: time from picture to picture, and tasks that held one up."""
    frames = np.array([one for tab in tabs for one in tab.frame_ms])
    long = [one for tab in tabs for one in tab.long_ms]
    if frames.size == 0:
        return {}
    p50, p95, p99 = np.percentile(frames, (50, 95, 99))
    return {
        "frame_ms": {
            "p50": round(p50, 1),
            "p95": round(p95, 1),
            "p99": round(p99, 1),
            "max": round(frames.max()),
            "share_over_50_ms": round(float((frames > LONG_FRAME_MS).mean()), 4),
        },
        "long_tasks": {
            "per_minute_and_tab": round(60 * len(long) / lasted_s / len(tabs), 1),
            "max_ms": round(max(long, default=0)),
        },
    }


def are_exact(sent: Sent, clients: Iterable[StreamClient], tabs: Iterable[Tab]) -> bool:
    """Return True if each client and each tab has counted each inspection once."""
    by_line = {line: len(times) for line, times in sent.by_line.items()}
    return all(client.counts == sent.counts for client in clients) and all(tab.totals() == by_line for tab in tabs)


def counts_of(lines: Iterable[Mapping[str, object]]) -> Counter[tuple[str, str]]:
    """Return what the API counts, by line and verdict."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        verdicts = line["counts"]
        assert isinstance(verdicts, dict)
        counts.update({(str(line["line"]), verdict): count for verdict, count in verdicts.items()})
    return counts


def _delays(published: Mapping[int, np.ndarray], client: StreamClient) -> Iterator[Came]:
    """Yield when something came, and when each part of it was published."""
    before: dict[int, int] = {}
    for at, places in client.got:
        for partition, end in places.items():
            if partition in published:
                yield at, published[partition][before.get(partition, 0) : end]
        before = places


def _delays_shown(published: Mapping[str, np.ndarray], tab: Tab) -> Iterator[Came]:
    by_line = sorted(tab.shown, key=lambda one: (one[1], one[0]))
    for (_, line, before), (at, same, total) in itertools.pairwise(by_line):
        if line == same and total > before:
            yield at, published[line][before:total]


def _joined(each: Iterable[Iterator[Came]], since: float) -> np.ndarray:
    """Join the delays of what was published since that time."""
    parts = [at - times[times >= since] for came in each for at, times in came]
    return np.concatenate(parts) if parts else np.array([])
