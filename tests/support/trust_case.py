"""A gateway in front of the fixture registry, for cases about trust roots. Standard library only."""
import contextlib
import functools
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("GATEHOUSE", TOP / "build" / "gatehouse"))
EMAIL = {"issuer": "https://accounts.example.test", "subject": "release@example.test"}


def fixtures():
    """../shared/fixtures; skipped where it is absent."""
    for parent in TOP.parents:
        if (parent / "shared" / "fixtures" / "serve.py").exists():
            return parent / "shared" / "fixtures"
    pytest.skip("../shared/fixtures is absent")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, timeout=20, what="the condition"):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.05)


def run(*arguments, environment=None, **options):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(environment or {})}, **options)


def request(port, method, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def fixture_registry(folder):
    port = free_port()
    process = subprocess.Popen([sys.executable, folder / "serve.py", "--port", str(port)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)

    def is_up():
        with contextlib.suppress(OSError):
            return request(port, "GET", "/v2/")[0] == 200

    try:
        wait_until(is_up, what="the registry")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def file_server(folder):
    """A folder over http; the paths asked for are in `asked`."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            server.asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.asked = []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Gateway:
    """`serve` with a configuration from a dict (JSON is YAML)."""

    def __init__(self, folder, config, environment=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.admin = free_port(), free_port()
        self.file = self.folder / "gatehouse.yaml"
        self.log_file = self.folder / "gatehouse.log"
        self.storage = self.folder / "store"
        self.config = {"listen": f"127.0.0.1:{self.port}", "admin": {"address": f"127.0.0.1:{self.admin}"},
                       "storage": {"path": str(self.storage), "max_size": "1GiB"}, **config}
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.write()

    def write(self, **changes):
        self.config.update(changes)
        self.file.write_text(json.dumps(self.config, indent=1))

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([BINARY, "serve", "-c", self.file], stdout=log, stderr=log, env=self.environment)

        def is_up():
            assert self.process.poll() is None, f"the gateway ended:\n{self.log()[-4000:]}"
            with contextlib.suppress(OSError):
                return request(self.port, "GET", "/v2/")[0] == 200

        wait_until(is_up, what="the gateway")

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        return self.log_file.read_text()

    def pull(self, name, reference):
        status, headers, body = request(self.port, "GET", f"/v2/{name}/manifests/{reference}")
        document = json.loads(body)
        cause = document["errors"][0]["detail"].get("cause") if status >= 400 else None
        return status, cause, headers.get("x-gatehouse-decision")

    def reload(self):
        return request(self.admin, "POST", "/v1/reload")[0]

    def ready(self):
        return json.loads(request(self.admin, "GET", "/readyz")[2])

    def metric(self, name, **labels):
        text = request(self.admin, "GET", "/metrics")[2].decode()
        total = None
        for line in text.splitlines():
            found = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if found and found[1] == name:
                have = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total = (total or 0) + float(found[3])
        return total

    def audit(self, kind):
        lines = (self.storage / "audit.jsonl").read_text().splitlines()
        return [r for r in map(json.loads, lines) if r["type"] == kind]


def keyless_config(registry, root, identity=EMAIL, **more):
    """One policy: everything in registry.test/keyless by IDENTITY under ROOT (a mapping of `roots`)."""
    return {"upstreams": {"registry.test": {"url": registry}}, "roots": {"acme": root},
            "signers": {"ci": {"keyless": {"root": "acme", **identity}}}, "workers": 2,
            "policies": [{"name": "ours", "images": ["registry.test/keyless/**"], "require": [{"signature": "ci"}]}], **more}
