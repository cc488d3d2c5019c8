"""Cameras for the demo and tests: they know the true label of every frame and send on an absolute schedule."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.simulation.parts_line import Simulation
from qc_worker.imaging.image_files import image_files

GOOD = "good"
CAMERAS_PER_LINE = 2


@dataclass(frozen=True, slots=True)
class Shot:
    """An encoded frame with its true label: a defect kind, or None for a good part."""

    line: str
    camera: str
    content: bytes
    defect: str | None
    part: str
    """Serial number of the part."""


@dataclass(frozen=True, slots=True)
class SimulatedCamera:
    """Photographs every `stride`-th part of its line, from part `first` on."""

    line: str
    camera: str
    simulation: Simulation
    first: int
    stride: int

    def shots(self) -> Iterator[Shot]:
        """Yield shots without end."""
        for index in itertools.count(self.first, self.stride):
            frame = self.simulation.frame(index)
            yield Shot(self.line, self.camera, frame.content, frame.defect, _serial(self.line, index))


@dataclass(frozen=True, slots=True)
class FolderCamera:
    """Shows every `stride`-th file of a list, from file `first` on, and starts again at the end of the list."""

    line: str
    camera: str
    files: Sequence[tuple[Path, str | None]]
    first: int
    stride: int

    def shots(self) -> Iterator[Shot]:
        """Yield shots without end."""
        for index in itertools.count(self.first, self.stride):
            path, defect = self.files[index % len(self.files)]
            yield Shot(self.line, self.camera, path.read_bytes(), defect, _serial(self.line, index))


Camera = SimulatedCamera | FolderCamera


def simulated_cameras(lines: Sequence[str], *, seed: int) -> list[Camera]:
    """Build two cameras per line, each photographing every other part."""
    return [
        SimulatedCamera(line, f"cam{number + 1}", Simulation(line, seed=seed), number, CAMERAS_PER_LINE)
        for number in range(CAMERAS_PER_LINE)
        for line in lines
    ]


def folder_cameras(lines: Sequence[str], files: Sequence[tuple[Path, str | None]]) -> list[Camera]:
    """Build two cameras per line; together they show every file once before any file is repeated."""
    names = [(line, f"cam{number + 1}") for number in range(CAMERAS_PER_LINE) for line in lines]
    return [FolderCamera(line, camera, files, first, len(names)) for first, (line, camera) in enumerate(names)]


def interleaved(cameras: Sequence[Camera]) -> Iterator[Shot]:
    """Yield one shot of each camera in turn, without end."""
    for together in zip(*(camera.shots() for camera in cameras), strict=True):
        yield from together


def labelled_files(folder: Path, *, seed: int) -> list[tuple[Path, str | None]]:
    """List the files below `<folder>/test` with their defect kind, shuffled; None for `good`. Raises SettingsError."""
    test = folder / "test"
    if not test.is_dir():
        raise SettingsError(f"{folder} is not laid out as MVTec AD is: there is no folder test")
    kinds = sorted(path for path in test.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [(path, None if kind.name == GOOD else kind.name) for kind in kinds for path in image_files(kind)]
    if not files:
        raise SettingsError(f"{test} holds no image files")
    random.Random(seed).shuffle(files)  # noqa: S311  # a shuffle, no secret
    return files


class Schedule:
    """Turns at a steady rate. Due times are absolute: one late turn does not shift those after it."""

    MOST_CATCH_UP_S = 0.5

    def __init__(self, rate_hz: float, *, monotonic: Callable[[], float], wait: Callable[[float], object]) -> None:
        self._period_s = 1 / rate_hz
        self._monotonic = monotonic
        self._wait = wait
        self._due_s = monotonic()

    @property
    def rate_hz(self) -> float:
        return 1 / self._period_s

    def change_rate(self, rate_hz: float) -> None:
        """Use this rate from the next turn on."""
        self._period_s = 1 / rate_hz

    def wait_turn(self) -> None:
        """Wait until the next turn is due. After a long pause the missed turns are dropped, not caught up."""
        now_s = self._monotonic()
        self._due_s = max(self._due_s, now_s - self.MOST_CATCH_UP_S)
        if self._due_s > now_s:
            self._wait(self._due_s - now_s)
        self._due_s += self._period_s


def _serial(line: str, index: int) -> str:
    return f"{line}-{index:06d}"
