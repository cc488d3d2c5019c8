"""Compares a replay with the recorded inspection, and prints both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from qc_worker.commands.reports import verdict_cell
from qc_worker.domain.inspection import Inspection
from qc_worker.observability.printing import Cell, console, plain, print_table
from qc_worker.simplenet.inference.precision import Precision
from qc_worker.wire.json_types import INSPECTION

TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "bfloat16": 0.03, "float16": 0.03}
"""Largest allowed difference of scores, relative to the larger of score and threshold; by the number format of both.

Compiled as the worker's is, a replay on the same machine gives the same bits. A backbone compiled elsewhere, or
plain (`compile` off, no compiler), orders its sums and rounds otherwise. Measured plain against compiled on a CPU
with AVX512-BF16, efficientnet_lite0, 351 pictures of magnetic tiles, two fitted heads: float32 2.6e-6 at most; bfloat16
1.6 % at most, 0.2 % in the middle. A frame's place in its batch and the batch's size changed nothing, the number of
threads 1.3e-6 in float32. float32 gets what the tests allow folded heads, bfloat16 about twice what was seen.
float16 rounds eight times finer; it was not measured and gets bfloat16's.
"""

OTHER_FORMAT_TOLERANCE = 0.1
"""Tolerance if the formats differ or one is unknown; measured on those pictures: 8.0 % at most, 1.6 % in the middle."""

FIELDS = (
    "verdict",
    "reason",
    "score",
    "threshold",
    "p_value",
    "model_version",
    "precision",
    "image_size",
    "detail",
    "scored_at",
)


@dataclass(frozen=True, slots=True)
class Replay:
    """A published inspection, if there is one, and the inspection of the same frame judged again."""

    recorded: Inspection | None
    replayed: Inspection
    precision: Precision
    """The setting `precision` of the replay."""
    other_version: bool
    """True if the user chose the version: the inspections need not be equal."""

    @property
    def tolerance(self) -> float | None:
        """Return the largest allowed difference of the scores; None if no score was recorded."""
        if self.recorded is None or self.recorded.score is None:
            return None
        same_format = self.recorded.precision == self.replayed.precision
        tolerated = TOLERANCES.get(self.recorded.precision or "") if same_format else None
        return (tolerated or OTHER_FORMAT_TOLERANCE) * max(abs(self.recorded.score), abs(self.recorded.threshold or 0))

    @property
    def other_format(self) -> str | None:
        """Describe in a sentence how the number formats differ; None if they are equal or scores are not compared."""
        if self.recorded is None or self.difference is None:
            return None
        recorded, judged = self.recorded.precision, f"judged again in {self.replayed.precision}"
        if recorded is None:
            return f"{judged}; the number format of the recorded inspection is unknown"
        if recorded == self.replayed.precision:
            return None
        if self.precision != "auto":
            return f"recorded in {recorded}, {judged}, as the setting `precision` demands"
        return f"recorded in {recorded}, {judged}: this machine does not compute in {recorded}"

    @property
    def difference(self) -> float | None:
        """Return the difference of the scores; None if one of them is missing."""
        if self.recorded is None or self.recorded.score is None or self.replayed.score is None:
            return None
        return abs(self.replayed.score - self.recorded.score)

    @property
    def same(self) -> bool | None:
        """Return True if verdict and reason are equal and scores within the tolerance; None if nothing is compared."""
        if self.recorded is None or self.other_version:
            return None
        if (self.recorded.verdict, self.recorded.reason) != (self.replayed.verdict, self.replayed.reason):
            return False
        if self.tolerance is None or self.difference is None:
            return self.recorded.score == self.replayed.score  # both None: it failed the same way
        return self.difference <= self.tolerance


def replay_document(replay: Replay) -> dict[str, Any]:
    """Describe the replay as one JSON object."""
    return {
        "position": str(replay.replayed.source),
        "same": replay.same,
        "score_difference": replay.difference,
        "tolerance": replay.tolerance,
        "other_format": replay.other_format,
        "recorded": INSPECTION.dump_python(replay.recorded, mode="json") if replay.recorded else None,
        "replayed": INSPECTION.dump_python(replay.replayed, mode="json"),
    }


def print_replay(replay: Replay, to: Console | None = None) -> None:
    """Print both side by side, then a sentence."""
    to = to or console()
    frame = replay.replayed
    title = f"{frame.source}: frame {frame.frame_id} of line {frame.line}, camera {frame.camera}"
    title += f", part {frame.part}" if frame.part else ""
    to.print(Text(plain(title)))
    rows = [(name.replace("_", " "), _cell(replay.recorded, name), _cell(replay.replayed, name)) for name in FIELDS]
    print_table(("", "recorded", "replayed"), rows, to=to)
    to.print(_sentence(replay))


def _cell(inspection: Inspection | None, name: str) -> Cell:
    value = getattr(inspection, name, None)
    if value is None:
        return ""
    if name == "verdict":
        return verdict_cell(value)
    if name == "scored_at":
        return str(value.isoformat(timespec="milliseconds"))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sentence(replay: Replay) -> Text:
    if replay.recorded is None:
        return Text("There is no recorded inspection to compare with.")
    if replay.same is None:
        return Text("Not compared: you chose the model version.")
    if replay.difference is None:
        return _same(": it fails in the same way.") if replay.same else _different(".")
    apart = f"scores {replay.difference:.2g} apart, {replay.tolerance:.2g} allowed"
    if replay.other_format:
        apart = f"{apart}; {replay.other_format}"
    if replay.same:
        return _same(f" verdict; {apart}.")
    if replay.recorded.verdict == replay.replayed.verdict:
        return _different(f" score; {apart}.")
    if replay.tolerance is not None and replay.difference <= replay.tolerance:
        apart = f"{apart}; a threshold lies between them: replay on the worker's machine to get the recorded score"
    return _different(f" verdict; {apart}.")


def _same(rest: str) -> Text:
    return Text.assemble(("Same", "bold green"), plain(rest))


def _different(rest: str) -> Text:
    return Text.assemble(("Different", "bold red"), plain(rest))
