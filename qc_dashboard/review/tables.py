"""Tables of the review: frames that people shall judge, what they said, who skipped what, and kinds of defects.

Times are microseconds since 1970, UTC. A frame is named by the position of its record, as in the history.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
)

from qc_dashboard.database.frames import NAME, source_columns
from qc_dashboard.database.metadata import metadata
from qc_dashboard.database.places import places_table

queue = Table(
    "review_queue",
    metadata,
    *source_columns(primary_key=True),
    Column("line", NAME, nullable=False),
    Column("verdict", String, nullable=False, comment="the model's"),
    Column("taken_us", BigInteger, nullable=False),
    Column("doubt", Double, nullable=False, comment="1: the score lies on the threshold; 0: far from it"),
    Column("share", Double, nullable=False, comment="share of frames of this verdict that was offered at that time"),
    Column("session", String, comment="the reviewer's page that has leased the frame"),
    Column("leased_until_us", BigInteger),
    Column("leased_us", BigInteger),
    Column("said", String, comment="the last word on the frame; null: nobody has judged it"),
    Column("said_us", BigInteger, nullable=False, comment="time of the last word that was taken into account, or 0"),
    Column("gone_us", BigInteger, comment="time at which its picture was missed; null: it can be judged"),
)
_is_open = and_(queue.c.said.is_(None), queue.c.gone_us.is_(None))
_open: dict[str, Any] = {"sqlite_where": _is_open, "postgresql_where": _is_open}
Index(None, queue.c.taken_us, **_open)
Index(None, queue.c.line, queue.c.taken_us, **_open)
Index(None, queue.c.doubt, **_open)
Index(None, queue.c.session)
Index(None, queue.c.line, queue.c.verdict, queue.c.taken_us)
_gone: dict[str, Any] = {"sqlite_where": queue.c.gone_us.is_not(None), "postgresql_where": queue.c.gone_us.is_not(None)}
Index(None, queue.c.gone_us, **_gone)

words = Table(
    "review_words",
    metadata,
    # Integer on SQLite, for only that type counts by itself there.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    *source_columns(nullable=False),
    Column("line", NAME, nullable=False),
    Column("session", String, nullable=False),
    Column("accepted_us", BigInteger, nullable=False),
    Column("accepted_by", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("document", Text, nullable=False, comment="the feedback as its topic carries it, JSON"),
    Column("looked_us", BigInteger, comment="time from the lease to the word; null if there was no lease"),
    Column("undoes", BigInteger, comment="id of the word that this one takes back; null: it is somebody's judgement"),
    Column("undone", Boolean, nullable=False),
    Column("sent_us", BigInteger, comment="time of the acknowledgement; null: it is still to be sent"),
)
Index(None, words.c.source_topic, words.c.source_partition, words.c.source_offset, words.c.accepted_us)
Index(None, words.c.session)
Index(None, words.c.line, words.c.accepted_us)
Index(
    "ix_review_words_unsent",
    words.c.id,
    sqlite_where=words.c.sent_us.is_(None),
    postgresql_where=words.c.sent_us.is_(None),
)

skips = Table(
    "review_skips",
    metadata,
    Column("session", String, primary_key=True),
    *source_columns(primary_key=True),
    Column("skipped_us", BigInteger, nullable=False),
)
Index(None, skips.c.skipped_us)

kinds = Table(
    "review_kinds",
    metadata,
    Column("line", NAME, primary_key=True),
    Column("place", Integer, primary_key=True, comment="place in the list, from 0"),
    Column("kind", String, nullable=False),
)

places = places_table("review_places")
