"""Tables of users, their sessions, attempts to sign in, and the audit. Times are microseconds since 1970, UTC."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from qc_dashboard.database.metadata import metadata

NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""Key that counts up by itself; SQLite does that for INTEGER alone."""

users = Table(
    "users",
    metadata,
    Column("user_id", NUMBER, primary_key=True),
    Column("name", String, nullable=False),
    Column("name_key", String, nullable=False, unique=True, comment="form in which names are compared"),
    Column("role", String, nullable=False),
    Column("password_hash", String, nullable=False, comment="argon2id with its parameters"),
    Column("created_us", BigInteger, nullable=False),
    Column("signed_in_us", BigInteger),
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String, primary_key=True, comment="the token itself is in the browser alone"),
    Column("user_id", NUMBER, ForeignKey(users.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
)
Index(None, sessions.c.user_id)
Index(None, sessions.c.created_us)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("attempt_id", NUMBER, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("name_sha256", String, nullable=False),
    Column("address", String, nullable=False),
    sqlite_autoincrement=True,
)
Index(None, sign_in_attempts.c.at_us)
Index(None, sign_in_attempts.c.name_sha256, sign_in_attempts.c.at_us)
Index(None, sign_in_attempts.c.address, sign_in_attempts.c.at_us)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", NUMBER, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("name", String, comment="who; empty if nobody was signed in"),
    Column("role", String),
    Column("proof", String),
    Column("address", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", Text, nullable=False, comment="path or user that it was about"),
    Column("status", Integer, comment="HTTP status of the answer; empty: the process died before"),
    Column("detail", Text, comment="what else the action wants to record"),
    sqlite_autoincrement=True,
)
Index(None, audit.c.at_us)
Index(None, audit.c.name, audit.c.at_us)
