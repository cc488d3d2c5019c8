"""Make a stored version live."""

import structlog

from qc_worker.domain.errors import TransportError
from qc_worker.domain.release import Release
from qc_worker.ports.models import ModelStore, ReleaseLog

log = structlog.get_logger()


def go_live(models: ModelStore, releases: ReleaseLog, release: Release) -> None:
    """Record a release in the store, then announce it. Raises ModelError or TransportError."""
    models.record_release(release)
    try:
        releases.announce(release)
    except TransportError as error:
        raise TransportError(
            f"version {release.version} is stored but was not announced ({error}); once the broker can be reached: "
            f"qc-trainer promote --line {release.line} --version {release.version}"
        ) from error
    log.info("release announced", line=release.line, version=release.version, action=release.action.value)
