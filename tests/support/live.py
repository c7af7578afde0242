"""A registry to lie with and a real gateway to ask, for the integration tests. Standard library and openssl only.

    with Registry() as registry, Gateway(config) as gateway: ...
"""
import base64
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
import demo_image  # noqa: E402

GIVEN = [argument for argument in sys.argv[1:2] if os.path.isfile(argument) and os.access(argument, os.X_OK)]
BINARY = (GIVEN or [os.environ.get("GATEHOUSE", str(ROOT / "build/gatehouse"))])[0]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json["errors"][0]["message"]


def ask(port, method, path, headers=None, body=None, tls=None):
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind("127.0.0.1", port, timeout=30, **({"context": tls} if tls else {}))
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    result = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    connection.close()
    return result


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Registry:
    """Keeps what is pushed to it. users: {"name": ("password", {repositories})} makes it private, with Basic
    authentication or, with token=True, the bearer endpoint; the gateway's own pushes use `self.admin`."""

    def __init__(self, users=None, token=False):
        self.blobs, self.manifests, self.tags = {}, {}, {}
        self.log = []  # (method, path, user or "")
        self.authorizations = []
        self.users, self.token = dict(users or {}), token
        self.admin = basic("admin", "push-only")
        self.delay_s = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do(self):
                owner.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def user_of(self, authorization):
        if authorization.startswith("Basic "):
            name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
            return name if self.users.get(name, ("",))[0] == password else None
        if authorization.startswith("Bearer "):
            name = authorization[7:].removeprefix("token-of-")
            return name if name in self.users else None
        return ""

    def send(self, h, status, body=b"", headers=None):
        h.send_response(status)
        for key, value in (headers or {}).items():
            h.send_header(key, value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def serve(self, h):
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(h.path)
        authorization = h.headers.get("Authorization") or ""
        if h.command in ("POST", "PUT") or authorization == self.admin:
            return self.write(h, url, body)
        user = self.user_of(authorization)
        with self.lock:
            self.log.append((h.command, h.path, user))
            self.authorizations.append(authorization)
        if self.delay_s:
            time.sleep(self.delay_s)
        if url.path == "/token":
            if not user:
                return self.send(h, 401, b"{}")
            return self.send(h, 200, json.dumps({"token": f"token-of-{user}", "expires_in": 300}).encode(),
                             {"Content-Type": "application/json"})
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers|tags)/([^/]+)", url.path)
        if self.users:
            allowed = bool(user) and (match is None or match[1] in self.users[user][1])
            if self.token and authorization.startswith("Basic "):
                user = None
            if not user:
                challenge = (f'Bearer realm="{self.url}/token",service="r",scope="repository:{match[1] if match else ""}:pull"'
                             if self.token else 'Basic realm="r"')
                return self.send(h, 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}', {"WWW-Authenticate": challenge})
            if not allowed:
                return self.send(h, 403, b'{"errors":[{"code":"DENIED","message":"not yours"}]}')
        if url.path in ("/v2/", "/v2"):
            return self.send(h, 200, b"{}")
        return self.read(h, match)

    def read(self, h, match):
        if match is None or match[2] == "referrers":
            return self.send(h, 404, b"{}")
        repository, kind, reference = match[1], match[2], match[3]
        if kind == "tags":
            tags = sorted(t for r, t in self.tags if r == repository)
            return self.send(h, 200 if tags else 404, json.dumps({"name": repository, "tags": tags}).encode(),
                             {"Content-Type": "application/json"})
        if kind == "blobs":
            data = self.blobs.get((repository, reference))
            return self.send(h, 404, b"{}") if data is None else self.send(
                h, 200, data, {"Docker-Content-Digest": reference, "Content-Type": "application/octet-stream"})
        digest = self.tags.get((repository, reference), reference)
        found = self.manifests.get((repository, digest))
        if found is None:
            return self.send(h, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return self.send(h, 200, found[0], {"Docker-Content-Digest": digest, "Content-Type": found[1]})

    def write(self, h, url, body):
        """What demo_image pushes; never counted."""
        match = re.fullmatch(r"/v2/(.+?)/(manifests|blobs)/(.+)", url.path)
        if h.command == "HEAD":
            return self.send(h, 404)
        if h.command == "POST":
            return self.send(h, 202, b"", {"Location": url.path + "one"})
        if match[2] == "blobs":
            digest = urllib.parse.parse_qs(url.query)["digest"][0]
            self.blobs[(match[1], digest)] = body
        else:
            digest = demo_image.digest_of(body)
            self.manifests[(match[1], digest)] = (body, h.headers["Content-Type"])
            if not match[3].startswith("sha256:"):
                self.tags[(match[1], match[3])] = digest
        return self.send(h, 201, b"", {"Docker-Content-Digest": digest})

    def push(self, repository, tag, key=None, files=None):
        """Pushes a small image, signed with KEY where one is given; gives its digest."""
        users, self.users = self.users, {}
        try:
            digest, _ = demo_image.push_image(self.url, repository, tag, files)
            if key:
                demo_image.sign(self.url, repository, digest, key)
        finally:
            self.users = users
            self.log.clear()
            self.authorizations.clear()
        return digest

    def layers(self, repository, digest):
        return [d["digest"] for d in json.loads(self.manifests[(repository, digest)][0])["layers"]]


class Gateway:
    """A gateway process over a folder of files. FILES: {"g.yaml": text, …}; @PORT@, @ADMIN@ and @DIR@ are filled in."""

    def __init__(self, files, folder=None, modes=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="gatehouse-test."))
        self.port, self.admin_port = free_port(), free_port()
        self.write(files, modes)
        self.log_path = self.folder / "gateway.log"
        self.process = None

    def write(self, files, modes=None):
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            for mark, value in (("@PORT@", self.port), ("@ADMIN@", self.admin_port), ("@DIR@", self.folder)):
                text = text.replace(mark, str(value))
            path.write_text(text)
            path.chmod((modes or {}).get(name, 0o600))

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BINARY, "serve", "-c", str(self.folder / "g.yaml")], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if ask(self.admin_port, "GET", "/readyz").status == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("the gateway did not start:\n" + self.log())

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(self.log(), file=sys.stderr)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def get(self, path, method="GET", headers=None, body=None):
        return ask(self.port, method, path, headers, body)

    def manifest(self, name, reference, headers=None, method="GET"):
        return self.get(f"/v2/{name}/manifests/{reference}", method, headers)

    def reload(self):
        """By the signal; returns when the answer to it stands in the log."""
        before = self.log()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            new = self.log()[len(before):]
            if "configuration reloaded" in new or "reload failed" in new:
                return "configuration reloaded" in new
            time.sleep(0.02)
        raise AssertionError("no answer to SIGHUP:\n" + self.log())

    def metric(self, name, **labels):
        """The sum of the samples of that name with these labels."""
        total = 0.0
        for line in ask(self.admin_port, "GET", "/metrics").body.decode().splitlines():
            match = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? ([^ ]+)", line)
            if match and match[1] == name:
                found = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
                if all(found.get(k) == v for k, v in labels.items()):
                    total += float(match[3])
        return total

    def audit(self):
        path = self.folder / "store/audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []

    def run(self, *args):
        return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60)


HEAD = "listen: 127.0.0.1:@PORT@\nadmin: {address: 127.0.0.1:@ADMIN@}\nstorage: {path: store, max_size: 64MiB}\n"


def keys(folder, *names):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [demo_image.make_keys(str(folder), name)[0] for name in names]


def run(cases):
    """Runs the functions, prints a line each, gives an exit status."""
    import traceback

    failed = 0
    for case in cases:
        try:
            case()
            print(f"ok   {case.__name__}")
        except Exception:  # noqa: BLE001
            failed += 1
            print(f"FAIL {case.__name__}")
            traceback.print_exc()
    return 1 if failed else 0
