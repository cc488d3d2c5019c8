"""Run rounds in which sides take turns, and compute medians."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.harness.contestant import SideProcess, Timed

MANY_LINES = 32


class Event(NamedTuple):
    """One measurement: a side at a batch size, with a number of lines mixed in its batches."""

    process: SideProcess
    batch_size: int
    lines: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; medians over the rounds."""

    side: str
    setting: str
    batch_size: int
    lines: int
    fps: float
    ms_per_batch: float
    cpu_ms_per_frame: float
    fps_of_rounds: tuple[float, ...]
    resident_bytes: int
    """Memory of the side's process after this batch size and all smaller ones."""
    peak_bytes: int


def race(events: Sequence[Event], *, rounds: int, turn_s: float) -> list[Row]:
    """Let the sides take turns, in reverse order every other round; one batch size after the other."""
    rows: list[Row] = []
    for batch_size in sorted({event.batch_size for event in events}):
        rows += _race([event for event in events if event.batch_size == batch_size], rounds, turn_s)
    return rows


def _race(events: Sequence[Event], rounds: int, turn_s: float) -> list[Row]:
    turns: dict[Event, list[Timed]] = {event: [] for event in events}
    for number in range(rounds):
        for event in events if number % 2 == 0 else reversed(events):
            timed = event.process.time(batch_size=event.batch_size, lines=event.lines, turn_s=turn_s)
            turns[event].append(timed)
            _report(event, timed, number)
    return [_row(event, timed) for event, timed in turns.items()]


def _row(event: Event, turns: Sequence[Timed]) -> Row:
    memory = event.process.memory()
    return Row(
        side=event.process.spec.side,
        setting=event.process.spec.setting,
        batch_size=event.batch_size,
        lines=event.lines,
        fps=round(statistics.median(turn.fps for turn in turns), 2),
        ms_per_batch=round(statistics.median(turn.ms_per_batch for turn in turns), 2),
        cpu_ms_per_frame=round(statistics.median(turn.cpu_ms_per_frame for turn in turns), 2),
        fps_of_rounds=tuple(round(turn.fps, 2) for turn in turns),
        resident_bytes=memory.resident_bytes,
        peak_bytes=memory.peak_bytes,
    )


def _report(event: Event, timed: Timed, number: int) -> None:
    spec = event.process.spec
    where = f"round {number + 1}, batch {event.batch_size}, {event.lines} lines"
    print(
        f"{where}: {spec.side} {spec.setting} {timed.fps:.1f} frames/s, {timed.cpu_ms_per_frame:.1f} CPU ms",
        file=sys.stderr,
    )
