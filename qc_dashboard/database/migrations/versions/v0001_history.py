"""History: inspections, duplicates, releases, feedback, and how far each topic was read."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "consumed",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_consumed")),
    )
    op.create_table(
        "duplicates",
        sa.Column("results_partition", sa.Integer(), nullable=False),
        sa.Column("results_offset", sa.BigInteger(), nullable=False),
        sa.Column("source_topic", NAME, nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("results_partition", "results_offset", name=op.f("pk_duplicates")),
    )
    op.create_table(
        "feedback",
        sa.Column("source_topic", NAME, nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("accepted_us", sa.BigInteger(), nullable=False),
        sa.Column("accepted_by", sa.String(), nullable=False),
        sa.Column("line", NAME, nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="the feedback as its topic carries it, JSON"),
        sa.PrimaryKeyConstraint(
            "source_topic", "source_partition", "source_offset", "accepted_us", "accepted_by", name=op.f("pk_feedback")
        ),
    )
    op.create_index(op.f("ix_feedback_line_accepted_us"), "feedback", ["line", "accepted_us"], unique=False)
    op.create_table(
        "inspections",
        sa.Column("source_topic", NAME, nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("results_partition", sa.Integer(), nullable=False),
        sa.Column("results_offset", sa.BigInteger(), nullable=False),
        sa.Column(
            "taken_us",
            sa.BigInteger(),
            nullable=False,
            comment="capture time, or that of the verdict if it is not known",
        ),
        sa.Column("scored_us", sa.BigInteger(), nullable=False),
        sa.Column("line", NAME, nullable=True),
        sa.Column("camera", sa.String(), nullable=True),
        sa.Column("frame_id", sa.String(), nullable=True),
        sa.Column("part", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="the inspection as `results` carries it, JSON"),
        sa.PrimaryKeyConstraint("source_topic", "source_partition", "source_offset", name=op.f("pk_inspections")),
    )
    op.create_index(op.f("ix_inspections_frame_id"), "inspections", ["frame_id"], unique=False)
    op.create_index(
        op.f("ix_inspections_line_camera_taken_us"), "inspections", ["line", "camera", "taken_us"], unique=False
    )
    op.create_index(
        op.f("ix_inspections_line_model_version_taken_us"),
        "inspections",
        ["line", "model_version", "taken_us"],
        unique=False,
    )
    op.create_index(op.f("ix_inspections_line_taken_us"), "inspections", ["line", "taken_us"], unique=False)
    op.create_index(
        op.f("ix_inspections_line_verdict_taken_us"), "inspections", ["line", "verdict", "taken_us"], unique=False
    )
    op.create_index(
        op.f("ix_inspections_part"),
        "inspections",
        ["part"],
        unique=False,
        sqlite_where=sa.text("part IS NOT NULL"),
        postgresql_where=sa.text("part IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_inspections_results_partition_results_offset"),
        "inspections",
        ["results_partition", "results_offset"],
        unique=False,
    )
    op.create_index(op.f("ix_inspections_taken_us"), "inspections", ["taken_us"], unique=False)
    op.create_index(op.f("ix_inspections_verdict_taken_us"), "inspections", ["verdict", "taken_us"], unique=False)
    op.create_table(
        "releases",
        sa.Column("line", NAME, nullable=False),
        sa.Column("released_us", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="the release as `models` carries it, JSON"),
        sa.PrimaryKeyConstraint("line", "released_us", "version", name=op.f("pk_releases")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Counts read the index alone only where vacuum has been; by default that is after a fifth of the table is new.
        op.execute(
            "ALTER TABLE inspections SET "
            "(autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
        )
