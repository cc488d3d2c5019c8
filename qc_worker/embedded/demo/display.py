"""Shows the demo's progress on stderr: a live table on a terminal, a line every few seconds elsewhere."""

from collections import deque
from collections.abc import Sequence
from time import monotonic
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from qc_worker.domain.inspection import Verdict
from qc_worker.embedded.demo.feeder import Feeder
from qc_worker.embedded.demo.refresh import Refresh, Step
from qc_worker.embedded.demo.report import LatencyMs
from qc_worker.embedded.demo.tally import JudgedFrame, Tally, latency, reject_quality, verdict_counts
from qc_worker.observability.printing import console

RECENT_FRAMES = 200
RATE_WINDOW_S = 5.0
LINE_EVERY_S = 5.0
STYLES = {Verdict.PASS: "green", Verdict.REVIEW: "yellow", Verdict.REJECT: "red", Verdict.ERROR: "magenta"}


class Display:
    """Shows the demo's progress; call `update` as often as you like."""

    def __init__(
        self,
        tally: Tally,
        feeder: Feeder,
        refresh: Refresh,
        *,
        lines: Sequence[str],
        frames: int,
        dashboard: str | None = None,
    ) -> None:
        self._tally = tally
        self._feeder = feeder
        self._refresh = refresh
        self._lines = lines
        self._frames = frames
        self._dashboard = dashboard
        self._console = console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._counts: deque[tuple[float, int]] = deque()
        self._last_line_s = monotonic()

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Show the current state."""
        self._counts.append((monotonic(), self._tally.inspections))
        while self._counts[0][0] < monotonic() - RATE_WINDOW_S:
            self._counts.popleft()
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
        elif monotonic() - self._last_line_s >= LINE_EVERY_S:
            self._last_line_s = monotonic()
            self._console.print(self._state())

    def _picture(self) -> RenderableType:
        table = Table(title=self._state(), title_justify="left", title_style="bold", expand=False)
        for name in (
            "line",
            *(verdict.value for verdict in STYLES),
            "rejects right",
            "p50 / p95 / p99 ms",
            "model versions",
        ):
            table.add_column(name, justify="left" if name in ("line", "model versions") else "right")
        for line in self._lines:
            table.add_row(*self._row(line))
        texts = [Text(self._remark(), style="cyan")]
        if self._dashboard is not None:
            texts.append(Text(f"dashboard: {self._dashboard}", style="bold"))
        return Group(table, *texts)

    def _row(self, line: str) -> list[RenderableType]:
        frames = self._tally.judged(line)
        counts, quality = verdict_counts(frames), reject_quality(frames)
        cells: list[RenderableType] = [Text(str(counts.get(verdict, 0)), style=STYLES[verdict]) for verdict in STYLES]
        right = f"{quality.right}/{quality.rejects}"
        return [line, *cells, right, _latency(frames), " -> ".join(self._tally.model_versions(line))]

    def _state(self) -> str:
        spent = latency(self._tally.judged()[-RECENT_FRAMES:])
        sent = self._feeder.sent if self._feeder.staying else f"{self._feeder.sent}/{self._frames}"
        return (
            f"{sent} frames sent, {self._tally.inspections} inspected, "
            f"{self._rate_hz():.1f} frames/s, lag {self._tally.missing}, latency {_percentiles(spent)} ms"
        )

    def _remark(self) -> str:
        if self._feeder.staying:
            return f"{self._refresh.step}; cameras go on slowly until Ctrl-C"
        if self._feeder.holding:
            return f"{self._refresh.step}: the last frames wait until it is live"
        if self._feeder.rate_hz < 0.95 * self._feeder.wanted_hz:
            return f"{self._refresh.step}; the worker is behind, cameras slowed down to {self._feeder.rate_hz:.1f}/s"
        if self._refresh.step is Step.RETRAINING:
            return f"{self._refresh.step} ({self._feeder.rate_hz:.1f}/s, so that they last)"
        return str(self._refresh.step)

    def _rate_hz(self) -> float:
        (then_s, before), (now_s, after) = self._counts[0], self._counts[-1]
        return (after - before) / (now_s - then_s) if now_s > then_s else 0.0


def _latency(frames: Sequence[JudgedFrame]) -> str:
    return _percentiles(latency(frames[-RECENT_FRAMES:])) if frames else ""


def _percentiles(spent: LatencyMs) -> str:
    return " / ".join(f"{ms:.0f}" for ms in (spent.p50, spent.p95, spent.p99))
