"""Durable records of what was decided, and from what."""
