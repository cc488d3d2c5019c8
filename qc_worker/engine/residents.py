"""Hold the model of each line in memory, swapped while frames are judged."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Mask
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.spec import EmbeddingSpec


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """A line's model, ready to judge: its head is folded and on the device, its backbone warmed up."""

    line: str
    version: str
    spec: EmbeddingSpec
    head: FoldedHead
    calibration: Calibration
    head_sha256: str = ""
    """SHA-256 of head.safetensors, from which `head` was folded; empty: unknown."""
    ignored: Mask | None = None
    """Area that `head` does not judge."""


class ResidentModels:
    """Hold the model of each line; the mapping is replaced as a whole, so readers need no lock."""

    def __init__(self) -> None:
        self._by_line: Mapping[str, Resident] = MappingProxyType({})
        self._swapping = threading.Lock()

    def current(self, line: str) -> Resident | None:
        return self._by_line.get(line)

    def swap(self, resident: Resident) -> None:
        """Make it its line's model for all frames polled from now on; frames in flight keep theirs."""
        with self._swapping:
            self._by_line = MappingProxyType({**self._by_line, resident.line: resident})

    def versions(self) -> dict[str, str]:
        """Return the version of each line's model, by line."""
        return {line: resident.version for line, resident in self._by_line.items()}

    def __len__(self) -> int:
        return len(self._by_line)
