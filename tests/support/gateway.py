"""Runs a gateway for a test: configuration from a dict (JSON is YAML), requests, metrics, audit records, log. Standard library only."""
import collections
import contextlib
import http.client
import json
import os
import random
import re
import selectors
import signal
import socket
import subprocess
import time

BINARY = os.environ.get("GATEHOUSE", "build/gatehouse")
Answer = collections.namedtuple("Answer", "status headers body")


def free_port():
    """Below the range the kernel takes ports of outgoing connections from: nobody gets it before its server binds it."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def wait_until(condition, timeout=20, what="the condition"):
    """Asks again and again; the pause between keeps a loaded machine usable."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.005)


def request(port, method, path, headers=None, body=None, timeout=30):
    """One request on a connection of its own; header names in lower case, repeated ones joined with a comma."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        data = answer.read()
        fields = {}
        for name, value in answer.getheaders():
            fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
        return Answer(answer.status, fields, data)
    finally:
        connection.close()


def error_of(answer):
    """The one error of a registry error body; what is not one fails the test."""
    assert answer.headers["content-type"].split(";")[0] == "application/json", answer
    errors = json.loads(answer.body)["errors"]
    assert len(errors) == 1 and set(errors[0]) == {"code", "message", "detail"}, errors
    assert errors[0]["message"]
    return errors[0]


class Gateway:
    def __init__(self, folder, config, environment=None, ready=True):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.port, self.admin_port = free_port(), free_port()
        self.file = os.path.join(self.folder, "gatehouse.yaml")
        self.log_file = os.path.join(self.folder, "gatehouse.log")
        self.config = {"listen": f"127.0.0.1:{self.port}", "admin": {"address": f"127.0.0.1:{self.admin_port}"},
                       "storage": {"path": os.path.join(self.folder, "store"), "max_size": "1GiB"}, **config}
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.write_config()
        if ready:
            self.start()

    def write_config(self, **changes):
        self.config.update(changes)
        with open(self.file + ".new", "w") as out:
            json.dump(self.config, out, indent=1)
        os.replace(self.file + ".new", self.file)

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([BINARY, "serve", "-c", self.file], stdout=log, stderr=log, env=self.environment)
        wait_until(self.is_up, what="the gateway; its log: " + self.log_file)

    def is_up(self):
        assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}:\n{self.log_text()[-4000:]}"
        try:
            return request(self.admin_port, "GET", "/readyz").status == 200
        except OSError:
            return False

    def stop(self, timeout=30):
        """SIGTERM; gives the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.process = None
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    # ---- asking ----

    def get(self, path, method="GET", **headers):
        return request(self.port, method, path, {k.replace("_", "-"): v for k, v in headers.items()})

    def head(self, path, **headers):
        return self.get(path, "HEAD", **headers)

    def manifest(self, name, reference, method="GET", **headers):
        return self.get(f"/v2/{name}/manifests/{reference}", method, **headers)

    def blob(self, name, digest, method="GET", **headers):
        return self.get(f"/v2/{name}/blobs/{digest}", method, **headers)

    def ask_admin(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        return request(self.admin_port, method, path, body=data)

    def reload(self):
        return self.ask_admin("POST", "/v1/reload")

    def metrics_text(self):
        return self.ask_admin("GET", "/metrics").body.decode()

    def metric(self, name, **labels):
        """Sum of the samples of that name that carry these labels."""
        total = 0.0
        for line in self.metrics_text().splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total += float(found[3])
        return total

    def log_text(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_lines(self):
        lines = []
        for line in self.log_text().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def audit_file(self):
        return self.config.get("audit", {}).get("path") or os.path.join(self.folder, "store", "audit.jsonl")

    def audit(self):
        with open(self.audit_file(), encoding="utf-8") as log:
            return [json.loads(line) for line in log if line.endswith("\n")]

    def run(self, *arguments, timeout=60):
        """Another verb of the binary with this configuration."""
        return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout, env=self.environment, check=False)

    def verify(self, image):
        result = self.run("verify", "-c", self.file, "--output", "json", image)
        return result.returncode, json.loads(result.stdout)


class RawConnection:
    """A client socket whose pace the test decides."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self.data = b""

    def send(self, text):
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def get(self, path, close=False):
        self.send(f"GET {path} HTTP/1.1\r\nHost: gw\r\n{'Connection: close' if close else 'X-Test: 1'}\r\n\r\n")

    def read_head(self):
        while b"\r\n\r\n" not in self.data:
            piece = self.socket.recv(4096)
            assert piece, f"closed after {self.data!r}"
            self.data += piece
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return head.decode()

    def read_more(self, size=65536):
        piece = self.socket.recv(size)
        self.data += piece
        return len(piece)

    def read_to_end(self):
        """Everything up to the end or the break of the connection."""
        with contextlib.suppress(ConnectionResetError):
            while self.read_more(1 << 20):
                pass
        return self.data

    def close(self):
        self.socket.close()


def wait_readable(sock, timeout):
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(timeout))
