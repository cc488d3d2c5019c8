"""What commands of the worker print of files, and while they work."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.text import Text

from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.observability.printing import Cell, plain, print_table
from qc_worker.wire.json_types import INSPECTION

STYLES = {Verdict.PASS: "green", Verdict.REJECT: "bold red", Verdict.REVIEW: "yellow", Verdict.ERROR: "magenta"}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileInspection:
    """An image file and what the model says of it."""

    path: Path
    inspection: Inspection


def with_progress(things: Iterable[T], what: str, *, total: float | None = None) -> Iterator[T]:
    """Show a progress bar on stderr while iterating, on a terminal only; `total` where `things` have no length."""
    console = Console(stderr=True)
    shown = escape(plain(what))
    return iter(track(things, shown, total, console=console, transient=True, disable=not console.is_terminal))


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """Show on stderr that something takes its time, on a terminal only."""
    console = Console(stderr=True)
    with console.status(escape(plain(for_what))) if console.is_terminal else nullcontext():
        yield


def file_inspection_document(judged: FileInspection) -> dict[str, Any]:
    """The inspection of a file: without camera and position, which it has not, but with its path."""
    document: dict[str, Any] = INSPECTION.dump_python(judged.inspection, mode="json")
    unused = ("camera", "source", "frame_id", "line", "captured_at")
    return {"path": str(judged.path), **{name: document[name] for name in document if name not in unused}}


def print_file_inspections(inspections: Iterable[FileInspection], to: Console | None = None) -> None:
    """Print one row per file, the most unusual first."""
    ranked = sorted(inspections, key=lambda judged: -(judged.inspection.score or 0.0))
    columns = ("verdict", "score", "threshold", "p-value", "defects", "file")
    print_table(columns, list(map(_row, ranked)), copied=(len(columns) - 1,), to=to)


def verdict_cell(verdict: Verdict) -> Text:
    """A verdict in its colour."""
    return Text(verdict.value, style=STYLES.get(verdict, ""))


def _row(judged: FileInspection) -> tuple[Cell, ...]:
    inspection, path = judged.inspection, str(judged.path)
    verdict = verdict_cell(inspection.verdict)
    if inspection.score is None:
        return (verdict, "", "", "", inspection.detail or "", path)
    boxes = ", ".join(f"{d.width}x{d.height} at {d.x},{d.y}" for d in inspection.defects[:3])
    more = f" and {len(inspection.defects) - 3} more" if len(inspection.defects) > 3 else ""
    figures = (inspection.score, inspection.threshold or 0.0, inspection.p_value or 0.0)
    return (verdict, *(f"{figure:.3f}" for figure in figures), boxes + more, path)
