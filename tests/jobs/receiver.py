"""Whoever takes webhooks: a real HTTPS server on the loopback interface, with a certificate made for the test."""

import http.server
import ssl
import threading

import trustme


class Receiver:
    """Answers every POST with the next of *statuses*, the last one again and again; from `with` to its end."""

    def __init__(self, *statuses, name="localhost", drip=False, authority=None):
        self.statuses = list(statuses) or [200]
        self.drip = drip
        self.got = []  # (path, headers, body) of each request
        self.authority = authority or trustme.CA()
        self.certificate = self.authority.issue_cert(name)
        self.leave = threading.Event()

    def __enter__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                if receiver.drip:  # an answer that never becomes one
                    while not receiver.leave.wait(0.2):
                        self.wfile.write(b"H")
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # who does not trust the certificate hangs up

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(context)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.server.server_port
        self.url = f"https://localhost:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.leave.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def trusted_by(self, path):
        """A file for SSL_CERT_FILE."""
        self.authority.cert_pem.write_to_path(str(path))
        return str(path)
