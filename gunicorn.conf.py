"""A few threads per worker; the hooks end what the worker began."""

import gc

gc.disable()  # until the worker is loaded: what imports leave behind is not worth looking for, 15 ms

import os

from app import logs, memory, startup
from app.config import is_ipv6
from app.monitoring.shared_memory import WorkerSlots
from app.server.worker import Worker

settings = startup.settings_or_exit()
prefix = "/" + os.environ.pop("SCRIPT_NAME", "").strip("/")  # else gunicorn would look at it
memory.keep_heap_small()

bind = f"[{settings.host}]:{settings.port}" if is_ipv6(settings.host) else f"{settings.host}:{settings.port}"
workers = settings.web_concurrency
worker_class, threads = Worker, settings.web_threads
Worker.client_idle_seconds = settings.client_idle_seconds
forwarded_allow_ips = (
    ""  # X-Forwarded-* is for TRUSTED_PROXIES to believe; some hosts set FORWARDED_ALLOW_IPS=*
)
control_socket_disable = True  # gunicorn's own door for operators: 1.3 MB, and a thread, that nobody uses
worker_connections = 512  # each may have 16 KB of a request in memory
limit_request_line, limit_request_fields, limit_request_field_size = (
    8190,
    64,
    8190,
)  # in all 16 KB: app/server/worker.py
# What routers say is TRUSTED_PROXIES' business alone. gunicorn would believe anybody on this machine, or, with
# Heroku's FORWARDED_ALLOW_IPS=*, anybody at all: whether it was https, and which part of a path to leave out.
forwarder_headers, secure_scheme_headers = "", {}
# Hosts kill 30 s after SIGTERM: what has not ended by then is cut off while we can still clean up.
graceful_timeout = 25
worker_tmp_dir = "/dev/shm"  # noqa: S108 (the heartbeat file; a slow disk would look like a hung worker)
logs.begin(settings)
loglevel = "warning"
# A look lets go of the interpreter's lock, 8 µs of a request's 300; quicker requests leave little behind.
time_to_look = memory.Throttle(0.1)


def on_starting(server):
    """Have the port free, or say so in one sentence; make what workers share while there is one process."""
    if (
        bind in server.cfg.bind and not {"GUNICORN_FD", "LISTEN_FDS"} & os.environ.keys()
    ):  # sockets it was handed
        startup.wait_for_port(settings)
    server.slots = WorkerSlots(workers)
    logs.adopt(server.log.error_log)


def pre_fork(server, worker):
    """Give the worker its slot; what is loaded by now is not looked at by its collector, so it stays shared."""
    gc.freeze()
    worker.slot = server.slots.assign(other.slot for other in server.WORKERS.values())


def post_fork(server, worker):
    """Tell the new process where it belongs."""
    server.slots.enter(worker.slot)
    logs.adopt(worker.log.error_log)  # a reload set it up anew


def child_exit(server, worker):
    """Let the next worker have the slot."""
    server.slots.release(worker.slot)


def post_worker_init(worker):
    """Tell the app that it serves, and as whose child; leave what is loaded now out of later collections."""
    worker.wsgi.extensions["services"].begin(worker.ppid, is_running=lambda: worker.alive)
    if prefix != "/":
        # And at the root as well, where hosts check health: gunicorn itself answers 500 to what is not below it.
        from werkzeug.middleware.dispatcher import DispatcherMiddleware

        worker.wsgi.wsgi_app = DispatcherMiddleware(worker.wsgi.wsgi_app, {prefix: worker.wsgi.wsgi_app})
    if worker.age == 1:  # the first; others would only repeat it
        startup.introduce(worker.wsgi.extensions["services"], worker.sockets[0].getsockname())
    # Frozen without a look at it: of 58,000 objects 127 are garbage, and to find them took 27 ms of the start.
    memory.trim_heap()
    gc.freeze()
    gc.enable()


def post_request(worker, req, environ, resp):
    """Give memory back past the soft limit; past the hard one finish, leave, and be replaced."""
    if time_to_look() and memory.after_request(settings.worker_soft_limit_mb, settings.worker_hard_limit_mb):
        worker.alive = False  # the switch max_requests turns
        worker.log.warning("this web worker is above WORKER_HARD_LIMIT_MB: another takes its place")


def worker_exit(server, worker):
    """End the engines; who is still at work writes its lines at once."""
    logs.write_deferred(more=False)
    if app := getattr(worker, "wsgi", None):  # absent when the app failed to load
        app.extensions["services"].close()
