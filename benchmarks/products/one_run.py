"""One run of `accuracy.py`: a side fitted to one product's good frames with one seed, and what it was worth there."""

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
"""How a picture is brought to the input size, for all sides."""


@dataclass(frozen=True, slots=True)
class Product:
    """A labelled folder, laid out as MVTec AD is."""

    name: str
    folder: Path
    images: tuple[LabelledImage, ...]
    """To test on, good ones first."""
    digest: str
    """Of names and sizes of all files; changes when the set does."""

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
    """Of one kind of defect, or of all, against all good test images. Pixel metrics are None without masks."""

    image_auroc: float
    recall_at: dict[str, float]
    """Share of the defects rejected where at most this share of the good test images is (`trainer.judging.recall`)."""
    pixel_auroc: float | None
    aupro: float | None


@dataclass(frozen=True, slots=True)
class OwnThreshold:
    """What a model's own threshold does to the test images."""

    max_false_reject: float
    """The rate asked for: 0.01, or the smallest that so few good frames support."""
    calibration_scores: tuple[float, ...]
    reject_rate: float
    """Share of the defects rejected."""
    false_reject_rate: float
    """Share of the good test images rejected."""
    mask_overlap: MaskOverlap | None
    """The worker's masks of rejected defects against the true ones; None without masks."""
    mask_overlap_at_5: MaskOverlap | None
    """The same at the threshold for a false-reject rate of 0.05."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one side, product and seed."""

    product: str
    side: str
    seed: int
    input_size: InputSize
    levels: tuple[int, ...]
    frames: int
    """Good frames that it was fitted to."""
    train_s: float
    judge_s: float
    """Of all test images, metrics included."""
    overall: Figures
    by_defect: dict[str, Figures]
    scores: dict[str, list[float]]
    """Of test images, by kind."""
    own: OwnThreshold | None = None
    """None for a rival: it comes without a threshold."""
    features_cached: int = 0
    """Good frames whose features were on the disk already, so that `train_s` is without them."""


_RUN = TypeAdapter(Run)


@dataclass(frozen=True, slots=True)
class RunCache:
    """Runs that are done, by name: in memory, and one JSON file each if there is a folder."""

    folder: Path | None
    _kept: dict[str, Run] = field(default_factory=dict, init=False)

    def get(self, name: str) -> Run | None:
        """The run kept under this name; None also for one that a former version of this program wrote."""
        path = self._path(name)
        if name not in self._kept and path and path.is_file():
            with suppress(ValueError):
                self._kept[name] = _RUN.validate_json(path.read_bytes())
        return self._kept.get(name)

    def put(self, name: str, run: Run) -> None:
        """Keep a run; the file appears whole or not at all."""
        self._kept[name] = run
        if path := self._path(name):
            write_atomically(path, _RUN.dump_json(run))

    def _path(self, name: str) -> Path | None:
        return self.folder / f"{name}.json" if self.folder else None


def product_at(folder: Path) -> Product:
    """Look a data set through. Raises SettingsError."""
    images = tuple(labelled_images(folder))
    digest = hashlib.sha256()
    for path in [*image_files(folder / "train" / GOOD), *(image.path for image in images)]:
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
    return Product(folder.resolve().name, folder, images, digest.hexdigest())


def stamp_of(facts: Mapping[str, object]) -> str:
    """A short digest of all that a run depends on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def source_digest(folders: Sequence[Path]) -> str:
    """A digest of the Python files in these folders and below, those that write a report left out."""
    files = sorted(path for folder in folders for path in folder.rglob("*.py") if path.parent.name != "report")
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def figures_of(scores: Mapping[str, Sequence[float]], pixels: Mapping[str, PixelScores], kinds: list[str]) -> Figures:
    """Figures of these kinds of defects against the good images; the groups of pixels are finished."""
    defects = [score for kind in kinds for score in scores[kind]]
    found = localisation([pixels[GOOD], *(pixels[kind] for kind in kinds)])
    return Figures(
        image_auroc=auroc(scores[GOOD], defects),
        recall_at={str(rate): recall_at(scores[GOOD], defects, rate) for rate in FALSE_REJECT_RATES},
        pixel_auroc=found.pixel_auroc,
        aupro=found.aupro,
    )
