"""Runs scenarios: every policy on every seed, tuned in hindsight, swept along its frontier, and kept as it goes."""
