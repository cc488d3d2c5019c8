"""Review: the queue with its leases, people's words with what is to be sent, skipped frames, kinds of defects."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    _queue()
    _words()
    op.create_table(
        "review_skips",
        sa.Column("session", sa.String(), nullable=False),
        *_source(),
        sa.Column("skipped_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "session", "source_topic", "source_partition", "source_offset", name=op.f("pk_review_skips")
        ),
    )
    op.create_index(op.f("ix_review_skips_skipped_us"), "review_skips", ["skipped_us"])
    op.create_table(
        "review_kinds",
        sa.Column("line", NAME, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False, comment="place in the list, from 0"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("line", "place", name=op.f("pk_review_kinds")),
    )
    op.create_table(
        "review_places",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_review_places")),
    )


def _queue() -> None:
    op.create_table(
        "review_queue",
        *_source(),
        sa.Column("line", NAME, nullable=False),
        sa.Column("verdict", sa.String(), nullable=False, comment="the model's"),
        sa.Column("taken_us", sa.BigInteger(), nullable=False),
        sa.Column("doubt", sa.Double(), nullable=False, comment="1: the score lies on the threshold; 0: far from it"),
        sa.Column(
            "share",
            sa.Double(),
            nullable=False,
            comment="share of frames of this verdict that was offered at that time",
        ),
        sa.Column("session", sa.String(), nullable=True, comment="the reviewer's page that has leased the frame"),
        sa.Column("leased_until_us", sa.BigInteger(), nullable=True),
        sa.Column("leased_us", sa.BigInteger(), nullable=True),
        sa.Column("said", sa.String(), nullable=True, comment="the last word on the frame; null: nobody has judged it"),
        sa.Column(
            "said_us",
            sa.BigInteger(),
            nullable=False,
            comment="time of the last word that was taken into account, or 0",
        ),
        sa.PrimaryKeyConstraint("source_topic", "source_partition", "source_offset", name=op.f("pk_review_queue")),
    )
    unsaid: dict[str, Any] = {"sqlite_where": sa.text("said IS NULL"), "postgresql_where": sa.text("said IS NULL")}
    for columns in (["taken_us"], ["line", "taken_us"], ["doubt"]):
        op.create_index(op.f(f"ix_review_queue_{'_'.join(columns)}"), "review_queue", columns, **unsaid)
    op.create_index(op.f("ix_review_queue_session"), "review_queue", ["session"])
    op.create_index(op.f("ix_review_queue_line_verdict_taken_us"), "review_queue", ["line", "verdict", "taken_us"])


def _words() -> None:
    op.create_table(
        "review_words",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        *_source(),
        sa.Column("line", NAME, nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("accepted_us", sa.BigInteger(), nullable=False),
        sa.Column("accepted_by", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="the feedback as its topic carries it, JSON"),
        sa.Column(
            "looked_us",
            sa.BigInteger(),
            nullable=True,
            comment="time from the lease to the word; null if there was no lease",
        ),
        sa.Column(
            "undoes",
            sa.BigInteger(),
            nullable=True,
            comment="id of the word that this one takes back; null: it is somebody's judgement",
        ),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.Column(
            "sent_us",
            sa.BigInteger(),
            nullable=True,
            comment="time of the acknowledgement; null: it is still to be sent",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_words")),
    )
    source = ["source_topic", "source_partition", "source_offset", "accepted_us"]
    op.create_index(op.f(f"ix_review_words_{'_'.join(source)}"), "review_words", source)
    op.create_index(op.f("ix_review_words_session"), "review_words", ["session"])
    op.create_index(op.f("ix_review_words_line_accepted_us"), "review_words", ["line", "accepted_us"])
    op.create_index(
        "ix_review_words_unsent",
        "review_words",
        ["id"],
        sqlite_where=sa.text("sent_us IS NULL"),
        postgresql_where=sa.text("sent_us IS NULL"),
    )


def _source() -> list[sa.Column[object]]:
    return [
        sa.Column("source_topic", NAME, nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
    ]
