"""Read out of the model store which samples the released versions were made from."""

import hashlib
from collections.abc import Callable
from functools import cache

import structlog
from sqlalchemy import select

from qc_dashboard.database.database import Database
from qc_dashboard.database.inserting import insert_new
from qc_dashboard.history.tables import collected, releases
from qc_dashboard.history.times import to_us
from qc_dashboard.outcomes.tables import version_samples
from qc_worker.domain.errors import ModelError
from qc_worker.domain.release import Release
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ModelStore
from qc_worker.wire.json_types import decode_release
from qc_worker.wire.version_samples import VersionSamples, decode_version_samples

AGAIN_AFTER_S = 30.0
"""Pause before a card is read again that could not be read: the store may be away, or not the trainer's."""

log = structlog.get_logger()


class VersionReader:
    """Reads the cards of versions that were released after somebody's judgement had been collected on their line."""

    def __init__(self, database: Database, open_store: Callable[[], ModelStore], clock: Clock) -> None:
        self._database = database
        # Opened when a card is missing: some stores connect at once, and pages must start without them.
        self._store = cache(open_store)
        self._clock = clock
        self._again_s: dict[tuple[str, str], float] = {}

    def step(self) -> bool:
        """Read the cards that are missing; False if none was read. Raises TransportError, SettingsError."""
        kept = [self._take(release) for release in self._missing() if self._is_due(release)]
        return any(kept)

    def _is_due(self, release: Release) -> bool:
        return self._clock.monotonic() >= self._again_s.get((release.line, release.version), 0.0)

    def _take(self, release: Release) -> bool:
        try:
            self._keep(release, self._read(release))
        except (ModelError, ValueError) as error:  # one that cannot be read does not hide the others
            log.warning("model card not read", line=release.line, version=release.version, reason=str(error))
            self._again_s[release.line, release.version] = self._clock.monotonic() + AGAIN_AFTER_S
            return False
        return True

    def _missing(self) -> list[Release]:
        table = releases.c
        learned = select(collected.c.line).where(
            collected.c.line == table.line,
            collected.c.sample.is_not(None),
            collected.c.collected_us <= table.released_us,
        )
        known = select(version_samples.c.version).where(
            version_samples.c.line == table.line, version_samples.c.version == table.version
        )
        query = select(table.document).where(learned.exists(), ~known.exists())
        with self._database.reading() as connection:
            documents = connection.scalars(query.order_by(table.released_us.desc())).all()
        found = [decode_release(document.encode()) for document in documents]
        return list({(release.line, release.version): release for release in found}.values())

    def _read(self, release: Release) -> tuple[VersionSamples, VersionSamples]:
        """Return what the version's card states, and that of the version that was trained. Raises ModelError."""
        content = self._store().read_card(release.line, release.version)
        if hashlib.sha256(content).hexdigest() != release.card_sha256:
            raise ModelError("card.json is not the one that was released")
        card = decode_version_samples(content)
        if card.head_of is None:
            return card, card
        return card, decode_version_samples(self._store().read_card(release.line, card.head_of))

    def _keep(self, release: Release, cards: tuple[VersionSamples, VersionSamples]) -> None:
        card, trained = cards
        row = {
            "line": release.line,
            "version": release.version,
            "began_us": to_us(trained.began_at),
            "ended_us": to_us(trained.ended_at),
            "samples": b"".join(bytes.fromhex(sample) for sample in sorted(card.ids)),
        }
        with self._database.writing() as connection:
            insert_new(connection, version_samples, [row])
