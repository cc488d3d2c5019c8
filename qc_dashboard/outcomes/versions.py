"""Find the released version that was trained on a sample, and when it began to judge."""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from qc_dashboard.history.tables import inspections, releases
from qc_dashboard.outcomes.tables import version_samples

ID_BYTES = 32
FIRST_FRAMES = 100
"""Frames of a version, earliest taken first, among which its first verdict is: workers do not keep one order."""


@dataclass(frozen=True, slots=True)
class ReleasedVersion:
    """A version with its first release; the times of its training are None if its card was not read."""

    version: str
    released_us: int
    began_us: int | None
    ended_us: int | None


class LineVersions:
    """The released versions of all lines, as one snapshot has them; what is asked twice is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._released: dict[str, list[ReleasedVersion]] = {}
        self._samples: dict[tuple[str, str], frozenset[bytes]] = {}
        self._judging: dict[tuple[str, str], int | None] = {}

    def trained_on(
        self, line: str, sample: str, *, after_us: int, before_us: int | None = None
    ) -> ReleasedVersion | None:
        """Return the first one released of those that were trained on it and began after, and before, those times."""
        for one in self._of(line):
            if one.began_us is None or one.began_us < after_us or (before_us is not None and one.began_us >= before_us):
                continue
            if bytes.fromhex(sample) in self._samples_of(line, one.version):
                return one
        return None

    def unread(self, line: str, *, after_us: int, before_us: int | None) -> str | None:
        """Return the first version that was released between those times and whose card was not read."""
        for one in self._of(line):
            if one.began_us is None and one.released_us >= after_us:
                return one.version if before_us is None or one.released_us < before_us else None
        return None

    def live_has(self, line: str, sample: str) -> bool | None:
        """Return True if the line's live version was trained on the sample; None if that is not known."""
        query = select(releases.c.version).where(releases.c.line == line).order_by(releases.c.released_us.desc())
        live = self._connection.scalar(query.limit(1))
        one = next((one for one in self._of(line) if one.version == live), None)
        if one is None or one.began_us is None:
            return None
        return bytes.fromhex(sample) in self._samples_of(line, one.version)

    def judging_since_us(self, line: str, version: str) -> int | None:
        """Return the time of the version's first verdict; None if it has judged no frame."""
        if (line, version) not in self._judging:
            row = inspections.c
            first = select(row.scored_us).where(row.line == line, row.model_version == version)
            earliest = first.order_by(row.taken_us).limit(FIRST_FRAMES).subquery()
            self._judging[line, version] = self._connection.scalar(select(func.min(earliest.c.scored_us)))
        return self._judging[line, version]

    def _of(self, line: str) -> list[ReleasedVersion]:
        """Return the line's versions in the order of their first releases."""
        if line not in self._released:
            same = and_(version_samples.c.line == releases.c.line, version_samples.c.version == releases.c.version)
            first_us = func.min(releases.c.released_us).label("first_us")
            training = (version_samples.c.began_us, version_samples.c.ended_us)
            query = select(releases.c.version, first_us, *training).join(version_samples, same, isouter=True)
            rows = self._connection.execute(
                query.where(releases.c.line == line).group_by(releases.c.version, *training).order_by(first_us)
            )
            self._released[line] = [ReleasedVersion(*row) for row in rows]
        return self._released[line]

    def _samples_of(self, line: str, version: str) -> frozenset[bytes]:
        if (line, version) not in self._samples:
            table = version_samples.c
            query = select(table.samples).where(table.line == line, table.version == version)
            whole: bytes = self._connection.execute(query).scalar_one()
            ids = (whole[start : start + ID_BYTES] for start in range(0, len(whole), ID_BYTES))
            self._samples[line, version] = frozenset(ids)
        return self._samples[line, version]
