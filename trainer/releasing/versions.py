"""List a line's versions, and open the one that is asked for."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog

from qc_worker.domain.errors import ModelError, TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import live_version
from qc_worker.ports.models import ModelStore
from qc_worker.simplenet.checkpoint import Model, ModelCard, load_model

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


def _card(models: ModelStore, line: LineName, version: str) -> ModelCard | None:
    try:
        return open_model(models, line, version).card
    except ModelError as error:
        log.warning("version cannot be read", line=line, version=version, reason=str(error))
        return None
