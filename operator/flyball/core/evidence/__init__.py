"""Experiments and reviews: what changes did, and what to change next."""
