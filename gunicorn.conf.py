"""A few threads per worker; the hooks end what the worker began."""

import gc
import logging

from app import memory
from app.config import Settings

settings = Settings.from_env()

bind = f"{settings.host}:{settings.port}"
workers = settings.web_concurrency
worker_class, threads = "gthread", settings.web_threads
# Hosts kill 30 s after SIGTERM: what has not ended by then is cut off while we can still clean up.
graceful_timeout = 25
worker_tmp_dir = "/dev/shm"  # noqa: S108 (the heartbeat file; a slow disk would look like a hung worker)
logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
loglevel = "warning"


def post_worker_init(worker):
    """Tell the app whose child it is; leave what is loaded now out of later collections."""
    worker.wsgi.extensions["services"].root_pid = worker.ppid
    gc.collect()
    gc.freeze()


def post_request(worker, req, environ, resp):
    """Give memory back past the soft limit; past the hard one finish, leave, and be replaced."""
    if memory.after_request(settings.worker_soft_limit_mb, settings.worker_hard_limit_mb):
        worker.alive = False  # the switch max_requests turns


def worker_exit(server, worker):
    """End the engines."""
    if app := getattr(worker, "wsgi", None):  # absent when the app failed to load
        app.extensions["services"].close()
