"""The demo's figures, and the JSON object that `--json` prints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class LatencyMs:
    """Percentiles of the time from taking a frame to its verdict, milliseconds; NaN without frames."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class RejectQuality:
    """Number of rejects, and of those that show a defect."""

    rejects: int
    right: int


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The demo in figures.

    `frames_per_s` is the rate while the cameras were not slowed down for the retrain; `swap_s` is the time from the
    release's announcement to the first inspection by its model (None: its model judged nothing); `dashboard` is the
    address at which the pages were (None: there were none).
    """

    frames_sent: int
    inspections: int
    duplicates: int
    missing: int
    verdicts: Mapping[str, Mapping[str, int]]
    frames_per_s: float
    latency_ms: LatencyMs
    image_auroc: Mapping[str, float]
    model_versions: Mapping[str, tuple[str, ...]]
    swap_s: float | None
    reject_quality: Mapping[str, RejectQuality] = field(default_factory=dict)
    heatmap: Path | None = None
    gallery: Path | None = None
    dashboard: str | None = None
    interrupted: bool = False

    @property
    def sound(self) -> bool:
        """True if every frame has exactly one inspection and the new model went live."""
        return not self.missing and not self.duplicates and self.swap_s is not None

    def document(self) -> dict[str, Any]:
        """Build the object that `--json` prints; unknown figures are null."""
        latency = self.latency_ms
        return {
            "frames_sent": self.frames_sent,
            "inspections": self.inspections,
            "duplicates": self.duplicates,
            "missing": self.missing,
            "verdicts": {line: dict(counts) for line, counts in self.verdicts.items()},
            "frames_per_s": _figure(self.frames_per_s, 2),
            "latency_ms": {
                "p50": _figure(latency.p50, 1),
                "p95": _figure(latency.p95, 1),
                "p99": _figure(latency.p99, 1),
            },
            "image_auroc": {line: _figure(area, 4) for line, area in self.image_auroc.items()},
            "model_versions": {line: list(versions) for line, versions in self.model_versions.items()},
            "swap_s": None if self.swap_s is None else _figure(self.swap_s, 3),
            "dashboard": self.dashboard,
        }


def _figure(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
