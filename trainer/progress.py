"""Progress bars on stderr if it is a terminal, and one log line per stage."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = structlog.get_logger()


class Advance(Protocol):
    """Report that `steps` more are done, with a note beside the bar."""

    def __call__(self, steps: int, note: str = "") -> None: ...


class Stages:
    """The stages of one command, each with a bar of its own."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.durations_s: dict[str, float] = {}
        """Durations of the stages that finished, by name."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Run one stage of `total` steps; one without steps shows no bar."""
        task = self._progress.add_task(name, total=total, note="", visible=total > 0)
        started_s = monotonic()
        yield _advance(self._progress, task)
        self.durations_s[name] = monotonic() - started_s
        log.debug("stage done", stage=name, steps=total, duration_s=round(self.durations_s[name], 2))


@contextmanager
def stages() -> Iterator[Stages]:
    """Show bars while the block runs, if stderr is a terminal."""
    columns = (
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        yield Stages(progress)


def _advance(progress: Progress, task: TaskID) -> Advance:
    def advance(steps: int, note: str = "") -> None:
        progress.update(task, advance=steps, note=note)

    return advance
