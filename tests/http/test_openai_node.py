"""OpenAI's client for Node against the real server."""

import os
import shutil
import subprocess

import pytest
import trustme

from app.config import PROJECT

from ..recordings import AUSTEN_SHORT
from .test_realtime_clients import samples

NODE = PROJECT / "tests" / "node"
node = pytest.mark.skipif(shutil.which("npm") is None, reason="Node is not installed on this machine")


def run(command, directory, **environment):
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@node
@pytest.mark.parametrize(
    "program", ["openai.test.js", pytest.param("realtime.test.js", marks=pytest.mark.long)]
)
def test_the_node_client_works(openai_server, tmp_path, program):
    said, certificate, authority = (
        tmp_path / name for name in ("said.pcm", "certificate.pem", "authority.pem")
    )
    said.write_bytes(samples(AUSTEN_SHORT).tobytes())
    made = trustme.CA()
    made.cert_pem.write_to_path(authority)
    made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    run(
        ["node", "--test", program], NODE,
        BASE_URL=f"{openai_server.url}/v1", RECORDING=str(AUSTEN_SHORT.path),
        SAID=str(said), CERTIFICATE=str(certificate), NODE_EXTRA_CA_CERTS=str(authority),
    )  # fmt: skip
