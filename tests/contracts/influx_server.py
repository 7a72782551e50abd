"""A real InfluxDB 1.x on loopback, and a proxy that gives it the 2.x way of writing."""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from contracts.ports import free_ports
from contracts.server_process import ServerProcess

CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = {max_body}
[continuous_queries]
  enabled = false
"""


class InfluxServer(ServerProcess):
    """`influxd` in a folder of its own; use it in `with`."""

    def __init__(
        self, program: Path, folder: Path, *, max_body: int = 25_000_000, config: str = CONFIG
    ) -> None:
        super().__init__(folder, program, "-config", folder / "influxdb.conf")
        self.port, rpc = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        text = config.format(folder=folder, port=self.port, rpc=rpc, max_body=max_body)
        (folder / "influxdb.conf").write_text(text, encoding="utf-8")

    def answers(self) -> bool:
        """Whether it takes questions."""
        try:
            urllib.request.urlopen(f"{self.url}/ping", timeout=2).close()
        except OSError:
            return False
        return True

    def query(self, text: str, database: str = "") -> str:
        body = urllib.parse.urlencode({"q": text, "db": database}).encode()
        with urllib.request.urlopen(f"{self.url}/query", body, timeout=30) as answer:
            return answer.read().decode()


PRECISION = {"us": "u", "ns": "n"}
Fault = Callable[["Handler", bytes], bool]


class Handler(BaseHTTPRequestHandler):
    """Passes everything on; `POST /api/v2/write` becomes `POST /write`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "RewritingProxy"

    def setup(self) -> None:
        super().setup()
        self.server.sockets.append(self.connection)

    def do_GET(self) -> None:
        self.pass_on(self.path, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urllib.parse.urlsplit(self.path)
        target = self.path
        if path.path == "/api/v2/write":
            asked = dict(urllib.parse.parse_qsl(path.query))
            database, _, policy = asked["bucket"].partition("/")
            precision = PRECISION.get(asked["precision"], asked["precision"])
            target = "/write?" + urllib.parse.urlencode(
                {"db": database, "rp": policy, "precision": precision}
            )
            self.server.writes += 1
        if self.server.faults and self.server.faults[0](self, body):
            return
        self.pass_on(target, body)

    def forward(self, target: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            passed = {"Content-Encoding", "Accept", "Authorization"}
            headers = {k: v for k, v in self.headers.items() if k in passed}
            scheme, _, known = headers.get("Authorization", "").partition(" ")
            if scheme == "Token" and ":" in known:  # 1.8 reads this, 1.6 does not
                headers["Authorization"] = "Basic " + base64.b64encode(known.encode()).decode()
            upstream.request(self.command, target, body or None, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def pass_on(self, target: str, body: bytes) -> None:
        try:
            status, headers, content = self.forward(target, body)
        except OSError:
            self.hang_up()
            return
        self.give(status, content, [h for h in headers if h[0].startswith("Content-Type")])

    def give(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def hang_up(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class RewritingProxy(ThreadingHTTPServer):
    """In front of InfluxDB 1.x; the first of `faults` sees every write and may answer itself."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: int, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_address[1]}"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.faults: list[Fault] = []
        self.writes = 0
        self.sockets: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is nothing to report."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it and every connection through it."""
        self.shutdown()
        self.server_close()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.thread.join(10)
