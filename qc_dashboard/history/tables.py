"""Tables of the history: inspections and tallies of them, releases, feedback and what became of it, how far each topic
was read, and gaps.

Times are microseconds since 1970, UTC. Positions are topic, partition and offset. An inspection is identified by its
`source`, the position of its frame.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, Text

from qc_dashboard.database.frames import NAME, source_columns
from qc_dashboard.database.metadata import metadata
from qc_dashboard.database.places import places_table

inspections = Table(
    "inspections",
    metadata,
    *source_columns(primary_key=True),
    Column("results_partition", Integer, nullable=False),
    Column("results_offset", BigInteger, nullable=False),
    Column("taken_us", BigInteger, nullable=False, comment="capture time, or that of the verdict if it is not known"),
    Column("scored_us", BigInteger, nullable=False),
    Column("line", NAME),
    Column("camera", String),
    Column("frame_id", String),
    Column("part", String),
    Column("verdict", String, nullable=False),
    Column("reason", String),
    Column("model_version", String),
    Column("score", Double),
    Column("p_value", Double),
    Column("threshold", Double),
    Column("late", Boolean, nullable=False),
    Column("document", Text, nullable=False, comment="the inspection as `results` carries it, JSON"),
)
Index(None, inspections.c.results_partition, inspections.c.results_offset)
Index(None, inspections.c.taken_us)
Index(None, inspections.c.line, inspections.c.taken_us)
Index(None, inspections.c.line, inspections.c.verdict, inspections.c.taken_us)
Index(None, inspections.c.line, inspections.c.camera, inspections.c.taken_us)
Index(None, inspections.c.line, inspections.c.model_version, inspections.c.taken_us)
Index(None, inspections.c.verdict, inspections.c.taken_us)
Index(None, inspections.c.frame_id)
Index(
    None,
    inspections.c.part,
    sqlite_where=inspections.c.part.is_not(None),
    postgresql_where=inspections.c.part.is_not(None),
)

tallies = Table(
    "inspection_tallies",
    metadata,
    Column("length_us", BigInteger, primary_key=True, comment="length of the slot"),
    Column("line", NAME, primary_key=True, comment="empty, as other names here: the inspection has none"),
    Column("start_us", BigInteger, primary_key=True, comment="start of the slot, a multiple of its length"),
    Column("camera", NAME, primary_key=True),
    Column("verdict", String, primary_key=True),
    Column("model_version", NAME, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("frames", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index(None, tallies.c.length_us, tallies.c.start_us)

duplicates = Table(
    "duplicates",
    metadata,
    Column("results_partition", Integer, primary_key=True),
    Column("results_offset", BigInteger, primary_key=True),
    *source_columns(nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("line", NAME, primary_key=True),
    Column("released_us", BigInteger, primary_key=True),
    Column("version", String, primary_key=True),
    Column("action", String, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("document", Text, nullable=False, comment="the release as `models` carries it, JSON"),
)

feedback = Table(
    "feedback",
    metadata,
    *source_columns(primary_key=True),
    Column("accepted_us", BigInteger, primary_key=True),
    Column("accepted_by", String, primary_key=True),
    Column("line", NAME, nullable=False),
    Column("verdict", String, nullable=False),
    Column("document", Text, nullable=False, comment="the feedback as its topic carries it, JSON"),
)
Index(None, feedback.c.line, feedback.c.accepted_us)
Index(None, feedback.c.accepted_by, feedback.c.accepted_us)
Index(None, feedback.c.accepted_us)

collected = Table(
    "collected",
    metadata,
    *source_columns(primary_key=True),
    Column("accepted_us", BigInteger, primary_key=True),
    Column("accepted_by", String, primary_key=True),
    Column("line", NAME, nullable=False),
    Column("outcome", String, nullable=False),
    Column("collected_us", BigInteger, nullable=False),
    Column("sample", String(64), comment="SHA-256 of the frame's bytes; null if the verdict was refused"),
)
Index(None, collected.c.line, collected.c.sample)
Index(None, collected.c.line, collected.c.collected_us)

consumed = places_table("consumed")

gaps = Table(
    "gaps",
    metadata,
    Column("results_partition", Integer, primary_key=True),
    Column("from_offset", BigInteger, primary_key=True, comment="first offset that was lost"),
    Column("to_offset", BigInteger, nullable=False, comment="first offset that was still there"),
    Column("noticed_us", BigInteger, nullable=False),
)
