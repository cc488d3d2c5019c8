"""Pages of the review: frames whose picture is gone leave the queue, and looks by which alike frames are found."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
SOURCE = ["source_topic", "source_partition", "source_offset"]
OPEN = "said IS NULL AND gone_us IS NULL"


def upgrade() -> None:
    gone_us = sa.Column(
        "gone_us",
        sa.BigInteger(),
        nullable=True,
        comment="time at which its picture was missed; null: it can be judged",
    )
    op.add_column("review_queue", gone_us)
    for columns in (["taken_us"], ["line", "taken_us"], ["doubt"]):
        name = f"ix_review_queue_{'_'.join(columns)}"
        op.drop_index(op.f(name), table_name="review_queue")
        op.create_index(op.f(name), "review_queue", columns, **_where(OPEN))
    op.create_index(op.f("ix_review_queue_gone_us"), "review_queue", ["gone_us"], **_where("gone_us IS NOT NULL"))
    op.create_table(
        "archive_looks",
        sa.Column("source_topic", NAME, nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("line", NAME, nullable=False),
        sa.Column("camera", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("taken_us", sa.BigInteger(), nullable=False),
        sa.Column(
            "look",
            sa.LargeBinary(),
            nullable=False,
            comment="how the frame looks, see `qc_dashboard.archive.looks`",
        ),
        sa.PrimaryKeyConstraint(*SOURCE, name=op.f("pk_archive_looks")),
        sa.ForeignKeyConstraint(
            SOURCE, [f"archive.{name}" for name in SOURCE], name="fk_archive_looks", ondelete="CASCADE"
        ),
    )
    for columns in (["line", "camera", "verdict", "taken_us"], ["line", "verdict", "taken_us"]):
        op.create_index(op.f(f"ix_archive_looks_{'_'.join(columns)}"), "archive_looks", columns)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
