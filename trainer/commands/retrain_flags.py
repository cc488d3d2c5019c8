"""Flags of `retrain` and their defaults, apart from what computes: `--help` shows them without importing torch."""

from dataclasses import dataclass

from trainer.options import AspectFlag, CalibrateByFlag, GroupByFlag


@dataclass(frozen=True)  # without slots: the command line reads the defaults from the class
class RetrainFlags:
    """The command's own flags, as given; None: not given."""

    line: str
    max_false_reject: float | None = None
    review_rate: float | None = None
    seed: int = 0
    dry_run: bool = False
    offline: bool = False
    backbone: str = "efficientnet_lite0"
    aspect: AspectFlag = AspectFlag.SQUASH
    input_size: str = "auto"
    max_cost: float | None = None
    bit_depth: str = "auto"
    tiles: int = 1
    steps: int | None = None
    """Optimiser steps in place of those of the backbone's FitSettings."""
    group_by: GroupByFlag = GroupByFlag.AUTO
    calibrate_by: CalibrateByFlag = CalibrateByFlag.CROSS
    max_feature_mib: int = 8192
