"""A RabbitMQ node of its own on free ports of the loopback interface."""

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.processes import descendants, free_port, until

SERVER = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin") or shutil.which("rabbitmq-server")
START_SECONDS = 180
CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users = none
log.console = true
log.console.level = error
log.file = false
"""


class RabbitMQ:
    """Started when it is made; `kill` and `start` it again: messages that were confirmed are there then."""

    def __init__(self, folder: Path) -> None:
        if SERVER is None or shutil.which("epmd") is None:
            pytest.skip("rabbitmq-server is not installed; `make test` as root installs it")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        (folder / "rabbitmq.conf").write_text(CONFIG.format(port=self.port))
        (folder / "plugins").write_text("[].")
        epmd_port = free_port()
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_NODENAME": f"pam{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._log = (folder / "log").open("ab")
        # In the foreground and ended with the node: one that the node starts itself stays behind it.
        self._names = subprocess.Popen(
            ["epmd", "-address", "127.0.0.1", "-port", str(epmd_port)],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [SERVER], env=self._environment, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL
        )
        until(
            self._answers,
            "RabbitMQ answers",
            START_SECONDS,
            said=lambda: Path(self._log.name).read_text()[-2000:],
        )

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as connection,
        ):
            connection.settimeout(5)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(7))  # Connection.Start: it takes clients
        return False

    def kill(self) -> None:
        """As its machine ends that loses its power."""
        pids = [self._process.pid, *descendants(self._process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._names.kill()
        self._names.wait()
        self._log.close()
