"""Outcomes: what became of each judgement, and the samples that released versions were made from."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_index(op.f("ix_feedback_accepted_by_accepted_us"), "feedback", ["accepted_by", "accepted_us"])
    op.create_index(op.f("ix_feedback_accepted_us"), "feedback", ["accepted_us"])
    op.create_table(
        "collected",
        sa.Column("source_topic", NAME, nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("accepted_us", sa.BigInteger(), nullable=False),
        sa.Column("accepted_by", sa.String(), nullable=False),
        sa.Column("line", NAME, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("collected_us", sa.BigInteger(), nullable=False),
        sa.Column(
            "sample",
            sa.String(64),
            nullable=True,
            comment="SHA-256 of the frame's bytes; null if the verdict was refused",
        ),
        sa.PrimaryKeyConstraint(
            "source_topic", "source_partition", "source_offset", "accepted_us", "accepted_by", name=op.f("pk_collected")
        ),
    )
    op.create_index(op.f("ix_collected_line_sample"), "collected", ["line", "sample"])
    op.create_index(op.f("ix_collected_line_collected_us"), "collected", ["line", "collected_us"])
    op.create_table(
        "version_samples",
        sa.Column("line", NAME, nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column(
            "began_us", sa.BigInteger(), nullable=False, comment="begin of the training, after feedback was collected"
        ),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.Column(
            "samples", sa.LargeBinary(), nullable=False, comment="SHA-256 of each sample, 32 bytes, one after the other"
        ),
        sa.PrimaryKeyConstraint("line", "version", name=op.f("pk_version_samples")),
    )
