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

import json
import tempfile
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from benchmarks.harness.dashboard_figures import Figures, delivered, percentiles, shown
from benchmarks.harness.dashboard_load import Publisher
from benchmarks.harness.dashboard_process import DashboardProcess
from benchmarks.harness.dashboard_streams import StreamClients
from benchmarks.harness.dashboard_tabs import open_tab, renderers_mib
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.plant import plant
from qc_worker.observability.logging import configure_logging
from qc_worker.settings import Settings
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache
from tests.support.pages import chromium

DRAIN_EVERY_S = 5.0
WEIGH_EVERY_S = 30.0
SETTLE_S = 60.0


def main() -> None:
    configure_logging("error", "json")
    options = _options()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        ready = stack.enter_context(plant(Path(name), batch_size=1, cache_dir=Path(name)))
        cache = stack.enter_context(closing(open_heatmap_cache(ready.environment["QC_REDIS_URL"], ttl_s=3600)))
        dashboard = stack.enter_context(closing(DashboardProcess(ready)))
        publisher = Publisher(
            ready.access,
            topic=ready.topic("results"),
            partitions=Settings().partitions,
            lines=options.lines,
            per_s=options.lines * options.fps,
            cache=cache,
        )
        publisher.one_of_each()
        dashboard.wait_until_ready(lines=options.lines)
        browser = stack.enter_context(chromium())
        tabs = [open_tab(browser, dashboard.url, lines=options.lines) for _ in range(options.tabs)]
        clients = StreamClients(options.pages - options.tabs, dashboard.url)
        clients.start()
        began_s, cpu_s = monotonic(), dashboard.cpu_s()
        publisher.start()
        figures = Figures()
        while (passed_s := monotonic() - began_s) < options.seconds:
            sleep(min(DRAIN_EVERY_S, options.seconds - passed_s))
            _look(figures, tabs, dashboard, monotonic() - began_s)
            figures.renderers_mib.append((monotonic() - began_s, renderers_mib(browser)))
        lasted_s, worked_s = monotonic() - began_s, dashboard.cpu_s() - cpu_s
        publisher.stop()
        is_exact = _settled(publisher, clients, tabs, dashboard)
        clients.stop()
        sent = publisher.sent
        found = {
            "benchmark": "dashboard",
            "lines": options.lines,
            "inspections_per_s": round(sent.total / lasted_s),
            "tabs": options.tabs,
            "clients_without_browser": options.pages - options.tabs,
            "seconds": round(lasted_s),
            "broker": ready.broker,
            "publisher_behind_s": round(publisher.behind_s, 2),
            "delivered_ms": percentiles(delivered(sent, clients.each)),
            "shown_ms": percentiles(shown(sent, tabs)),
            **_fluid(tabs, lasted_s),
            "dashboard": {
                "cpu_share": round(worked_s / lasted_s, 3),
                **figures.memory("rss_mib", figures.dashboard_mib),
            },
            "tab": {
                **figures.memory("heap_mib", tabs[0].heap_mib if tabs else []),
                "dom_nodes": [tabs[0].nodes[0], tabs[0].nodes[-1]] if tabs and tabs[0].nodes else None,
                **figures.memory("renderers_rss_mib", figures.renderers_mib),
            },
            "inspections": sent.total,
            "reloads": sum(client.reloads for client in clients.each),
            "exact": is_exact,
        }
    stamp = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    print(json.dumps(found | stamp))
