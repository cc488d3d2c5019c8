"""Inspections as a plant of some lines makes them, for benchmarks of the history."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from qc_dashboard.history.rows import Row, inspection_row
from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Defect, Inspection, Mask, StageTimings, Verdict
from qc_worker.ports.results import PublishedInspection
from qc_worker.wire.json_types import encode_inspection

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
LINES = ("body", "cap", "label", "seal", "weld")
CAMERAS = ("front", "left", "right", "top")
FRAME_EVERY = timedelta(milliseconds=20)
FRAMES_OF_A_VERSION = 100_000
VERDICTS = (Verdict.PASS, Verdict.REJECT, Verdict.REVIEW, Verdict.ERROR)
SHARES = (0.94, 0.03, 0.02, 0.01)


@dataclass(frozen=True, slots=True)
class Load:
    """The first `frames` frames of the plant, the same each time."""

    frames: int

    def published(self, start: int, end: int) -> list[PublishedInspection]:
        """Return inspections as they are read back from `results`."""
        made = [(number, self.inspection(number)) for number in range(start, end)]
        return [
            PublishedInspection(one, Position("results", 0, number), b"", (), one.scored_at, encode_inspection(one))
            for number, one in made
        ]

    def rows(self, batch_size: int) -> Iterator[list[Row]]:
        """Yield rows with a part number each."""
        for start in range(0, self.frames, batch_size):
            batch = self.published(start, min(self.frames, start + batch_size))
            rows = [inspection_row(one) for one in batch]
            yield [row | {"part": self.part(row["source_offset"])} for row in rows]

    def part(self, number: int) -> str:
        return f"P-2026-{number // len(CAMERAS):09}"

    def inspection(self, number: int) -> Inspection:
        dice = random.Random(number)
        (verdict,) = dice.choices(VERDICTS, SHARES)
        taken, bad = BEGAN + number * FRAME_EVERY, verdict in (Verdict.REJECT, Verdict.REVIEW)
        failed = verdict is Verdict.ERROR
        score = None if failed else dice.gauss(4.0 if bad else 1.0, 0.5)
        line = LINES[number // len(CAMERAS) % len(LINES)]
        return Inspection(
            frame_id=f"{line}-{number:010}",
            line=line,
            camera=CAMERAS[number % len(CAMERAS)],
            captured_at=taken,
            scored_at=taken + timedelta(milliseconds=60),
            source=Position("images", 0, number),
            verdict=verdict,
            reason=Reason.UNDECODABLE if failed else None,
            detail="not a picture" if failed else None,
            model_version=None if failed else f"v{number // FRAMES_OF_A_VERSION:05}",
            precision=None if failed else "bfloat16",
            score=score,
            p_value=None if score is None else 0.5,
            threshold=None if failed else 2.5,
            image_size=(1024, 1280),
            defects=(Defect(10, 20, 30, 40, 900, 4.5),) * dice.randrange(1, 4) if bad else (),
            mask=Mask((256, 320), "c" * dice.randrange(60, 400)) if bad else None,
            heatmap_key=f"heatmap:images:0:{number}" if bad else None,
            stage_ms=StageTimings(2.125, 3.5, 12.75, 0.5, 19.0),
        )
