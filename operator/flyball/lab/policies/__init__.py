"""Scaling policies that the lab plays against each other: Flyball's own core, rivals, and constant fleets."""
