"""CORS and the content security policy, as a real browser takes them."""

import contextlib
import http.server
import threading
from functools import partial

import pytest

from app.config import PROJECT

from ..server import Server
from .test_page import pytestmark, run  # noqa: F401 (the mark counts by its name)

KEY = "a-key-for-the-browser-0123456789"
CLIENT = PROJECT / "tests" / "node" / "node_modules" / "openai"


@contextlib.contextmanager
def origin(folder):
    """An origin of its own with a page, and OpenAI's client beside it."""

    class Files(http.server.SimpleHTTPRequestHandler):
        def guess_type(self, path):
            return "text/javascript" if path.endswith(("js", "mjs")) else "text/html"

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.long
@pytest.mark.skipif(not CLIENT.is_dir(), reason="OpenAI's client for Node is not installed")
def test_pages_of_allowed_origins_may_call_and_nothing_runs_in_ours(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>A page of somebody's</title><body>")
    (folder / "ran.js").write_text("window.ran = 'foreign'")
    (folder / "openai").symlink_to(CLIENT)
    with (
        origin(folder) as allowed,
        origin(folder) as other,
        Server(
            CORS_ORIGINS=f"https://app.example.com, {allowed}", API_KEYS=KEY, TTS_ENGINE="espeak"
        ) as server,
    ):
        run("rules.test.js", tmp_path, server, ALLOWED=allowed, OTHER=other, API_KEY=KEY)
