"""Whether a replay gave what was recorded, and what `qc-worker replay` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from qc_worker.commands.reports import STYLES
from qc_worker.domain.inspection import Inspection
from qc_worker.simplenet.precision import Precision
from qc_worker.wire.json_types import INSPECTION

TOLERANCES: Mapping[Precision, float] = {"float32": 1e-4, "bfloat16": 0.02, "auto": 0.1}
"""How far scores may be apart, relative to score or threshold, the larger; by the setting `precision`.

float32: batch size, compilation and processor change the order of sums only, measured 2e-6; tests allow folded heads
1e-4. bfloat16: a compiled backbone rounds elsewhere than a plain one, measured 1 %. auto: an inspection does not say in
which format it was computed, and the two were measured 6 % apart.
"""

FIELDS = ("verdict", "reason", "score", "threshold", "p_value", "model_version", "image_size", "detail", "scored_at")


@dataclass(frozen=True, slots=True)
class Replay:
    """An inspection as published, if there is one, and the same frame judged again."""

    recorded: Inspection | None
    replayed: Inspection
    precision: Precision
    other_version: bool
    """Judged with a version of the user's choice: nothing that should be the same."""

    @property
    def tolerance(self) -> float | None:
        """How far the scores may be apart; None where none was recorded."""
        if self.recorded is None or self.recorded.score is None:
            return None
        return TOLERANCES[self.precision] * max(abs(self.recorded.score), abs(self.recorded.threshold or 0.0))

    @property
    def difference(self) -> float | None:
        """Between the scores; None where one of them is missing."""
        if self.recorded is None or self.recorded.score is None or self.replayed.score is None:
            return None
        return abs(self.replayed.score - self.recorded.score)

    @property
    def same(self) -> bool | None:
        """Verdict and reason equal, scores within the tolerance; None if nothing was to be compared."""
        if self.recorded is None or self.other_version:
            return None
        if (self.recorded.verdict, self.recorded.reason) != (self.replayed.verdict, self.replayed.reason):
            return False
        if self.tolerance is None or self.difference is None:
            return self.recorded.score == self.replayed.score  # both None: it failed the same way
        return self.difference <= self.tolerance


def replay_document(replay: Replay) -> dict[str, Any]:
    """The replay as one JSON object."""
    return {
        "position": str(replay.replayed.source),
        "same": replay.same,
        "score_difference": replay.difference,
        "tolerance": replay.tolerance,
        "recorded": INSPECTION.dump_python(replay.recorded, mode="json") if replay.recorded else None,
        "replayed": INSPECTION.dump_python(replay.replayed, mode="json"),
    }


def print_replay(replay: Replay, console: Console | None = None) -> None:
    """Print both side by side, then a sentence."""
    console = console or Console()
    frame = replay.replayed
    title = f"{frame.source}: frame {frame.frame_id} of line {frame.line}, camera {frame.camera}"
    console.print(title, markup=False, highlight=False)
    table = Table("", "recorded", "replayed")
    for name in FIELDS:
        table.add_row(name.replace("_", " "), _cell(replay.recorded, name), _cell(replay.replayed, name))
    console.print(table)
    console.print(_sentence(replay), highlight=False)


def _cell(inspection: Inspection | None, name: str) -> str:
    value = getattr(inspection, name, None)
    if value is None:
        return ""
    if name == "verdict":
        return f"[{STYLES.get(value, 'default')}]{value}[/]"
    if name == "scored_at":
        return str(value.isoformat(timespec="milliseconds"))
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("[", "\\[")


def _sentence(replay: Replay) -> str:
    if replay.recorded is None:
        return "There is no inspection to compare with."
    if replay.same is None:
        return "Judged with a version of your choice: nothing is compared."
    if replay.difference is None:
        return "[bold green]Same[/]: it fails the same way." if replay.same else "[bold red]Different.[/]"
    apart = f"scores {replay.difference:.2g} apart, {replay.tolerance:.2g} allowed"
    if replay.same:
        return f"[bold green]Same[/] verdict; {apart}."
    differs = "verdict" if replay.recorded.verdict != replay.replayed.verdict else "score"
    return f"[bold red]Different[/] {differs}; {apart}."
