"""Table of the versions that were released, with the samples that each was made from."""

from sqlalchemy import BigInteger, Column, LargeBinary, String, Table

from qc_dashboard.database.frames import NAME
from qc_dashboard.database.metadata import metadata

version_samples = Table(
    "version_samples",
    metadata,
    Column("line", NAME, primary_key=True),
    Column("version", String, primary_key=True),
    Column("began_us", BigInteger, nullable=False, comment="begin of the training, after feedback was collected"),
    Column("ended_us", BigInteger, nullable=False),
    Column("samples", LargeBinary, nullable=False, comment="SHA-256 of each sample, 32 bytes, one after the other"),
)
