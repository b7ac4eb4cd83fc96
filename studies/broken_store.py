"""An S3 store for `reliability.py` (moto's server), reached through a front that breaks it at the n-th request.

The store keeps what it has, as real ones do. What is killed is the front, which every request passes; or, by the
front, the process that is in the middle of that request.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "faults"
#: what can go wrong with a store besides the process that uses it
DOWN = {"down": "its server is killed in the middle of a request, and is back soon", "away": "it is not back at all"}
PAUSE = 0.3  # seconds until a server is back
# moto looks whether a request is signed, and at nothing else of it.
SIGNED = {"Content-Type": "binary/octet-stream"}
SIGNED["Authorization"] = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, Signature=0"
SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class Store:
    """A bucket, and the front through which commands reach it. `stop` ends its process."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout is not None
        self.server = int(self.process.stdout.readline())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self.port}"
        os.environ |= {f"AWS_{name}": "made-up" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")}
        os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        self._ask("PUT", "")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _ask(self, method: str, key: str, data: bytes | None = None, query: str = "") -> bytes:
        url = f"http://127.0.0.1:{self.server}/{BUCKET}/{urllib.parse.quote(key)}{query}"
        request = urllib.request.Request(url, data=data, method=method, headers=SIGNED)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def _keys(self, prefix: str) -> list[str]:
        query = f"?list-type=2&max-keys=1000&prefix={urllib.parse.quote(prefix)}"
        return re.findall(r"<Key>(.*?)</Key>", self._ask("GET", "", query=query).decode())

    def fill(self, folder: Path, prefix: str) -> None:
        """Let the files of a folder be all that lies below `prefix`."""
        for key in self._keys(f"{prefix}/"):
            self._ask("DELETE", key)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._ask("PUT", f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def fetch(self, prefix: str, folder: Path) -> None:
        """Write what lies below `prefix` into a folder."""
        for key in self._keys(f"{prefix}/"):
            path = folder / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._ask("GET", key))

    @contextmanager
    def front(self, told: Path, kind: str = "", at: int = -1) -> Iterator[None]:
        """Let requests pass while the block runs, and the fault happen at that one.

        told: without a suffix, the files beside which `testing.faults.run` writes: `.pid`, read here, and `.calls`,
        which has the number of requests afterwards.
        """
        ended = threading.Event()
        counts = told.with_suffix(".requests")
        counts.write_text("0", encoding="ascii")

        def keep() -> None:
            process = self._front(told, kind, at)
            while not ended.wait(0.02):
                if process.poll() is not None and kind != "away":
                    time.sleep(PAUSE)
                    process = self._front(told, "", -1)
            process.kill()
            process.wait()

        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            self._wait()
            yield
        finally:
            ended.set()
            keeper.join()

    def _front(self, told: Path, kind: str, at: int) -> subprocess.Popen[bytes]:
        given = map(str, (self.port, self.server, told, kind, at))
        return subprocess.Popen([sys.executable, "-S", __file__, *given])

    def _wait(self) -> None:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.01)


class Front(BaseHTTPRequestHandler):
    """Passes requests on to the store; in the middle of one, it breaks something."""

    protocol_version = "HTTP/1.1"
    server_port, told, kind, at = 0, Path(), "", -1
    counting = threading.Lock()

    def do_GET(self) -> None:
        with self.counting:
            counts = self.told.with_suffix(".requests")
            number = int(counts.read_text(encoding="ascii"))
            counts.write_text(str(number + 1), encoding="ascii")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if number == self.at and self.at % 2 == 0:
            self.break_it()
        store = http.client.HTTPConnection("127.0.0.1", self.server_port)
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                store.putheader(name, value)
        store.endheaders(body)
        answer = store.getresponse()
        data = answer.read()
        if number == self.at and self.at % 2:
            self.break_it()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(data)
        store.close()

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def break_it(self) -> None:
        """Kill this server, or send the signal to the command; what is killed gets no answer."""
        if self.kind in DOWN:
            os.kill(os.getpid(), signal.SIGKILL)
        command = int(self.told.with_suffix(".pid").read_text(encoding="ascii"))
        os.kill(command, getattr(signal, f"SIG{self.kind.upper()}"))

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that was killed is what this is for."""


def main() -> None:
    """The front as a process: port, port of the store, `told`, kind and number of the request."""
    port, Front.server_port = map(int, sys.argv[1:3])
    Front.told, Front.kind, Front.at = Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
    _Server(("127.0.0.1", port), Front).serve_forever()


if __name__ == "__main__":
    main()
