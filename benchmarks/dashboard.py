"""Measure the dashboard's Live page under load: `qc-dashboard run` as a process, a real broker, many open pages.

`--lines` lines with `--fps` inspections a second each are published to `results`; 1 % are rejects with pictures in the
cache. `--tabs` pages are tabs of Chromium, the others, up to `--pages`, are clients that do the same without a browser:
follow the stream, load the state every 5 s. Milliseconds from handing an inspection to the producer

- delivered_ms: until a client has the event that counts it,
- shown_ms: until the card in a tab shows a total that has it.

frame_ms and long_tasks (over 50 ms) tell if a tab is fluid; CPU is the share of one core; memory is resident, in MiB,
with its slope after the first fifth. `exact` holds if in the end the API, every client, every tab and the database have
each inspection once. The broker is the one that QC_TEST_KAFKA names, else the embedded one; broker, publisher, browser
and dashboard share the cores.

Prints one JSON object: {"delivered_ms": {"p50", "p95", "max"}, "shown_ms": {...}, "frame_ms": {...}, "long_tasks":
{...}, "dashboard": {"cpu_share", "rss_mib", "rss_mib_per_hour"}, "tab": {...}, "exact": true, ...}.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import httpx

from benchmarks.harness.dashboard_figures import (
    Memory,
    are_exact,
    counts_of,
    delivered_s,
    fluid,
    memory_of,
    percentiles_ms,
    shown_s,
)
from benchmarks.harness.dashboard_load import Publisher
from benchmarks.harness.dashboard_process import DashboardProcess
from benchmarks.harness.dashboard_streams import StreamClients
from benchmarks.harness.dashboard_tabs import Tab, open_tab, renderers_mib
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.plant import Plant, plant
from qc_dashboard.database.database import open_database
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Search
from qc_worker.observability.logging import configure_logging
from qc_worker.settings import Settings
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache
from tests.support.pages import chromium

DRAIN_EVERY_S = 5.0
WEIGH_EVERY = 6
"""Drains after which what a tab keeps is weighed: a garbage collection holds it up."""
SETTLE_S = 30.0


def main() -> None:
    configure_logging("error", "json")
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        found = _measured(Path(name), options)
    stamp = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    print(json.dumps({"benchmark": "dashboard", **found, **stamp}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--fps", type=int, default=50, help="inspections per second of each line")
    parser.add_argument("--pages", type=int, default=20, help="open pages, tabs included")
    parser.add_argument("--tabs", type=int, default=2, help="those of them that are tabs of Chromium")
    parser.add_argument("--seconds", type=float, default=600, help="less than the 15 minutes that Live counts")
    parser.add_argument("--quick", action="store_true", help="some seconds: few lines and pages")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    if options.quick:
        options.lines, options.fps, options.pages, options.tabs, options.seconds = 3, 10, 3, 1, 6
    return options


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    with ExitStack() as stack:
        ready = stack.enter_context(plant(folder, batch_size=1, cache_dir=folder))
        dashboard = stack.enter_context(closing(DashboardProcess(ready)))
        publisher = _publisher(ready, options, stack)
        dashboard.wait_until_ready(lines=options.lines)
        browser = stack.enter_context(chromium())
        tabs = [open_tab(browser, dashboard.url, lines=options.lines) for _ in range(options.tabs)]
        clients = StreamClients(options.pages - options.tabs, dashboard.url)
        clients.start()
        memory, began_s, cpu_s = Memory(), monotonic(), dashboard.cpu_s()
        publisher.start()
        looks = 0
        while (passed_s := monotonic() - began_s) < options.seconds:
            sleep(min(DRAIN_EVERY_S, options.seconds - passed_s))
            memory.dashboard.append((monotonic() - began_s, dashboard.resident_mib()))
            memory.renderers.append((monotonic() - began_s, renderers_mib(browser)))
            _look(tabs, monotonic() - began_s, weigh=looks % WEIGH_EVERY == 0)
            looks += 1
        lasted_s, worked_s = monotonic() - began_s, dashboard.cpu_s() - cpu_s
        publisher.stop()
        is_exact = _settled(publisher, clients, tabs, dashboard)
        clients.stop()
        _look(tabs, lasted_s, weigh=False)
        sent = publisher.sent
        return {
            "lines": options.lines,
            "inspections_per_s": round(sent.total / lasted_s),
            "tabs": options.tabs,
            "clients_without_browser": options.pages - options.tabs,
            "seconds": round(lasted_s),
            "broker": ready.broker,
            "publisher_behind_s": round(publisher.behind_s, 2),
            "delivered_ms": percentiles_ms(delivered_s(sent, clients.each)),
            "shown_ms": percentiles_ms(shown_s(sent, tabs)),
            **fluid(tabs, lasted_s),
            "dashboard": {"cpu_share": round(worked_s / lasted_s, 3), **memory_of("rss_mib", memory.dashboard)},
            "tab": {
                **memory_of("heap_mib", tabs[0].heap_mib if tabs else []),
                "dom_nodes": tabs[0].nodes[:1] + tabs[0].nodes[-1:] if tabs else [],
                **memory_of("renderers_rss_mib", memory.renderers),
            },
            "inspections": sent.total,
            "reloads": sum(client.reloads for client in clients.each),
            "exact": is_exact,
        }


def _publisher(ready: Plant, options: argparse.Namespace, stack: ExitStack) -> Publisher:
    """Make the publisher, with the first inspection of each line published."""
    cache = stack.enter_context(closing(open_heatmap_cache(ready.environment["QC_REDIS_URL"], ttl_s=3600)))
    publisher = Publisher(
        ready.access,
        topic=ready.topic("results"),
        partitions=Settings().partitions,
        lines=options.lines,
        per_s=options.lines * options.fps,
        cache=cache,
    )
    publisher.one_of_each()
    return publisher


def _look(tabs: Sequence[Tab], at_s: float, *, weigh: bool) -> None:
    for tab in tabs:
        tab.drain()
        if weigh:
            tab.weigh(at_s)


def _settled(publisher: Publisher, clients: StreamClients, tabs: Sequence[Tab], dashboard: DashboardProcess) -> bool:
    """Wait until the API, the database, each client and each tab have each inspection once; False if they never do."""
    deadline_s = monotonic() + SETTLE_S
    with closing(open_database(dashboard.database_url)) as database:
        while monotonic() < deadline_s:
            sleep(0.5)
            lines = httpx.get(f"{dashboard.url}/api/v1/lines", timeout=30).json()["lines"]
            stored = {(one.line, str(one.verdict)): one.inspections for one in History(database).counts(Search())}
            everywhere = are_exact(publisher.sent, clients.each, tabs)
            if everywhere and counts_of(lines) == publisher.sent.counts == stored:
                return True
    return False


if __name__ == "__main__":
    main()
