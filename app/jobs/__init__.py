"""Durable jobs: long work that is accepted at once, done once, and never lost. Callers of the same Speech."""

# Here: the routes know them without job.py.
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
