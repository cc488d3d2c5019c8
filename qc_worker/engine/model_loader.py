"""From a release to a resident model: fetch, verify, build and warm up aside."""

import shutil
from pathlib import Path

import structlog

from qc_worker.domain import names
from qc_worker.domain.errors import ModelError
from qc_worker.domain.release import Release, leading_up_to
from qc_worker.engine.inference import BackbonePool
from qc_worker.engine.residents import Resident
from qc_worker.ports.models import ModelStore
from qc_worker.simplenet.checkpoint import Model, ModelCard, load_model
from qc_worker.simplenet.inference.folded import FoldedHead

log = structlog.get_logger()


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
