"""Accounts: users, sessions, attempts to sign in, audit."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", sa.String(), nullable=False, comment="form in which names are compared"),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False, comment="argon2id with its parameters"),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("signed_in_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
        sa.UniqueConstraint("name_key", name=op.f("uq_users_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(), nullable=False, comment="the token itself is in the browser alone"),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_sessions")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], op.f("fk_sessions_user_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_index(op.f("ix_sessions_created_us"), "sessions", ["created_us"], unique=False)
    op.create_table(
        "sign_in_attempts",
        sa.Column("attempt_id", NUMBER, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("name_sha256", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_sign_in_attempts")),
        sqlite_autoincrement=True,
    )
    for columns in (["at_us"], ["name_sha256", "at_us"], ["address", "at_us"]):
        name = op.f(f"ix_sign_in_attempts_{'_'.join(columns)}")
        op.create_index(name, "sign_in_attempts", columns, unique=False)
    op.create_table(
        "audit",
        sa.Column("audit_id", NUMBER, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=True, comment="who; empty if nobody was signed in"),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("proof", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="path or user that it was about"),
        sa.Column(
            "status",
            sa.Integer(),
            nullable=True,
            comment="HTTP status of the answer; empty: the process died before",
        ),
        sa.Column("detail", sa.Text(), nullable=True, comment="what else the action wants to record"),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_at_us"), "audit", ["at_us"], unique=False)
    op.create_index(op.f("ix_audit_name_at_us"), "audit", ["name", "at_us"], unique=False)
