"""Turn a search into conditions, with an index for each of them."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, UnaryExpression, and_, false, or_

from qc_dashboard.database import frames
from qc_dashboard.history.rows import can_be_stored
from qc_dashboard.history.search import Order, Place, Search
from qc_dashboard.history.tables import inspections
from qc_worker.domain.frame import Position

TABLE = inspections.c
ORDER_COLUMNS = (TABLE.taken_us, TABLE.source_topic, TABLE.source_partition, TABLE.source_offset)


def conditions(search: Search) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a search; what no row can have is found in none, and no error of the database."""
    for column in (TABLE.line, TABLE.camera, TABLE.model_version, TABLE.part, TABLE.frame_id):
        wanted = getattr(search, column.name)
        if wanted is not None:
            yield column == wanted if "\0" not in wanted else false()
    if search.verdicts:
        yield TABLE.verdict.in_([verdict.value for verdict in search.verdicts])
    if search.since_us is not None:
        yield TABLE.taken_us >= in_range(search.since_us)
    if search.until_us is not None:
        yield TABLE.taken_us < in_range(search.until_us)
    if search.min_score is not None:
        yield TABLE.score >= search.min_score
    if search.max_score is not None:
        yield TABLE.score <= search.max_score


def beyond(place: Place, order: Order) -> ColumnElement[bool]:
    """Return the condition of what follows a place in that order.

    The first part alone leads through an index on the time; the second one sorts out inspections of the same time.
    """
    if not can_be_stored(place.source):
        return false()
    values = (in_range(place.taken_us), place.source.topic, place.source.partition, place.source.offset)
    oldest = order is Order.OLDEST
    bound = TABLE.taken_us >= values[0] if oldest else TABLE.taken_us <= values[0]
    steps = []
    for index, (column, value) in enumerate(zip(ORDER_COLUMNS, values, strict=True)):
        same = [earlier == values[i] for i, earlier in enumerate(ORDER_COLUMNS[:index])]
        steps.append(and_(*same, column > value if oldest else column < value))
    return and_(bound, or_(*steps))


def at(source: Position) -> ColumnElement[bool]:
    """Return the condition for the inspection of that frame."""
    return frames.at(inspections, source) if can_be_stored(source) else false()


def in_range(us: int) -> int:
    """Return the time, or the nearest one that the database's type can hold."""
    return max(-(2**63), min(us, 2**63 - 1))


def in_order(order: Order) -> list[UnaryExpression[object]]:
    """Return the columns to sort by."""
    return [column.asc() if order is Order.OLDEST else column.desc() for column in ORDER_COLUMNS]
