"""People, a trainer and its model store around a history: what they say and do, minute by minute."""

import hashlib
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from qc_dashboard.database.database import Database
from qc_dashboard.history.writing import HistoryWriter, Step
from qc_dashboard.outcomes.outcome import Outcome
from qc_dashboard.outcomes.outcomes import Outcomes
from qc_dashboard.outcomes.version_reader import VersionReader
from qc_worker.domain.collected import Collected, Collection
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.release import Release
from qc_worker.ports.feeds import PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.registry.store import FsspecModelStore
from qc_worker.wire.json_types import encode_collected, encode_feedback, encode_release
from tests.support.factories import NOON, ManualClock, add_version
from tests.support.published import inspection, places, published


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def sample_of(offset: int) -> str:
    """Return the id of the sample that is made of the frame at that offset."""
    return hashlib.sha256(str(offset).encode()).hexdigest()


class Judgements:
    """Judgements on frames of line A, which lie at offsets of `images`, and what became of them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.store = FsspecModelStore(str(folder / "models"))
        self.outcomes = Outcomes(database)
        self.clock = ManualClock()
        self.reader = VersionReader(database, lambda: self.store, self.clock)
        self._writer = HistoryWriter(database)
        self._offsets = count()
        self._judged = 0

    def say(self, at: float, verdict: str = "good", *, offset: int = 0, by: str = "ada", line: str = "A") -> Feedback:
        """Have a judgement on `feedback`."""
        said = Feedback(line, f"f{offset}", Position("images", 0, offset), Judgement(verdict), by, minute(at))
        position = Position("feedback", 0, next(self._offsets))
        self._writer.add_feedback([PublishedFeedback(said, position, encode_feedback(said))])
        return said

    def collect(
        self, said: Feedback, at: float, outcome: str = "sample", *, sample: str | None = None
    ) -> PublishedCollected:
        """Have a trainer say on `samples` what it made of a judgement."""
        one = Collected(
            said.line,
            said.source,
            said.accepted_by,
            said.accepted_at,
            Collection(outcome),
            minute(at),
            sample or (sample_of(said.source.offset) if outcome in {"sample", "held_back", "replaced"} else None),
        )
        sent = PublishedCollected(one, Position("samples", 0, next(self._offsets)), encode_collected(one))
        self._writer.add_collected([sent])
        return sent

    def retrain(self, at: float, version: str, *made_of: int, **more: Any) -> Release:
        """Have a version trained in the second before it is released."""
        samples = tuple(map(sample_of, made_of))
        release = add_version(self.store, "A", version, made_of=samples, released_at=minute(at), **more)
        self.announce(release)
        return release

    def announce(self, release: Release) -> None:
        position = Position("models", 0, next(self._offsets))
        self._writer.add_releases([PublishedRelease(release, position, encode_release(release))])

    def judge(self, at: float, version: str) -> None:
        """Have a frame judged by that version."""
        one = inspection(900 + self._judged, model_version=version, captured_at=minute(at), scored_at=minute(at))
        step = Step(places(self._judged) if self._judged else {}, places(self._judged + 1))
        self._writer.add_inspections([published(one, self._judged)], step)
        self._judged += 1

    def of(self, said: Feedback) -> Outcome:
        """Read the cards that are missing, and return what became of a judgement."""
        while self.reader.step():
            pass
        key = (said.accepted_at, said.accepted_by)
        (found,) = (one for one in self.outcomes.on(said.source) if (one.accepted_at, one.accepted_by) == key)
        return found.outcome
