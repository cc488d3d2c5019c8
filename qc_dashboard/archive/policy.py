"""Decide which evidence is archived, for how long, and what goes first if there is too much."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

ALWAYS = frozenset({Verdict.REJECT, Verdict.REVIEW, Verdict.ERROR})
"""Verdicts whose evidence is archived; of the others a share."""
FIRST_TO_GO = (Verdict.PASS, Verdict.NO_MODEL, Verdict.ERROR, Verdict.REVIEW, Verdict.REJECT)


@dataclass(frozen=True, slots=True)
class ArchivePolicy:
    """Rules of the archive."""

    days: Mapping[Verdict, int]
    """Days for which evidence is kept, by verdict; 0: none is archived."""
    pass_share: float
    """Share of frames without a finding that is archived."""
    max_bytes: int
    """Most bytes of all evidence."""

    def wants(self, verdict: Verdict, source: Position) -> bool:
        """Return True if the frame's evidence is archived.

        Passes are chosen by their position, in the way in which workers choose those that get a heatmap.
        """
        if self.kept_for(verdict) <= timedelta():
            return False
        return verdict in ALWAYS or zlib.crc32(str(source).encode()) < self.pass_share * 2**32

    def kept_for(self, verdict: Verdict) -> timedelta:
        """Return the time for which evidence of that verdict is kept."""
        return timedelta(days=self.days[verdict])
