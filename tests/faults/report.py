"""What the fault matrix measured, kept in `docs/faults.json` and shown in `docs/FAULTS.md`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "faults.json"
SHOWN = DOCS / "FAULTS.md"

INTRODUCTION = """# Fault matrix

Written by `make test-faults`, which runs every row anew: Apache Kafka, three brokers (KRaft) with replication 3 and
min.insync.replicas 2, `delivery = exactly-once`, frames coming while the fault happens. A row holds if
`qc-worker account` finds one inspection of every frame, none missing, none double, none out of order per camera, every
dead letter explained, and nothing waiting. Silence is the longest time between two verdicts: fault, recovery and,
where a worker is started anew, its start.

| fault | promise | result | frames | dead letters | longest silence | whole run | date |
|---|---|---|---|---|---|---|---|
"""


@dataclass
class Result:
    """One row."""

    name: str
    promise: str
    outcome: str = "failed"
    figures: dict[str, Any] = field(default_factory=dict)

    def measured(self, account: dict[str, Any], *, longest_silence_s: float, lasted_s: float) -> None:
        """Keep the account's figures and the times."""
        totals = account["totals"]
        self.figures = {
            "frames": totals["frames"],
            "dead_letters": totals["dead_letters"],
            "longest_silence_s": round(longest_silence_s, 1),
            "lasted_s": round(lasted_s, 1),
            "discrepancies": {kind: one["count"] for kind, one in account["discrepancies"].items() if one["count"]},
        }


class Report:
    """Rows of this run replace those of earlier ones."""

    def __init__(self) -> None:
        self._rows: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}

    @contextmanager
    def of(self, name: str, promise: str) -> Iterator[Result]:
        """Fill in one row; it says `failed` unless the block ends well."""
        result = Result(name, promise)
        try:
            yield result
            result.outcome = "holds"
        finally:
            today = datetime.now(UTC).date().isoformat()
            self._rows[name] = {"promise": promise, "outcome": result.outcome, "date": today, **result.figures}
            self.write()

    def write(self) -> None:
        KEPT.write_text(json.dumps(self._rows, indent=1) + "\n")
        SHOWN.write_text(INTRODUCTION + "".join(_row(name, row) for name, row in self._rows.items()))


def _row(name: str, row: dict[str, Any]) -> str:
    found = ", ".join(f"{count} {kind}" for kind, count in row.get("discrepancies", {}).items())
    outcome = row["outcome"] + (f": {found}" if found else "")
    silence, lasted = (f"{row[key]} s" if key in row else "" for key in ("longest_silence_s", "lasted_s"))
    cells = (name, row["promise"], outcome, row.get("frames", ""), row.get("dead_letters", ""), silence, lasted)
    return f"| {' | '.join(map(str, cells))} | {row['date']} |\n"
