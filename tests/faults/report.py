"""Keep what the fault matrix measured in docs/reference: `faults.json`, shown as `fault-matrix.md`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cell import DRAINED_WITHIN_S
from tests.faults.site import Ending

DOCS = Path(__file__).parents[2] / "docs/reference"
KEPT = DOCS / "faults.json"
SHOWN = DOCS / "fault-matrix.md"
RANDOM = "random faults, seed"
"""How the names of random runs begin."""

INTRODUCTION = f"""# Fault matrix

Written by `make test-faults`, which runs every row again: Apache Kafka, three brokers (KRaft) with replication 3 and
min.insync.replicas 2, `delivery = exactly-once`, 150 frames a second before, during and after the fault (25 while 1,500
wait). A row holds if `qc-worker account` finds one inspection of every frame, none missing, none double, none out of
order per camera, every dead letter explained and nothing waiting, once all frames are judged and again after 50 more
frames and some seconds; if no silence was longer than allowed; if the last verdict came within {DRAINED_WITHIN_S:.0f} s
of the last frame (random runs: as long as a silence may be); and if the promised event was observed.

Silence is the longest time in which a reader (`read_committed`) saw no verdict of some partition: fault, recovery,
transactions left open and, where a worker is started again, its start. Allowed is the sum of the timeouts involved
(session 6 s, transaction 20 s and 10 s until the broker looks, broker session 3 s) and what two busy cores need.

| fault | promise | result | frames | dead letters | longest silence | allowed | drained in | whole run | date |
|---|---|---|---|---|---|---|---|---|---|
"""


@dataclass
class Row:
    """One row."""

    name: str
    promise: str
    allowed_silence_s: float
    outcome: str = "failed"
    figures: dict[str, Any] = field(default_factory=dict)

    def measured(self, ending: Ending, *, lasted_s: float) -> None:
        """Keep what was found."""
        self.figures = {
            "frames": ending.books.frames,
            "dead_letters": ending.books.dead_letters,
            "longest_silence_s": round(ending.longest_silence_s, 1),
            "allowed_silence_s": round(self.allowed_silence_s),
            "drained_s": round(ending.drained_s, 1),
            "lasted_s": round(lasted_s, 1),
            "discrepancies": dict(ending.books.discrepancies),
        }


class Report:
    """Rows of this run replace those of earlier ones; those that nothing is called by any more are left out."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}

    @contextmanager
    def of(self, name: str, promise: str, *, allowed_silence_s: float) -> Iterator[Row]:
        """Fill in one row: `holds` if the block ends well, `failed` if not; skipped, the last one stays."""
        row = Row(name, promise, allowed_silence_s)
        try:
            yield row
            row.outcome = "holds"
        except (pytest.skip.Exception, KeyboardInterrupt):
            raise
        except BaseException:  # a timeout of pytest is none of Exception's
            self._keep(row)
            raise
        else:
            self._keep(row)

    def _keep(self, row: Row) -> None:
        today = datetime.now(UTC).date().isoformat()
        self._rows[row.name] = {"promise": row.promise, "outcome": row.outcome, "date": today, **row.figures}
        names = [*self._names, *sorted(name for name in self._rows if name.startswith(RANDOM))]
        self._rows = {name: self._rows[name] for name in names if name in self._rows}
        KEPT.write_text(json.dumps(self._rows, indent=1) + "\n")
        SHOWN.write_text(INTRODUCTION + "".join(_shown(name, row) for name, row in self._rows.items()))


def _shown(name: str, row: dict[str, Any]) -> str:
    found = ", ".join(f"{count} {kind}" for kind, count in row.get("discrepancies", {}).items())
    outcome = row["outcome"] + (f": {found}" if found else "")
    seconds = ("longest_silence_s", "allowed_silence_s", "drained_s", "lasted_s")
    times = (f"{row[key]} s" if key in row else "" for key in seconds)
    cells = (name, row["promise"], outcome, row.get("frames", ""), row.get("dead_letters", ""), *times, row["date"])
    return f"| {' | '.join(map(str, cells))} |\n"
