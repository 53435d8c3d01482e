"""What people read of a decision: causes, conditions, Events, the report."""
