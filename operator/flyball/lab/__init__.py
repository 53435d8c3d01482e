"""Simulated engines, the model server and the load generator."""
