"""`qc-worker demo`: run it, then say what came of it."""

import signal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qc_worker.clock import SystemClock
from qc_worker.commands.reports import print_json
from qc_worker.commands.topics import topic_plans
from qc_worker.embedded.demo.report import DemoReport
from qc_worker.embedded.demo.run import DemoOptions, Wiring, run_demo
from qc_worker.observability.exits import INTERRUPTED
from qc_worker.settings import Settings
from qc_worker.wiring import kafka_access


def show_demo(settings: Settings, *, images: Path | None, frames: int | None, seed: int, as_json: bool) -> int:
    """Exit code: 1 if a frame was lost or judged twice, or the new model not taken up. Raises QcError."""
    # A demo that is told to end cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wiring = Wiring(SystemClock(), kafka_access, topic_plans)
    report = run_demo(DemoOptions(images=images, frames=frames, seed=seed), settings, wiring)
    _print(report, Console(stderr=as_json))
    if as_json:
        print_json(report.document())
    if report.interrupted:
        return INTERRUPTED
    return 0 if report.sound else 1


def _print(report: DemoReport, console: Console) -> None:
    latency = report.latency_ms
    console.print(
        f"{report.frames_sent} frames sent, {report.inspections} inspections, {report.missing} missing, "
        f"{report.duplicates} duplicates; {report.frames_per_s:.1f} frames/s, "
        f"latency p50 {latency.p50:.0f} ms, p95 {latency.p95:.0f} ms, p99 {latency.p99:.0f} ms",
        highlight=False,
    )
    console.print(_table(report))
    taken_up = "was not taken up" if report.swap_s is None else f"judged its first frame after {report.swap_s:.1f} s"
    console.print(f"the retrained model {taken_up}", highlight=False)
    if report.gallery:
        console.print(f"heatmap: {report.heatmap}, rejects side by side: {report.gallery}", highlight=False)


def _table(report: DemoReport) -> Table:
    table = Table("line", "verdicts", "rejects that show a defect", "image AUROC", "model versions")
    for line, counts in report.verdicts.items():
        quality = report.reject_quality[line]
        table.add_row(
            line,
            ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())),
            f"{quality.right} of {quality.rejects}",
            f"{report.image_auroc[line]:.3f}",
            " -> ".join(report.model_versions[line]),
        )
    return table
