"""Load a released model while the old one judges: fetch, verify, build, warm up."""

import shutil
from pathlib import Path

import structlog

from qc_worker.domain import names
from qc_worker.domain.errors import ModelError
from qc_worker.domain.release import Release, leading_up_to
from qc_worker.engine.inference import BackbonePool
from qc_worker.engine.residents import Resident
from qc_worker.ports.models import ModelStore
from qc_worker.registry.verifying import verified_model
from qc_worker.simplenet.checkpoint import Model, ModelCard
from qc_worker.simplenet.inference.folded import FoldedHead

log = structlog.get_logger()


class ModelLoader:
    """Make residents of releases: fetch, verify, build, warm up."""

    def __init__(self, store: ModelStore, backbones: BackbonePool, *, cache_dir: Path, local: ModelStore) -> None:
        """Take the stores; `local`, on this machine, records the releases that went live in this worker."""
        self._store = store
        self._backbones = backbones
        self._cache_dir = cache_dir
        self._local = local

    def load(self, release: Release, *, standing: Resident | None = None) -> Resident:
        """Load a released model. Raises ModelError, also if its files are not the released ones.

        Files that are in `cache_dir` and have the release's digest are not fetched again. `standing` is the resident
        that will be replaced: if only the threshold changes, its folded head is kept.
        """
        model = self._model(release.line, release.version, release.card_sha256)
        return self._resident(model, _head_kept(standing, model.card))

    def history(self, line: str) -> list[Release]:
        """Return the line's releases, oldest first; while the store cannot be reached, those that went live here."""
        return _releases(self._store, line) or _releases(self._local, line)

    def remember(self, release: Release) -> None:
        """Record a release that has gone live here, for `history` while the store cannot be reached."""
        try:
            if self._local.releases(release.line)[-1:] != [release]:
                self._local.record_release(release)
        except ModelError as error:  # such as a full disk; the model is loaded all the same
            log.warning("release not remembered", line=release.line, version=release.version, reason=str(error))

    def earlier(self, release: Release) -> list[Release]:
        """Return the releases that may replace one that cannot be loaded, oldest first."""
        return leading_up_to(release, self.history(release.line))

    def load_version(self, line: str, version: str, *, card_sha256: str | None = None) -> Resident:
        """Load any version of the store. Raises ModelError."""
        return self._resident(self._model(line, version, card_sha256))

    def _model(self, line: str, version: str, card_sha256: str | None) -> Model:
        cached = self._cached(line, version, card_sha256) if card_sha256 else None
        return cached or self._fetched(line, version, card_sha256)

    def _cached(self, line: str, version: str, card_sha256: str) -> Model | None:
        """Return the model from an earlier fetch; None if it is missing or damaged."""
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
            # A refused copy must not be found in the cache later.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _verified(self, folder: Path, line: str, version: str, card_sha256: str | None) -> Model:
        return verified_model(folder, line, version, card_sha256=card_sha256)

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
    """Return the resident's folded head if the new version shares it, so that it need not be folded and warmed up."""
    if standing is None or (standing.head_sha256, standing.spec) != (card.head_sha256, card.embedding):
        return None
    return standing.head if standing.ignored == card.ignored else None


def _releases(store: ModelStore, line: str) -> list[Release]:
    """Return the line's releases; empty if the store cannot be reached."""
    try:
        return store.releases(line)
    except ModelError:
        return []
