"""
What the service did with memory and time, what failed, and who knocked.

Importing this package imports nothing: gunicorn's master needs `board` before prometheus_client may be imported.
"""
