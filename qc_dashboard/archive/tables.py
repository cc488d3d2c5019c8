"""Tables of the archive: the evidence of each inspection, the blobs that it consists of, and how far `results` is done.

Evidence refers to blobs by foreign keys, so no blob that is referred to can lose its row. Times are microseconds since
1970, UTC.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from qc_dashboard.database.metadata import metadata

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

places = Table(
    "archive_places",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
