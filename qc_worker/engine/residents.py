"""Models in memory: backbones shared by all lines, one small head per line, swapped while frames flow."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.inspection import Mask
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.spec import EmbeddingSpec

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """A line's model, ready to judge: head folded and on the device, backbone warmed up."""

    line: str
    version: str
    spec: EmbeddingSpec
    head: FoldedHead
    calibration: Calibration
    head_sha256: str = ""
    """Of head.safetensors, from which `head` was folded; empty: not known."""
    ignored: Mask | None = None
    """What `head` was told not to judge."""


class ResidentModels:
    """The model of each line; replaced as a whole, so readers need no lock and never see half a swap."""

    def __init__(self) -> None:
        self._by_line: Mapping[str, Resident] = MappingProxyType({})
        self._swapping = threading.Lock()

    def current(self, line: str) -> Resident | None:
        return self._by_line.get(line)

    def swap(self, resident: Resident) -> None:
        """Make it the model for all frames polled from now on; frames in flight keep theirs."""
        with self._swapping:
            self._by_line = MappingProxyType({**self._by_line, resident.line: resident})

    def versions(self) -> dict[str, str]:
        """Version by line."""
        return {line: resident.version for line, resident in self._by_line.items()}

    def __len__(self) -> int:
        return len(self._by_line)
