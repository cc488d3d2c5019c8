"""Values for one run of `accuracy.py` (one side, product and seed), and a cache of finished runs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from qc_worker.files import write_atomically
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.image_files import image_files
from qc_worker.simplenet.roc import auroc
from trainer.datasets.labelled import GOOD, LabelledImage
from trainer.datasets.labelled_folder import labelled_images
from trainer.judging.localisation import PixelScores, localisation
from trainer.judging.mask_overlap import MaskOverlap
from trainer.judging.recall import FALSE_REJECT_RATES, recall_at

ASPECT: Aspect = "squash"
"""Resizing to the input size, for all sides."""


@dataclass(frozen=True, slots=True)
class Product:
    """A labelled folder in the layout of MVTec AD."""

    name: str
    folder: Path
    images: tuple[LabelledImage, ...]
    """Test images, good ones first."""
    digest: str
    """Digest of names and sizes of all files; it changes when the data set does."""

    @property
    def good(self) -> Path:
        """Folder of the frames to fit to."""
        return self.folder / "train" / GOOD

    @property
    def counts(self) -> dict[str, int]:
        """Test images by kind."""
        kinds = [image.kind for image in self.images]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one kind of defect, or of all, against all good test images. Pixel metrics are None without masks."""

    image_auroc: float
    recall_at: dict[str, float]
    """Share of defects rejected, by the largest share of good test images that may be rejected (`judging.recall`)."""
    pixel_auroc: float | None
    aupro: float | None


@dataclass(frozen=True, slots=True)
class OwnThreshold:
    """Figures of the test images at the model's own threshold."""

    max_false_reject: float
    """Rate asked for: 0.01, or the smallest rate that the good frames support if they are few."""
    calibration_scores: tuple[float, ...]
    reject_rate: float
    """Share of the defects rejected."""
    false_reject_rate: float
    """Share of the good test images rejected."""
    mask_overlap: MaskOverlap | None
    """The worker's masks of rejected defects against the true ones; None without masks."""
    mask_overlap_at_5: MaskOverlap | None
    """`mask_overlap` at the threshold for a false-reject rate of 0.05."""


@dataclass(frozen=True, slots=True)
class Run:
    """Result of one side, product and seed."""

    product: str
    side: str
    seed: int
    input_size: InputSize
    levels: tuple[int, ...]
    frames: int
    """Number of good frames for fitting."""
    train_s: float
    judge_s: float
    """Seconds to judge all test images, with metrics."""
    overall: Figures
    by_defect: dict[str, Figures]
    scores: dict[str, list[float]]
    """Scores of the test images, by kind."""
    own: OwnThreshold | None = None
    """None for a rival, which has no threshold of its own."""
    features_cached: int = 0
    """Number of good frames whose features were cached on disk, so that `train_s` does not include them."""


_RUN = TypeAdapter(Run)


@dataclass(frozen=True, slots=True)
class RunCache:
    """Finished runs by name: in memory and, if there is a folder, in one JSON file each."""

    folder: Path | None
    _kept: dict[str, Run] = field(default_factory=dict, init=False)

    def get(self, name: str) -> Run | None:
        """Return the run of this name; None if there is none, or if an older version of this program wrote it."""
        path = self._path(name)
        if name not in self._kept and path and path.is_file():
            with suppress(ValueError):
                self._kept[name] = _RUN.validate_json(path.read_bytes())
        return self._kept.get(name)

    def put(self, name: str, run: Run) -> None:
        """Store a run; its file is written atomically."""
        self._kept[name] = run
        if path := self._path(name):
            write_atomically(path, _RUN.dump_json(run))

    def _path(self, name: str) -> Path | None:
        return self.folder / f"{name}.json" if self.folder else None


def product_at(folder: Path) -> Product:
    """List and digest a data set. Raises SettingsError."""
    images = tuple(labelled_images(folder))
    digest = hashlib.sha256()
    for path in [*image_files(folder / "train" / GOOD), *(image.path for image in images)]:
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
    return Product(folder.resolve().name, folder, images, digest.hexdigest())


def stamp_of(facts: Mapping[str, object]) -> str:
    """Compute a short digest of everything that a run depends on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def source_digest(folders: Sequence[Path]) -> str:
    """Compute a digest of all Python files below these folders, except those in folders named `report`."""
    files = sorted(path for folder in folders for path in folder.rglob("*.py") if path.parent.name != "report")
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def figures_of(scores: Mapping[str, Sequence[float]], pixels: Mapping[str, PixelScores], kinds: list[str]) -> Figures:
    """Compute figures of these kinds of defects against the good images; `pixels` must be finished."""
    defects = [score for kind in kinds for score in scores[kind]]
    found = localisation([pixels[GOOD], *(pixels[kind] for kind in kinds)])
    return Figures(
        image_auroc=auroc(scores[GOOD], defects),
        recall_at={str(rate): recall_at(scores[GOOD], defects, rate) for rate in FALSE_REJECT_RATES},
        pixel_auroc=found.pixel_auroc,
        aupro=found.aupro,
    )
