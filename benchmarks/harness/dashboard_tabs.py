"""Real tabs of Chromium on the Live page, and what they show when, how fluid they are, and what they keep."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

MEBIBYTE = 1024**2
WATCH = """() => {
    const bench = (window.bench = { shown: [], long: [], frames: [] });
    const watch = new MutationObserver((changes) => {
        const at = Date.now() / 1000;
        for (const { target } of changes) {
            const total = target.textContent.match(/^Of (\\d+)/);
            if (total) bench.shown.push([at, target.closest('[data-line]').dataset.line, Number(total[1])]);
        }
    });
    for (const place of document.querySelectorAll('.promised')) watch.observe(place, { childList: true });
    new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) bench.long.push(duration);
    }).observe({ type: 'longtask' });
    let last = performance.now();
    const frame = (now) => {
        bench.frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""
TAKE = """() => {
    const { shown, long, frames } = bench;
    Object.assign(bench, { shown: [], long: [], frames: [] });
    return { shown, long, frames };
}"""
TOTALS = """() => Object.fromEntries([...document.querySelectorAll('[data-line]')].map((card) =>
    [card.dataset.line, Number(card.querySelector('.promised').textContent.match(/\\d+/)[0])]))"""


@dataclass
class Tab:
    """One open page; times are of the wall clock."""

    page: Page
    session: CDPSession
    shown: list[tuple[float, str, int]] = field(default_factory=list)
    """Time, line, and the total that its card showed from then on."""
    long_ms: list[float] = field(default_factory=list)
    frame_ms: list[float] = field(default_factory=list)
    heap_mib: list[tuple[float, float]] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)

    def drain(self) -> None:
        """Take what the page has noted, so that it keeps nothing."""
        noted = self.page.evaluate(TAKE)
        self.shown += [(at, line, total) for at, line, total in noted["shown"]]
        self.long_ms += noted["long"]
        self.frame_ms += noted["frames"]

    def weigh(self, at_s: float) -> None:
        """Note what is alive after a garbage collection."""
        self.session.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in self.session.send("Performance.getMetrics")["metrics"]}
        self.heap_mib.append((at_s, metrics["JSHeapUsedSize"] / MEBIBYTE))
        self.nodes.append(int(metrics["Nodes"]))

    def totals(self) -> dict[str, int]:
        """Return the total that each line's card shows."""
        found: dict[str, int] = self.page.evaluate(TOTALS)
        return found


def open_tab(browser: Browser, url: str, *, lines: int) -> Tab:
    """Open Live, and wait for a card of each line."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(url)
    page.locator(".line-card").nth(lines - 1).wait_for()
    page.wait_for_function("() => [...document.querySelectorAll('.promised')].every((one) => one.textContent)")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.evaluate(WATCH)
    return Tab(page, session)


def renderers_mib(browser: Browser) -> float:
    """Return the resident memory of all renderers together."""
    session = browser.new_browser_cdp_session()
    processes: list[dict[str, Any]] = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(resident_mib(one["id"]) for one in processes if one["type"] == "renderer")


def resident_mib(pid: int) -> float:
    """Return a process's resident memory; 0 if it has ended."""
    status = Path(f"/proc/{pid}/status")
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
