"""Alembic's entry: runs the steps on the connection that `flyball.ledger.engine` hands over."""

from alembic import context

from flyball.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
