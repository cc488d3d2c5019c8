"""Let versions go live: every check of the files first, then the store's history, then the announcement.

What trainer and dashboard do, they do by these functions. One process at a time writes a line's releases, so that the
last one in the store is the last one on `models`, and none is lost.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from qc_worker.domain.errors import ModelError, ReleaseRefused, TransportError
from qc_worker.domain.release import Release, ReleaseAction, Seen, live_version, version_before
from qc_worker.files import file_sha256
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ModelStore, ReleaseLog
from qc_worker.registry.shared_heads import CARD_FILE

Check = Callable[[Sequence[Release]], None]
"""Raises ReleaseRefused if the line's releases do not allow another one."""

log = structlog.get_logger()


def allow_any(history: Sequence[Release]) -> None:
    """Allow a release whatever was live before."""


def go_live(models: ModelStore, releases: ReleaseLog, release: Release, *, check: Check = allow_any) -> Release:
    """Record a release in the store, then announce it; return it with its time.

    Its time is after those before it, also if another machine's clock is ahead. Raises ModelError, ReleaseRefused or
    TransportError.
    """
    with models.releasing(release.line):
        history = models.releases(release.line)
        check(history)
        if history:
            after_last = history[-1].released_at + timedelta(microseconds=1)
            release = replace(release, released_at=max(release.released_at, after_last))
        models.record_release(release)
        try:
            releases.announce(release)
        except TransportError as error:
            raise TransportError(
                f"version {release.version} is stored but was not announced ({error}); once the broker can be reached: "
                f"qc-trainer promote --line {release.line} --version {release.version}"
            ) from error
    log.info("release announced", line=release.line, version=release.version, action=release.action.value)
    return release


@dataclass(frozen=True, slots=True)
class Releaser:
    """Lets stored versions go live."""

    models: ModelStore
    releases: ReleaseLog
    clock: Clock

    def promote(self, line: str, version: str, *, seen: Seen | None = None) -> Release:
        """Let a stored version go live. Raises ModelError, ReleaseRefused or TransportError.

        With `seen` it is refused unless the line is still in that state.
        """

        def check(history: Sequence[Release]) -> None:
            _check_unchanged(line, history, seen)

        return self._go_live(line, version, ReleaseAction.PROMOTE, check)

    def rollback(self, line: str, *, to: str | None = None, seen: Seen | None = None) -> Release:
        """Let the version that was live before go live again; refused if that is not `to`. Raises as `promote`."""
        stored = self.models.versions(line)
        wanted = to or self._version_before(line, self.models.releases(line), stored)

        def check(history: Sequence[Release]) -> None:
            _check_unchanged(line, history, seen)
            before = self._version_before(line, history, stored)
            if before != wanted:
                raise ReleaseRefused(f"line {line} goes back to version {before}, not to {wanted}: look at it again")

        return self._go_live(line, wanted, ReleaseAction.ROLLBACK, check)

    def _version_before(self, line: str, history: Sequence[Release], stored: Sequence[str]) -> str:
        before = version_before(history, stored)
        if before is None:
            raise ReleaseRefused(f"line {line} has no earlier live version to go back to")
        return before

    def _go_live(self, line: str, version: str, action: ReleaseAction, check: Check) -> Release:
        # What cannot go live any more is not fetched first; what matters is the check at the end.
        check(self.models.releases(line))
        release = self._release(line, version, action)
        return go_live(self.models, self.releases, release, check=check)

    def _release(self, line: str, version: str, action: ReleaseAction) -> Release:
        """Load and verify all of the version: a broken one must not be announced. Raises ModelError."""
        # Only who releases needs torch, which takes seconds to import.
        from qc_worker.registry.verifying import verified_model  # noqa: PLC0415
        from qc_worker.simplenet.backbones.backbone import check_known  # noqa: PLC0415

        with tempfile.TemporaryDirectory(prefix="qc-release-") as temporary:
            folder = self.models.fetch(line, version, into=Path(temporary))
            try:
                card = verified_model(folder, line, version).card
                check_known(card.embedding.backbone)
            except ModelError as error:
                raise ModelError(str(error).replace(f"{temporary}/", "")) from None
            return Release(
                line=line,
                version=version,
                card_sha256=file_sha256(folder / CARD_FILE),
                threshold=card.calibration.threshold,
                released_at=self.clock.now(),
                action=action,
                metrics={"max_false_reject": card.calibration.max_false_reject},
            )


def _check_unchanged(line: str, history: Sequence[Release], seen: Seen | None) -> None:
    if seen is None or live_version(history) == seen.live:
        return
    newest = history[-1]
    raise ReleaseRefused(
        f"version {newest.version} of line {line} went live meanwhile, by {newest.action.value}: nothing was changed; "
        "look at the line again"
    )
