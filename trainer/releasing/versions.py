"""List a line's versions and change which one is live, without training (`versions`, `promote`, `rollback`)."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from qc_worker.domain.errors import ModelError, TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Release, ReleaseAction, live_stack
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ModelStore, ReleaseLog
from qc_worker.simplenet.checkpoint import Model, ModelCard, file_sha256, load_model
from trainer.releasing.go_live import go_live

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One stored version; `card` is None if it cannot be read."""

    version: str
    live: bool
    released: bool
    card: ModelCard | None


def list_versions(models: ModelStore, line: LineName) -> list[VersionEntry]:
    """List every stored version of the line, oldest first."""
    history = models.releases(line)
    live = live_version(history)
    released = {release.version for release in history}
    return [
        VersionEntry(version, version == live, version in released, _card(models, line, version))
        for version in models.versions(line)
    ]


def live_version(history: Sequence[Release]) -> str | None:
    """Return the version that was released last; None if there was no release."""
    return history[-1].version if history else None


def version_to_judge(models: ModelStore, line: LineName, wanted: str | None) -> str:
    """Return the version asked for, else the live one, else the newest. Raises TrainingError."""
    versions = models.versions(line)
    if not versions:
        raise TrainingError(f"line {line} has no model yet: qc-trainer retrain --line {line}")
    version = wanted or live_version(models.releases(line)) or versions[-1]
    if version not in versions:
        raise TrainingError(f"line {line} has no version {version}; it has {', '.join(versions[-5:])}")
    return version


def open_model(models: ModelStore, line: LineName, version: str) -> Model:
    """Read and verify a stored model. Raises ModelError."""
    with tempfile.TemporaryDirectory(prefix="qc-trainer-") as folder:
        return load_model(models.fetch(line, version, into=Path(folder)))


@dataclass(frozen=True, slots=True)
class Releaser:
    """Lets stored versions go live."""

    models: ModelStore
    releases: ReleaseLog
    clock: Clock

    def promote(self, line: LineName, version: str) -> Release:
        """Let an existing version go live. Raises QcError."""
        return self._go_live(line, version_to_judge(self.models, line, version), ReleaseAction.PROMOTE)

    def rollback(self, line: LineName) -> Release:
        """Let the previous live version go live again. Raises QcError."""
        return self._go_live(line, self._version_before(line), ReleaseAction.ROLLBACK)

    def _version_before(self, line: LineName) -> str:
        stored = set(self.models.versions(line))
        lived = [release.version for release in live_stack(self.models.releases(line))[:-1]]
        earlier = [version for version in lived if version in stored]
        if not earlier:
            raise TrainingError(f"line {line} has no earlier live version to go back to")
        return earlier[-1]

    def _go_live(self, line: LineName, version: str, action: ReleaseAction) -> Release:
        with tempfile.TemporaryDirectory(prefix="qc-trainer-") as temporary:
            folder = self.models.fetch(line, version, into=Path(temporary))
            card = load_model(folder).card  # loads and verifies all of it: a broken version must not be announced
            card_sha256 = file_sha256(folder / "card.json")
        release = Release(
            line=line,
            version=version,
            card_sha256=card_sha256,
            threshold=card.calibration.threshold,
            released_at=self.clock.now(),
            action=action,
        )
        go_live(self.models, self.releases, release)
        return release


def _card(models: ModelStore, line: LineName, version: str) -> ModelCard | None:
    try:
        return open_model(models, line, version).card
    except ModelError as error:
        log.warning("version cannot be read", line=line, version=version, reason=str(error))
        return None
