"""Small pictures and stores for the trainer's tests."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import line_name
from qc_worker.imaging.aspect import InputSize
from qc_worker.imaging.opening import ImageLimits
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec
from trainer.samples.card import Origin
from trainer.samples.store import SampleStore

LINE = line_name("A")
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
INPUT_SIZE = 64


def png(seed: int, *, defect: bool = False, size: int = 48) -> bytes:
    """A ground surface with fine texture; the defect is a bright blot."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    surface = 120 + 20 * np.sin(rows / 3) + random.normal(0, 5, (size, size))
    if defect:
        surface[(rows - size / 2) ** 2 + (columns - size / 3) ** 2 < (size / 6) ** 2] = 250
    encoded = io.BytesIO()
    Image.fromarray(surface.clip(0, 255).astype(np.uint8)).save(encoded, "PNG")
    return encoded.getvalue()


def write_images(folder: Path, count: int, *, first_seed: int = 0, defect: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + count):
        (folder / f"{seed:03}.png").write_bytes(png(seed, defect=defect))
    return folder


def imported(name: str = "x.png") -> Origin:
    return Origin(imported=name, accepted_by="import", accepted_at=NOW)


def filled_store(folder: Path, *, good: int, defect: int = 0) -> SampleStore:
    store = SampleStore(folder)
    for seed in range(good):
        store.add(LINE, Judgement.GOOD, png(seed), origin=imported(f"{seed}.png"))
    for seed in range(defect):
        store.add(LINE, Judgement.DEFECT, png(1_000 + seed, defect=True), origin=imported(f"d{seed}.png"))
    return store


def small_scorer(
    weights_dir: Path,
    dtype: torch.dtype = torch.float32,
    *,
    input_size: InputSize = (INPUT_SIZE, INPUT_SIZE),
    tiles: int = 1,
    mask_levels: tuple[int, ...] = (4, 8),
) -> Scorer:
    """The real backbone, on small pictures."""
    levels = (8, 16)
    every = tuple(sorted({*levels, *mask_levels}))
    backbone = load_backbone("efficientnet_lite0", levels=every, weights_dir=weights_dir)
    spec = EmbeddingSpec(
        backbone="efficientnet_lite0",
        weights_sha256=backbone.weights_sha256,
        levels=levels,
        patch_size=3,
        input_size=input_size,
        aspect="squash",
        grid_stride=8,
        tiles=tiles,
        mask_levels=mask_levels,
    )
    return Scorer(backbone, spec, torch.device("cpu"), dtype)


def no_progress(steps: int, note: str = "") -> None:
    """For what reports progress to nobody."""
