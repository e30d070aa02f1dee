"""A server of the standard library, which wakes up twice a second: it asks the database first."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.live.services.wire_client import ask, connect


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """The head and the beginning at once, the rest when the database has answered."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"1\r\n4\r\n")
        self.wfile.flush()
        ask(connect(), "update books set amount = 1")
        self.wfile.write(b"1\r\n2\r\n0\r\n\r\n")


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Answers).serve_forever()
