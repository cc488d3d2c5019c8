"""Models in memory: backbones shared by all lines, one small head per line, swapped while frames flow."""

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import ModelError
from qc_worker.domain.release import Release
from qc_worker.ports import ModelStore
from qc_worker.simplenet.backbone import Backbone
from qc_worker.simplenet.checkpoint import Model, load_model
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec

LoadBackbone = Callable[[EmbeddingSpec], Backbone]


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """A line's model, ready to judge: head on the device, warmed up."""

    line: str
    version: str
    spec: EmbeddingSpec
    head: Head
    calibration: Calibration


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


class BackbonePool:
    """One resident backbone per embedding, whatever the number of lines."""

    def __init__(self, load: LoadBackbone, *, device: torch.device) -> None:
        self._load = load
        self._device = device
        self._scorers: dict[EmbeddingSpec, Scorer] = {}
        self._loading = threading.Lock()

    def scorer(self, spec: EmbeddingSpec) -> Scorer:
        """The scorer of that embedding, loaded on first use. Raises ModelError."""
        ready = self._scorers.get(spec)
        if ready is not None:
            return ready  # without the lock: the inference thread must never wait for another line's backbone
        with self._loading:
            if spec not in self._scorers:
                self._scorers[spec] = Scorer(self._load(spec), spec, self._device)
            return self._scorers[spec]


class ModelLoader:
    """From a release to a resident: fetch, verify, build and warm up aside."""

    def __init__(self, store: ModelStore, backbones: BackbonePool, *, cache_dir: Path, warmup_sizes: tuple[int, ...]):
        self._store = store
        self._backbones = backbones
        self._cache_dir = cache_dir
        self._warmup_sizes = warmup_sizes

    def load(self, release: Release) -> Resident:
        """Load a released model. Raises ModelError, also if its files are not those that were released."""
        return self.load_version(release.line, release.version, card_sha256=release.card_sha256)

    def history(self, line: str) -> list[Release]:
        """Releases of a line in the store, oldest first; none if the store is away."""
        try:
            return self._store.releases(line)
        except ModelError:
            return []

    def load_version(self, line: str, version: str, *, card_sha256: str | None = None) -> Resident:
        """Load any version of the store. Raises ModelError."""
        folder = self._store.fetch(line, version, into=self._cache_dir)
        try:
            return self._warmed_up(self._verified(folder, line, version, card_sha256))
        except Exception:
            # A copy that was refused must not be what the next attempt finds.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _verified(self, folder: Path, line: str, version: str, card_sha256: str | None) -> Model:
        model = load_model(folder, card_sha256=card_sha256)
        if (model.card.line, model.card.version) != (line, version):
            raise ModelError(
                f"{line}/{version} holds the card of another model, {model.card.line}/{model.card.version}"
            )
        return model

    def _warmed_up(self, model: Model) -> Resident:
        card, scorer = model.card, self._backbones.scorer(model.card.embedding)
        scorer.warm_up(model.head)
        side = card.embedding.input_size
        for size in self._warmup_sizes:
            scorer.score(torch.zeros((size, 3, side, side), dtype=torch.uint8), [model.head] * size)
        return Resident(card.line, card.version, card.embedding, model.head, card.calibration)
