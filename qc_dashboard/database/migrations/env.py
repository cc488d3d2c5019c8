"""Run by Alembic: the transaction comes from `qc_dashboard.database.migrating`, which also ends it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
