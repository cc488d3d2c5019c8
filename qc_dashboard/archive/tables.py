"""Tables of the archive: the evidence of each inspection, its blobs, its look, and how far `results` is done.

Evidence refers to blobs by foreign keys, so no blob that is referred to can lose its row. Times are microseconds since
1970, UTC.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from qc_dashboard.database.metadata import metadata

SHA256 = String(64)
NAME = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared with that of the history's tables."""

blobs = Table(
    "archive_blobs",
    metadata,
    Column("sha256", SHA256, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("claimed_us", BigInteger, nullable=False, comment="last time at which evidence needed it"),
    Column("going", Boolean, nullable=False, comment="its file is being removed: it must not be referred to any more"),
)

evidence = Table(
    "archive",
    metadata,
    Column("source_topic", String, primary_key=True),
    Column("source_partition", Integer, primary_key=True),
    Column("source_offset", BigInteger, primary_key=True),
    Column("verdict", String, nullable=False),
    Column("judged_us", BigInteger, nullable=False),
    Column("archived_us", BigInteger, nullable=False),
    Column("total_bytes", BigInteger, nullable=False, comment="of all its blobs"),
    Column("frame_sha256", SHA256, ForeignKey(blobs.c.sha256), nullable=False),
    Column("heatmap_sha256", SHA256, ForeignKey(blobs.c.sha256)),
    Column("thumbnail_sha256", SHA256, ForeignKey(blobs.c.sha256)),
)
Index(None, evidence.c.verdict, evidence.c.judged_us)
Index(None, evidence.c.frame_sha256)
Index(None, evidence.c.heatmap_sha256)
Index(None, evidence.c.thumbnail_sha256)

looks = Table(
    "archive_looks",
    metadata,
    Column("source_topic", NAME, primary_key=True),
    Column("source_partition", Integer, primary_key=True),
    Column("source_offset", BigInteger, primary_key=True),
    Column("line", NAME, nullable=False),
    Column("camera", String),
    Column("verdict", String, nullable=False),
    Column("taken_us", BigInteger, nullable=False),
    Column("look", LargeBinary, nullable=False, comment="how the frame looks, see `qc_dashboard.archive.looks`"),
    # A look goes with its evidence: what is compared can be shown.
    ForeignKeyConstraint(
        ["source_topic", "source_partition", "source_offset"],
        [evidence.c.source_topic, evidence.c.source_partition, evidence.c.source_offset],
        name="fk_archive_looks",
        ondelete="CASCADE",
    ),
)
Index(None, looks.c.line, looks.c.camera, looks.c.verdict, looks.c.taken_us)
Index(None, looks.c.line, looks.c.verdict, looks.c.taken_us)

places = Table(
    "archive_places",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
