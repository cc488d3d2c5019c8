"""`qc-worker demo`: run the demo, then print its report."""

import signal
import sys
from pathlib import Path

from rich.console import Console

from qc_worker.embedded.demo.report import DemoReport
from qc_worker.embedded.demo.run import DemoOptions, Wiring, run_demo
from qc_worker.observability.exits import INTERRUPTED
from qc_worker.observability.printing import console, plain, print_json, print_table
from qc_worker.runtime.clock import SystemClock
from qc_worker.settings import Settings
from qc_worker.wiring.brokers import install_fixes, kafka_access, topic_plans


def show_demo(
    settings: Settings, *, images: Path | None, frames: int | None, seed: int, headless: bool, as_json: bool
) -> int:
    """Run the demo; return 1 if a frame was lost or judged twice, or the new model judged none. Raises QcError.

    On a terminal it stays until Ctrl-C, so that somebody can look around in the dashboard.
    """
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    install_fixes(settings)  # the servers start, and are asked whether they answer, before anybody needs an access
    wiring = Wiring(SystemClock(), kafka_access, topic_plans)
    stay = not as_json and sys.stdin.isatty() and sys.stderr.isatty()
    options = DemoOptions(images=images, frames=frames, seed=seed, headless=headless, stay=stay)
    report = run_demo(options, settings, wiring)
    _print(report, console(stderr=as_json))
    if as_json:
        print_json(report.document())
    if report.interrupted:
        return INTERRUPTED
    return 0 if report.sound else 1


def _print(report: DemoReport, to: Console) -> None:
    latency = report.latency_ms
    to.print(
        f"{report.frames_sent} frames sent, {report.inspections} inspections, {report.missing} missing, "
        f"{report.duplicates} duplicates; {report.frames_per_s:.1f} frames/s, "
        f"latency p50 {latency.p50:.0f} ms, p95 {latency.p95:.0f} ms, p99 {latency.p99:.0f} ms"
    )
    _print_lines(report, to)
    swapped = "judged no frame" if report.swap_s is None else f"judged its first frame after {report.swap_s:.1f} s"
    to.print(f"the retrained model {swapped}")
    if report.gallery:
        to.print(plain(f"heatmap: {report.heatmap}, rejects side by side: {report.gallery}"))
    if report.dashboard:
        to.print(f"the dashboard was at {report.dashboard}")


def _print_lines(report: DemoReport, to: Console) -> None:
    columns = ("line", "verdicts", "rejects that show a defect", "image AUROC", "model versions")
    print_table(columns, [_row(report, line) for line in report.verdicts], to=to)


def _row(report: DemoReport, line: str) -> tuple[str, ...]:
    quality = report.reject_quality[line]
    return (
        line,
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(report.verdicts[line].items())),
        f"{quality.right} of {quality.rejects}",
        f"{report.image_auroc[line]:.3f}",
        " -> ".join(report.model_versions[line]),
    )
