"""Tell what became of people's judgements, from `feedback`, `samples`, `models`, model cards and `results` alone.

- A judgement became a sample if the trainer that collected it says so on `samples`; else it says why not.
- A later judgement on the frame, or on another frame with the same bytes, replaces it if it says something else and was
  not refused.
- A version learned from a good one if its card lists the sample and its training began after the sample was stored. So
  it does not matter who collected, if a retrain collected, or which of several trainers has the sample; and a sample
  that was removed again is not in the card.
- It is live from the first verdict that names the version.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, select, tuple_

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE
from qc_dashboard.history.tables import collected
from qc_dashboard.history.times import from_us
from qc_dashboard.outcomes.outcome import JudgementOutcome, Outcome, Stage
from qc_dashboard.outcomes.versions import LineVersions
from qc_dashboard.outcomes.words import KEY, Told, WordKey, last_told, told_on, verdicts_on
from qc_worker.domain.collected import REFUSED, Collection
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position

MICROSECONDS = 1_000_000


class Outcomes:
    """Answers from the database, each from one snapshot. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def on(self, source: Position) -> list[JudgementOutcome]:
        """Return what became of the judgements on that frame, oldest first."""
        with self._database.reading() as connection:
            return _outcomes(connection, told_on(connection, source))

    def last(self, *, by: str | None = None, line: str | None = None, limit: int) -> list[JudgementOutcome]:
        """Return what became of the last judgements, newest first; of that person, on that line."""
        with self._database.reading() as connection:
            return _outcomes(connection, last_told(connection, by=by, line=line, limit=limit))


@dataclass(frozen=True, slots=True)
class Taken:
    """What the trainer said of a judgement on `samples`."""

    line: str
    outcome: Collection
    collected_us: int
    sample: str | None


def _outcomes(connection: Connection, told: Sequence[Told]) -> list[JudgementOutcome]:
    if not told:
        return []
    context = _Context(connection, [one.feedback.source for one in told])
    return [_with_outcome(one.feedback, context.outcome(one)) for one in told]


class _Context:
    """What is known about some frames and about those with the same bytes."""

    def __init__(self, connection: Connection, sources: Iterable[Position]) -> None:
        frame = tuple_(*(collected.c[name] for name in SOURCE))
        own = _taken(connection, frame.in_([(one.topic, one.partition, one.offset) for one in sources]))
        samples = {(taken.line, taken.sample) for taken in own.values() if taken.sample is not None}
        same = tuple_(collected.c.line, collected.c.sample).in_(sorted(samples))
        self._taken = own | (_taken(connection, same) if samples else {})
        self._frames: dict[tuple[str, str | None], set[Position]] = defaultdict(set)
        for key, taken in self._taken.items():
            self._frames[taken.line, taken.sample].add(key.source)
        self._verdicts = verdicts_on(connection, {*sources, *(key.source for key in self._taken)})
        self._versions = LineVersions(connection)

    def outcome(self, told: Told) -> Outcome:
        """Return what became of one judgement."""
        taken = self._taken.get(told.key)
        replacing = self._replacing(told, taken)
        facts: dict[str, Any] = {} if taken is None else _collection_facts(taken)
        if replacing is not None:
            facts |= {"replaced_by": replacing.accepted_by, "replaced_at": from_us(replacing.accepted_us)}
        if taken is not None and taken.sample is not None:
            facts["in_live_version"] = self._versions.live_has(taken.line, taken.sample)
            if taken.outcome is Collection.SAMPLE and told.feedback.verdict is Judgement.GOOD:
                facts |= self._learned(told, taken, taken.sample, replacing)
        return Outcome(_stage(told, taken, replacing is not None, facts), **facts)

    def _replacing(self, told: Told, taken: Taken | None) -> WordKey | None:
        """Return the first later judgement that says something else and was not refused."""
        frames = {told.feedback.source}
        if taken is not None and taken.sample is not None:
            frames |= self._frames[taken.line, taken.sample]
        mine = (told.key.accepted_us, told.key.accepted_by)
        later = [
            key
            for key, verdict in self._verdicts.items()
            if key.source in frames
            and (key.accepted_us, key.accepted_by) > mine
            and verdict is not told.feedback.verdict
            and not self._was_refused(key)
        ]
        return min(later, key=lambda key: (key.accepted_us, key.accepted_by), default=None)

    def _was_refused(self, key: WordKey) -> bool:
        taken = self._taken.get(key)
        return taken is not None and taken.outcome in REFUSED

    def _learned(self, told: Told, taken: Taken, sample: str, replacing: WordKey | None) -> dict[str, Any]:
        """Return the facts about the version that learned from a good sample before it was replaced."""
        replaced = None if replacing is None else self._taken.get(replacing)
        until_us = None if replaced is None else replaced.collected_us
        one = self._versions.trained_on(taken.line, sample, after_us=taken.collected_us, before_us=until_us)
        released_us = until_us if one is None else one.released_us
        unread = self._versions.unread(taken.line, after_us=taken.collected_us, before_us=released_us)
        if one is None or one.ended_us is None:
            return {"unread_version": unread}
        live_us = self._versions.judging_since_us(taken.line, one.version)
        seconds = None if live_us is None else (live_us - told.key.accepted_us) / MICROSECONDS
        return {
            "version": one.version,
            "trained_at": from_us(one.ended_us),
            "released_at": from_us(one.released_us),
            "live_at": None if live_us is None else from_us(live_us),
            "seconds_to_live": seconds,
            "unread_version": unread,
        }


def _stage(told: Told, taken: Taken | None, is_replaced: bool, facts: dict[str, Any]) -> Stage:
    if taken is not None and taken.outcome in REFUSED:
        return Stage.REFUSED
    if is_replaced or (taken is not None and taken.outcome is Collection.REPLACED):
        return Stage.REPLACED
    if taken is None:
        return Stage.SENT if told.is_sent else Stage.WAITING
    if taken.outcome is Collection.HELD_BACK:
        return Stage.HELD_BACK
    if facts.get("version") is None:
        return Stage.SAMPLE
    return Stage.TRAINED if facts["live_at"] is None else Stage.LIVE


def _collection_facts(taken: Taken) -> dict[str, Any]:
    return {"collection": taken.outcome, "collected_at": from_us(taken.collected_us), "sample": taken.sample}


def _taken(connection: Connection, condition: Any) -> dict[WordKey, Taken]:
    table = collected.c
    columns = (table.line, table.outcome, table.collected_us, table.sample)
    rows = connection.execute(select(*(table[name] for name in KEY), *columns).where(condition))
    return {
        WordKey(*row[: len(KEY)]): Taken(row.line, Collection(row.outcome), row.collected_us, row.sample)
        for row in rows
    }


def _with_outcome(feedback: Feedback, outcome: Outcome) -> JudgementOutcome:
    return JudgementOutcome(**{each.name: getattr(feedback, each.name) for each in fields(feedback)}, outcome=outcome)
