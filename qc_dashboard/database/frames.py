"""Columns that name a frame by its position on `images`, the same in every table."""

from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, FromClause, Integer, String, and_

from qc_worker.domain.frame import Position

NAME = String().with_variant(String(collation="C"), "postgresql")
"""Text that sorts by code points on both databases."""
SOURCE = ("source_topic", "source_partition", "source_offset")


def source_columns(**options: Any) -> tuple[Column[Any], ...]:
    """Return new columns for a frame's position, each with these options of a column."""
    types: tuple[Any, ...] = (NAME, Integer, BigInteger)
    return tuple(Column(name, kind, **options) for name, kind in zip(SOURCE, types, strict=True))


def columns_of(source: Position) -> dict[str, str | int]:
    """Return the values of these columns for a frame."""
    return dict(zip(SOURCE, (source.topic, source.partition, source.offset), strict=True))


def at(table: FromClause, source: Position) -> ColumnElement[bool]:
    """Return the condition for the rows of that frame."""
    return and_(*(table.c[name] == value for name, value in columns_of(source).items()))


def same_frame(table: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Return the condition that two rows are about one frame."""
    return and_(*(table.c[name] == other.c[name] for name in SOURCE))
