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

from qc_dashboard.database.frames import NAME, SOURCE, source_columns
from qc_dashboard.database.metadata import metadata
from qc_dashboard.database.places import places_table

SHA256 = String(64)

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
    *source_columns(primary_key=True),
    Column("line", NAME, nullable=False),
    Column("camera", String),
    Column("verdict", String, nullable=False),
    Column("taken_us", BigInteger, nullable=False),
    Column("look", LargeBinary, nullable=False, comment="how the frame looks, see `qc_dashboard.archive.looks`"),
    # A look goes with its evidence: what is compared can be shown.
    ForeignKeyConstraint(
        SOURCE,
        [evidence.c[name] for name in SOURCE],
        name="fk_archive_looks",
        ondelete="CASCADE",
    ),
)
Index(None, looks.c.line, looks.c.camera, looks.c.verdict, looks.c.taken_us)
Index(None, looks.c.line, looks.c.verdict, looks.c.taken_us)

places = places_table("archive_places")
