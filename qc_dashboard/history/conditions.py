"""Turn a search into conditions, with an index for each of them."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, UnaryExpression, and_, or_

from qc_dashboard.history.search import Order, Place, Search
from qc_dashboard.history.tables import inspections

TABLE = inspections.c
ORDER_COLUMNS = (TABLE.taken_us, TABLE.source_topic, TABLE.source_partition, TABLE.source_offset)


def conditions(search: Search) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a search."""
    for column in (TABLE.line, TABLE.camera, TABLE.model_version, TABLE.part, TABLE.frame_id):
        wanted = getattr(search, column.name)
        if wanted is not None:
            yield column == wanted
    if search.verdicts:
        yield TABLE.verdict.in_([verdict.value for verdict in search.verdicts])
    if search.since_us is not None:
        yield TABLE.taken_us >= search.since_us
    if search.until_us is not None:
        yield TABLE.taken_us < search.until_us
    if search.min_score is not None:
        yield TABLE.score >= search.min_score
    if search.max_score is not None:
        yield TABLE.score <= search.max_score


def beyond(place: Place, order: Order) -> ColumnElement[bool]:
    """Return the condition of what follows a place in that order.

    The first part alone leads through an index on the time; the second one sorts out inspections of the same time.
    """
    values = (place.taken_us, place.source.topic, place.source.partition, place.source.offset)
    oldest = order is Order.OLDEST
    bound = TABLE.taken_us >= place.taken_us if oldest else TABLE.taken_us <= place.taken_us
    steps = []
    for index, (column, value) in enumerate(zip(ORDER_COLUMNS, values, strict=True)):
        same = [earlier == values[i] for i, earlier in enumerate(ORDER_COLUMNS[:index])]
        steps.append(and_(*same, column > value if oldest else column < value))
    return and_(bound, or_(*steps))


def in_order(order: Order) -> list[UnaryExpression[object]]:
    """Return the columns to sort by."""
    return [column.asc() if order is Order.OLDEST else column.desc() for column in ORDER_COLUMNS]
