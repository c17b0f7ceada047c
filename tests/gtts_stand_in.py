"""
A stand-in for Google Translate's speech endpoint, since tests have no network: it is not Google.

It answers what gTTS 2.5.4 asks, with real speech (espeak-ng's, as mp3), or fails the way it is told to.
`python -m tests.gtts_stand_in TEXT` writes what it would send.
"""

import base64
import functools
import json
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.config import PROJECT


class GttsStandIn:
    """The server, on a port of its own; *behaviour* may be changed while it runs."""

    def __init__(self) -> None:
        self.behaviour = "speak"
        self.texts: list[str] = []
        self.languages: list[str] = []
        self.sounds: list[bytes] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._server.stand_in = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/batchexecute"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "GttsStandIn":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@functools.cache
def mp3(text: str) -> bytes:
    """
    Speech as Google sends it: frames, and no header before them.

    Spoken in a process of its own: espeak-ng has one state for a whole process, and a thread of this server beside
    the engine that a test has here ended in a segmentation fault now and then.
    """
    return subprocess.run(
        [sys.executable, "-m", "tests.gtts_stand_in", text], cwd=PROJECT, capture_output=True, check=True
    ).stdout


def speak(text: str) -> bytes:
    """What `mp3` gives, made here."""
    from app.engine_process.tts.compress import Compressor, Resampler
    from app.engine_process.tts.espeak import Espeak
    from app.engine_process.tts.synthesizer import SpeechOptions
    from app.speech.formats import AUDIO
    from app.speech.voices import find_espeak

    espeak = Espeak([(files.library, files.data) for files in find_espeak()])
    file = Resampler(Compressor(AUDIO["mp3"]._asdict(), 24000), espeak.sample_rate)
    spoken = b"".join(file.feed(samples) for samples in espeak.speak(text, SpeechOptions("en", "en")))
    spoken += file.finish()
    return spoken[spoken.index(b"\xff\xf3", spoken.index(b"Xing")) :]


class Answer(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        stand_in = self.server.stand_in
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = json.loads(urllib.parse.parse_qs(body)["f.req"][0])
        text, language, _slow, _null = json.loads(asked[0][0][1])
        stand_in.texts.append(text)
        stand_in.languages.append(language)
        if stand_in.behaviour == "speak":
            stand_in.sounds.append(mp3(text))
            sound = json.dumps([base64.b64encode(stand_in.sounds[-1]).decode()], separators=(",", ":"))
            row = [["wrb.fr", "jQ1olc", sound, None, None, None, "generic"]]
            self.answer(200, ")]}'\n\n" + json.dumps(row, separators=(",", ":")) + "\n")
        elif stand_in.behaviour == "no audio":
            self.answer(200, ')]}\'\n\n[["wrb.fr","jQ1olc",null,null,null,[3],"generic"]]\n')
        elif stand_in.behaviour == "not mp3":
            self.answer(200, '[["wrb.fr","jQ1olc","[\\"bm90IGF1ZGlv\\"]",null]]\n')
        elif stand_in.behaviour == "html":
            self.answer(200, "<html><body>Our systems have detected unusual traffic</body></html>")
        elif stand_in.behaviour == "silence":
            stand_in.closing.wait(60)
        elif stand_in.behaviour == "redirect":
            self.answer(302, "", Location=stand_in.url.replace("127.0.0.1", "localhost"))
        else:
            self.answer(int(stand_in.behaviour), "no")

    def answer(self, status: int, text: str, **headers: str) -> None:
        encoded = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    sys.stdout.buffer.write(speak(sys.argv[1]))
