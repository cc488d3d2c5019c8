"""Kinds of defects that reviewers may name: a list of each line, or the one for all lines that have none."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from qc_dashboard.database.database import Database
from qc_dashboard.review.tables import kinds
from qc_dashboard.review.wanted import WordRefused
from qc_worker.domain import names

MAX_KINDS = 50


class LineKinds:
    """The lists. Methods that open a transaction may raise DatabaseAway."""

    def __init__(self, database: Database, default: Sequence[str]) -> None:
        self._database = database
        self._default = tuple(default)

    def of(self, line: str) -> tuple[str, ...]:
        """Return the line's kinds, in the order of its list."""
        with self._database.reading() as connection:
            return self._of(connection, line)

    def set(self, line: str, wanted: Sequence[str]) -> None:
        """Give the line a list of its own; an empty one gives it the list for all lines again. Raises WordRefused."""
        try:
            checked = kind_list(wanted)
            names.line_name(line)
        except ValueError as error:
            raise WordRefused(str(error)) from None
        rows = [{"line": line, "place": place, "kind": kind} for place, kind in enumerate(checked)]
        with self._database.writing() as connection:
            connection.execute(delete(kinds).where(kinds.c.line == line))
            if rows:
                connection.execute(insert(kinds), rows)

    def check(self, connection: Connection, line: str, kind: str | None) -> None:
        """Raise WordRefused for a kind that is not in the line's list."""
        if kind is not None and kind not in self._of(connection, line):
            raise WordRefused(f"kind: {kind[:80]!r} is not a kind of line {line}")

    def _of(self, connection: Connection, line: str) -> tuple[str, ...]:
        if "\0" in line:
            return self._default
        query = select(kinds.c.kind).where(kinds.c.line == line)
        return tuple(connection.scalars(query.order_by(kinds.c.place))) or self._default


def kind_list(wanted: Sequence[str]) -> tuple[str, ...]:
    """Check a list of kinds. Raises ValueError."""
    checked = tuple(names.defect_kind(kind) for kind in wanted)
    if len(checked) > MAX_KINDS:
        raise ValueError(f"{len(checked)} kinds are more than {MAX_KINDS}")
    if len({kind.casefold() for kind in checked}) < len(checked):
        raise ValueError("a kind of defect is listed twice")
    return checked
