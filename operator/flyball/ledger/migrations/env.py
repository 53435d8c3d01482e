"""Alembic's entry: runs the steps on the connection that `flyball.ledger.engine` hands over."""

from alembic import context

from flyball.ledger.evidence import experiment

METADATA = experiment.metadata
"""That of all tables: those of `flyball.ledger.schema`, and those that `evidence` adds to it."""

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
