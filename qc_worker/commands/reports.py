"""Progress bars, and the table of judged files."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.text import Text

from qc_worker.domain.frame import Record
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.observability.printing import Cell, plain, print_table
from qc_worker.wire.json_types import INSPECTION

STYLES = {Verdict.PASS: "green", Verdict.REJECT: "bold red", Verdict.REVIEW: "yellow", Verdict.ERROR: "magenta"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileInspection:
    """An image file and its inspection."""

    path: Path
    inspection: Inspection


def with_progress(things: Iterable[T], title: str, *, total: float | None = None) -> Iterator[T]:
    """Show a progress bar on stderr while iterating, on a terminal only; `total` where `things` have no length."""
    console = Console(stderr=True)
    shown = escape(plain(title))
    return iter(track(things, shown, total, console=console, transient=True, disable=not console.is_terminal))


@contextmanager
def waiting(reason: str) -> Iterator[None]:
    """Show on stderr what is waited for while the block runs, on a terminal only."""
    console = Console(stderr=True)
    with console.status(escape(plain(reason))) if console.is_terminal else nullcontext():
        yield


class TerminalProgress:
    """Shows the progress of an audit on stderr, on a terminal only."""

    def reading(self, records: Iterable[Record], title: str, *, total: int) -> Iterable[Record]:
        return with_progress(records, title, total=total)

    def waiting(self, reason: str) -> AbstractContextManager[None]:
        return waiting(reason)


def file_inspection_document(judged: FileInspection) -> dict[str, Any]:
    """Describe a file's inspection as a JSON object: with its path, without what only frames have."""
    document: dict[str, Any] = INSPECTION.dump_python(judged.inspection, mode="json")
    unused = ("camera", "source", "frame_id", "line", "captured_at", "part")
    return {"path": str(judged.path), **{name: document[name] for name in document if name not in unused}}


def print_file_inspections(inspections: Iterable[FileInspection], to: Console | None = None) -> None:
    """Print one row per file, the most unusual first."""
    ranked = sorted(inspections, key=lambda judged: -(judged.inspection.score or 0.0))
    columns = ("verdict", "score", "threshold", "p-value", "defects", "file")
    print_table(columns, list(map(_row, ranked)), copied=(len(columns) - 1,), to=to)


def verdict_cell(verdict: Verdict) -> Text:
    """Return a verdict in its colour."""
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
