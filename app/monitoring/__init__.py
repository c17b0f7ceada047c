"""
What the service did with memory and time, what failed, and who was refused.

This package imports nothing: gunicorn's master needs `shared_memory` before prometheus_client may be imported.
"""
