"""The far end of a webhook: a real server on this machine that keeps what it was posted."""

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass
class FarEnd:
    """A receiver: its posts, and the status of its responses. `port` stays the same when it goes down and comes up."""

    port: int = 0
    status: int = 200
    posts: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    got_one: Event = field(default_factory=Event)
    may_answer: Event = field(default_factory=Event)
    server: ThreadingHTTPServer | None = None

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def up(self) -> None:
        far_end = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                far_end.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                far_end.headers.append(dict(self.headers))
                far_end.got_one.set()
                far_end.may_answer.wait(10)
                self.send_response(far_end.status)
                if far_end.status == 302:
                    self.send_header("Location", far_end.url("/elsewhere"))
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A caller that went away before the answer is what some tests are about."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
