"""gunicorn's worker, as this service needs it."""
