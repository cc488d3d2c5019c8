"""A stored version as its card describes it, without the digests of its samples."""

from dataclasses import dataclass
from datetime import datetime

from qc_worker.domain.calibration import Calibration


@dataclass(frozen=True, slots=True)
class VersionCard:
    """Facts of a model card that people compare versions by."""

    line: str
    version: str
    created_at: datetime
    backbone: str
    input_size: tuple[int, int]
    """Height and width that enter the backbone, pixels."""
    tiles: int
    bit_depth: int
    calibration: Calibration
    training_samples: int
    """Good frames that the head was fitted to."""
    calibration_samples: int
    """Good frames that the threshold comes from; they may have fitted the head too."""
    samples: int
    """Good frames, each counted once."""
    calibrate_by: str
    groups: int
    """Groups of the good frames; 0: they were taken one by one."""
    head_sha256: str
    head_of: str | None
    """Version whose head this one shares."""
    derived_from: str | None
    """Version of which this one is a copy with another threshold."""
    duration_s: float
    """Duration of the training, seconds."""
