"""Simulates production lines: machined parts drawn from a seed, some of them defective, with masks.

The same seed, line and index give the same frame, byte for byte, on any machine with the same numpy and Pillow.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from qc_worker.embedded.simulation.canvas import Field, Surface
from qc_worker.embedded.simulation.defects import DEFECT_KINDS, DEFECTS, MISSING_FEATURE
from qc_worker.embedded.simulation.light import Scene, draw_scene, expose, shade
from qc_worker.embedded.simulation.parts import BRACKET, FLANGE, GEAR, PartKind

JPEG_QUALITY = 92
VISIBLE_GREY_LEVELS = 5
"""A pixel belongs to the mask if the defect changed it by more than this."""

_KINDS = {"A": FLANGE, "B": BRACKET, "C": GEAR}


@dataclass(frozen=True, slots=True)
class SimulatedFrame:
    """One part as the camera sees it; `mask` (height, width) is True where the defect shows."""

    content: bytes
    defect: str | None
    mask: NDArray[np.bool_]


class Simulation:
    """One line's parts, by index. Lines A, B and C make flanges, brackets and gears; others one of these."""

    def __init__(self, line: str, *, seed: int, defect_share: float = 0.15) -> None:
        self._line = crc32(line.encode())
        self._seed = seed
        self._defect_share = defect_share
        self.part: PartKind = _KINDS.get(line) or list(_KINDS.values())[self._line % len(_KINDS)]

    def frame(self, index: int) -> SimulatedFrame:
        """Draw the part at `index`, encoded as JPEG; defective at the line's defect share."""
        image, mask, defect = self.draw(index, self.defect_at(index))
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=JPEG_QUALITY)
        return SimulatedFrame(content=encoded.getvalue(), defect=defect, mask=mask)

    def defect_at(self, index: int) -> str | None:
        """Return the defect kind of the part at `index`; None for a good part."""
        rng = self._rng(index, "plan")
        return str(rng.choice(DEFECT_KINDS)) if rng.random() < self._defect_share else None

    def draw(self, index: int, defect: str | None) -> tuple[Image.Image, NDArray[np.bool_], str | None]:
        """Draw the part at `index` with a given defect; return the RGB picture, the mask, the defect."""
        scene = draw_scene(self._rng(index, "scene"))
        good = self._surface(index, scene, missing=None)
        surface = self._with_defect(index, scene, good, defect)
        metal = shade(surface, scene)
        mask = _visible(metal, surface, shade(good, scene), good) if defect else np.zeros(metal.shape, dtype=np.bool_)
        image = expose(metal, surface.outline, scene, self.part.shades, self._rng(index, "noise"))
        return image, mask, defect

    def _with_defect(self, index: int, scene: Scene, good: Surface, defect: str | None) -> Surface:
        rng = self._rng(index, "defect")
        if defect is None:
            return good
        if defect == MISSING_FEATURE:
            return self._surface(index, scene, missing=int(rng.integers(self.part.features)))
        return DEFECTS[defect](good, rng)

    def _surface(self, index: int, scene: Scene, *, missing: int | None) -> Surface:
        return self.part.draw(scene.pose, self._rng(index, "grain"), missing)

    def _rng(self, index: int, purpose: str) -> Generator:
        # One stream per purpose: the same part with and without a defect shares pose, light, grain and noise.
        return np.random.default_rng([self._seed, self._line, index, crc32(purpose.encode())])


def write_dataset(
    folder: Path, *, line: str, seed: int, train_good: int = 120, test_good: int = 60, test_per_defect: int = 12
) -> None:
    """Write an MVTec-style folder: train/good, test/good, test/<defect>, ground_truth/<defect>/<name>_mask.png."""
    simulation = Simulation(line, seed=seed)
    _write_frames(simulation, range(train_good), None, folder / "train" / "good")
    _write_frames(simulation, range(train_good, train_good + test_good), None, folder / "test" / "good")
    first = train_good + test_good
    for defect in DEFECT_KINDS:
        indices = range(first, first + test_per_defect)
        _write_frames(simulation, indices, defect, folder / "test" / defect, folder / "ground_truth" / defect)
        first += test_per_defect


def write_good_frames(folder: Path, *, line: str, seed: int, frames: int) -> None:
    """Write good parts of a line, one file each."""
    _write_frames(Simulation(line, seed=seed), range(frames), None, folder)


def _write_frames(
    simulation: Simulation, indices: range, defect: str | None, images: Path, masks: Path | None = None
) -> None:
    images.mkdir(parents=True, exist_ok=True)
    if masks:
        masks.mkdir(parents=True, exist_ok=True)
    for index in indices:
        image, mask, _ = simulation.draw(index, defect)
        image.save(images / f"{index:06d}.jpg", quality=JPEG_QUALITY)
        if masks:
            Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{index:06d}_mask.png")


def _visible(metal: Field, surface: Surface, twin_metal: Field, twin: Surface) -> NDArray[np.bool_]:
    """Mark the pixels where a defective part looks different from its defect-free twin; small gaps are closed."""
    changed = np.abs(_on_belt(metal, surface) - _on_belt(twin_metal, twin)) > VISIBLE_GREY_LEVELS
    closed = Image.fromarray(changed.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))
    return np.asarray(closed.filter(ImageFilter.MinFilter(3))) > 0


def _on_belt(metal: Field, surface: Surface) -> Field:
    return np.where(surface.outline < 0, metal, np.float32(30))
