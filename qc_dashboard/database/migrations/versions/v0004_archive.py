"""Archive: evidence of inspections, the blobs that it consists of, and how far `results` was looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PICTURES = ("frame_sha256", "heatmap_sha256", "thumbnail_sha256")


def upgrade() -> None:
    op.create_table(
        "archive_blobs",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("claimed_us", sa.BigInteger(), nullable=False, comment="last time at which evidence needed it"),
        sa.Column(
            "going",
            sa.Boolean(),
            nullable=False,
            comment="its file is being removed: it must not be referred to any more",
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_archive_blobs")),
    )
    op.create_table(
        "archive",
        sa.Column("source_topic", sa.String(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("judged_us", sa.BigInteger(), nullable=False),
        sa.Column("archived_us", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False, comment="of all its blobs"),
        *(sa.Column(name, sa.String(64), nullable=name != "frame_sha256") for name in PICTURES),
        sa.PrimaryKeyConstraint("source_topic", "source_partition", "source_offset", name=op.f("pk_archive")),
        *(
            sa.ForeignKeyConstraint([name], ["archive_blobs.sha256"], name=op.f(f"fk_archive_{name}"))
            for name in PICTURES
        ),
    )
    op.create_index(op.f("ix_archive_verdict_judged_us"), "archive", ["verdict", "judged_us"])
    for name in PICTURES:
        op.create_index(op.f(f"ix_archive_{name}"), "archive", [name])
    op.create_table(
        "archive_places",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_archive_places")),
    )
