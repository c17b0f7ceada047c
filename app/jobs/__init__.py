"""Durable jobs: long work that is accepted at once, done once, and never lost. Callers of the same Speech."""

STATES = (
    "queued",
    "running",
    "succeeded",
    "failed",
    "cancelled",
)  # here: the routes know them without job.py
