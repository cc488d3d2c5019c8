"""Models in memory: backbones shared by all lines, one small head per line, swapped while frames flow."""

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import structlog
import torch

from qc_worker.domain import names
from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import ModelError
from qc_worker.domain.inspection import Mask
from qc_worker.domain.release import Release, leading_up_to
from qc_worker.ports import ModelStore
from qc_worker.simplenet.backbone import Backbone
from qc_worker.simplenet.checkpoint import Model, ModelCard, load_model
from qc_worker.simplenet.folded import FoldedHead
from qc_worker.simplenet.scorer import Scorer
from qc_worker.simplenet.spec import BackbonePass, EmbeddingSpec

log = structlog.get_logger()

LoadBackbone = Callable[[EmbeddingSpec], Backbone]


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


@dataclass(frozen=True, slots=True)
class Computing:
    """How backbones compute."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    warmup_sizes: tuple[int, ...] = (1,)
    """Batch sizes passed through a backbone before it counts as loaded."""


class BackbonePool:
    """One resident scorer per backbone pass, and one copy of each backbone's weights, whatever the number of lines."""

    def __init__(self, load: LoadBackbone, computing: Computing) -> None:
        self._load = load
        self._computing = computing
        self._backbones: dict[tuple[object, ...], Backbone] = {}
        self._scorers: dict[BackbonePass, Scorer] = {}
        self._loading = threading.Lock()

    def scorer(self, spec: EmbeddingSpec) -> Scorer:
        """The scorer of that backbone pass; loaded, compiled and warmed up on first use. Raises ModelError."""
        ready = self._scorers.get(spec.backbone_pass)
        if ready is not None:
            return ready  # without the lock: the inference thread must never wait for another line's backbone
        with self._loading:
            if spec.backbone_pass not in self._scorers:
                self._scorers[spec.backbone_pass] = self._new_scorer(spec)
            return self._scorers[spec.backbone_pass]

    def _new_scorer(self, spec: EmbeddingSpec) -> Scorer:
        scorer = Scorer(self._backbone(spec), spec, self._computing.device, self._computing.dtype)
        if self._computing.compiled:
            scorer.compile(max(self._computing.warmup_sizes))
        scorer.warm_up(self._computing.warmup_sizes)
        return scorer

    def _backbone(self, spec: EmbeddingSpec) -> Backbone:
        """Input sizes may differ and still share the weights."""
        weights = (spec.backbone, spec.weights_sha256, spec.backbone_levels)
        if weights not in self._backbones:
            self._backbones[weights] = self._load(spec)
        return self._backbones[weights]


class ModelLoader:
    """From a release to a resident: fetch, verify, build and warm up aside."""

    def __init__(self, store: ModelStore, backbones: BackbonePool, *, cache_dir: Path, taken_up: ModelStore) -> None:
        """`taken_up`, a store on this machine, keeps the history of what this worker took up."""
        self._store = store
        self._backbones = backbones
        self._cache_dir = cache_dir
        self._taken_up = taken_up

    def load(self, release: Release, *, standing: Resident | None = None) -> Resident:
        """Load a released model. Raises ModelError, also if its files are not those that were released.

        The store is not asked for what lies here already: by the release's digest it is known to be the same.
        `standing` is the resident that it replaces: where only the threshold moves, its folded head is kept.
        """
        model = self._model(release.line, release.version, release.card_sha256)
        return self._resident(model, _head_kept(standing, model.card))

    def history(self, line: str) -> list[Release]:
        """Releases of a line, oldest first; while the store is away, of those that were taken up here."""
        return _releases(self._store, line) or _releases(self._taken_up, line)

    def remember(self, release: Release) -> None:
        """For when the store is away; to be called for what has been taken up, and not for what is judged by aside."""
        try:
            if self._taken_up.releases(release.line)[-1:] != [release]:
                self._taken_up.record_release(release)
        except ModelError as error:  # a full disk: the model is here all the same
            log.warning("release not remembered", line=release.line, version=release.version, reason=str(error))

    def earlier(self, release: Release) -> list[Release]:
        """Those that may stand in for one that cannot be loaded, oldest first."""
        return leading_up_to(release, self.history(release.line))

    def load_version(self, line: str, version: str, *, card_sha256: str | None = None) -> Resident:
        """Load any version of the store. Raises ModelError."""
        return self._resident(self._model(line, version, card_sha256))

    def _model(self, line: str, version: str, card_sha256: str | None) -> Model:
        kept = self._kept(line, version, card_sha256) if card_sha256 else None
        return kept or self._fetched(line, version, card_sha256)

    def _kept(self, line: str, version: str, card_sha256: str) -> Model | None:
        """What an earlier fetch left here, unless it is missing or spoilt: then it is fetched anew."""
        try:
            folder = self._cache_dir / names.line_name(line) / names.model_version(version)
            return self._verified(folder, line, version, card_sha256)
        except (ModelError, ValueError):
            return None

    def _fetched(self, line: str, version: str, card_sha256: str | None) -> Model:
        folder = self._store.fetch(line, version, into=self._cache_dir)
        try:
            return self._verified(folder, line, version, card_sha256)
        except ModelError:
            # Nobody is to find a copy that was refused.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _verified(self, folder: Path, line: str, version: str, card_sha256: str | None) -> Model:
        model = load_model(folder, card_sha256=card_sha256)
        if (model.card.line, model.card.version) != (line, version):
            raise ModelError(
                f"{line}/{version} holds the card of another model, {model.card.line}/{model.card.version}"
            )
        return model

    def _resident(self, model: Model, head: FoldedHead | None = None) -> Resident:
        card = model.card
        if head is None:
            head = self._backbones.scorer(card.embedding).take_in(model.head, card.ignored_pixels)
        return Resident(
            line=card.line,
            version=card.version,
            spec=card.embedding,
            head=head,
            calibration=card.calibration,
            head_sha256=card.head_sha256,
            ignored=card.ignored,
        )


def _head_kept(standing: Resident | None, card: ModelCard) -> FoldedHead | None:
    """The resident folded head where the new version has the same one, so that nothing is folded or tried again."""
    if standing is None or (standing.head_sha256, standing.spec) != (card.head_sha256, card.embedding):
        return None
    return standing.head if standing.ignored == card.ignored else None


def _releases(store: ModelStore, line: str) -> list[Release]:
    """None if the store is away."""
    try:
        return store.releases(line)
    except ModelError:
        return []
