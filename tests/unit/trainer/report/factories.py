"""Judged images without a model."""

from pathlib import Path

import numpy as np
import torch

from qc_worker.domain.calibration import Calibration
from qc_worker.imaging.preprocessing import Picture
from trainer.datasets.labelled import GOOD, LabelledImage
from trainer.judging.evaluate import JudgedImage

CALIBRATION = Calibration(scores=(1.0, 2.0, 3.0, 4.0), max_false_reject=0.2)
"""Its threshold is 4."""
SIZE = (32, 48)


def judged(
    name: str, kind: str, score: float, *, truth: bool = False, image_size: tuple[int, int] = (320, 480)
) -> JudgedImage:
    """The upper left corner is unusual, by `score`; the truth is a square in it."""
    anomaly_map = np.zeros(SIZE, np.float32)
    anomaly_map[:8, :8] = score
    verdict = CALIBRATION.verdict(score)
    square = np.zeros(SIZE, dtype=bool)
    square[2:6, 2:6] = truth and kind != GOOD
    seen = score > CALIBRATION.threshold
    return JudgedImage(
        image=LabelledImage(Path("set") / "test" / kind / name, kind),
        picture=Picture(torch.full((3, *SIZE), 90, dtype=torch.uint8), image_size),
        score=score,
        verdict=verdict,
        anomaly_map=anomaly_map,
        picture_map=anomaly_map,
        mask=anomaly_map > CALIBRATION.threshold if seen else None,
        truth=square if truth or kind == GOOD else None,
    )
