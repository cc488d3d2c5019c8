"""Tallies of inspections by slot of time, and what retention took from `results` before it was read."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NAMES = ("line", "camera", "verdict", "model_version", "reason")
SLOTS_US = (300_000_000, 3_600_000_000, 86_400_000_000)


def upgrade() -> None:
    op.create_table(
        "inspection_tallies",
        sa.Column("length_us", sa.BigInteger(), nullable=False, comment="length of the slot"),
        sa.Column("line", NAME, nullable=False, comment="empty, as other names here: the inspection has none"),
        sa.Column("start_us", sa.BigInteger(), nullable=False, comment="start of the slot, a multiple of its length"),
        sa.Column("camera", NAME, nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("model_version", NAME, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "length_us",
            "line",
            "start_us",
            "camera",
            "verdict",
            "model_version",
            "reason",
            name=op.f("pk_inspection_tallies"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_inspection_tallies_length_us_start_us"), "inspection_tallies", ["length_us", "start_us"], unique=False
    )
    for length_us in SLOTS_US:
        _count(length_us)
    op.create_table(
        "gaps",
        sa.Column("results_partition", sa.Integer(), nullable=False),
        sa.Column("from_offset", sa.BigInteger(), nullable=False, comment="first offset that was lost"),
        sa.Column("to_offset", sa.BigInteger(), nullable=False, comment="first offset that was still there"),
        sa.Column("noticed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("results_partition", "from_offset", name=op.f("pk_gaps")),
    )


def _count(length_us: int) -> None:
    """Count the inspections that are there already."""
    start = f"taken_us - (taken_us % {length_us} + {length_us}) % {length_us}"
    names = ", ".join(f"coalesce({name}, '') AS {name}_" for name in NAMES)
    listed = ", ".join(f"{name}_" for name in NAMES)
    op.execute(
        f"INSERT INTO inspection_tallies (length_us, start_us, {', '.join(NAMES)}, frames, late) "  # noqa: S608  (all of it is written here)
        f"SELECT {length_us}, start_, {listed}, count(*), sum(late_) FROM "
        f"(SELECT {start} AS start_, {names}, CAST(late AS INTEGER) AS late_ FROM inspections) AS counted "
        f"GROUP BY start_, {listed}"
    )
