"""A server on this machine that answers whatever a test wants, over real sockets."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor

VECTOR = b'{"status":"success","data":{"resultType":"vector","result":[]}}'


@dataclass
class Pretender:
    """Answers the next request with what `answer` writes; remembers what it was asked."""

    url: str = ""
    answer: "Callable[[BaseHTTPRequestHandler], None] | None" = None
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def says(self, body: bytes, *, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        """Answer every request alike."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answer = answer


@pytest.fixture
def server():
    pretender = Pretender()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            pretender.asked.append((self.path, parse_qs(body), dict(self.headers)))
            pretender.answer(self)

        def do_PUT(self):
            self.do_POST()

        def log_message(self, *arguments):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    pretender.url = f"http://127.0.0.1:{listener.server_port}"
    pretender.says(VECTOR)
    yield pretender
    pretender.released.set()
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture
def section_of():
    def make(url, **more):
        return PrometheusSection(
            **{
                "name": "shop",
                "url": url,
                "sensors": (
                    PromQLSensor(
                        sensor="request_queue_count", query="q{$selector}", metric="q", unit="count"
                    ),
                ),
                "targets": {"a": {"instance": "a:1"}, "b": {"instance": "b:1"}},
                **more,
            }
        )

    return make
