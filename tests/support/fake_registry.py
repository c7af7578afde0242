"""A registry in memory that misbehaves on demand and counts what it is asked. Standard library only.

Contents come in through put_blob() and put_manifest() (deploy/demo_image.py takes this object in place of a URL).
Every request is appended to `requests`; `on` maps a digest, a tag or a path to a fault:

    Fault(status=500)                    answers with that status
    Fault(cut=100_000, times=1)          sends that many bytes of the body, then resets the connection
    Fault(body=b"...")                   sends these bytes instead
    Fault(gate=threading.Event())        waits for the event before the answer; with cut: before the rest of the body
    Fault(headers={...})                 adds headers; with status=302 and Location: a redirect

`times` limits how often a fault strikes. Close with close(); `url` is where it listens.
"""
import base64
import collections
import hashlib
import http.server
import json
import re
import socket
import struct
import threading
import urllib.parse

INDEX = "application/vnd.oci.image.index.v1+json"


class Fault:
    def __init__(self, status=None, cut=None, body=None, gate=None, headers=None, times=None, methods=("GET", "HEAD")):
        self.status, self.cut, self.body, self.gate, self.headers = status, cut, body, gate, headers or {}
        self.times, self.methods = times, methods


Asked = collections.namedtuple("Asked", "method path query headers kind")


class Repository:
    def __init__(self):
        self.blobs, self.manifests, self.tags, self.referrers = {}, {}, {}, collections.defaultdict(list)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        """Connections that break are what these tests are about."""


class FakeRegistry:
    def __init__(self, referrers=True, ranges=True, token=None, basic=None, port=0, page=None):
        """token, basic: "user:password" that is asked for, through a token endpoint or directly."""
        self.repositories = collections.defaultdict(Repository)
        self.has_referrers, self.has_ranges, self.token, self.basic, self.page = referrers, ranges, token, basic, page
        self.on, self.requests, self.lock = {}, [], threading.Lock()
        self.changed = threading.Condition(self.lock)
        fake = self

        class Handler(_Handler):
            registry = fake

        self.server = _Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for fault in self.on.values():
            if fault.gate:
                fault.gate.set()

    # ---- contents ----

    def put_blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.repositories[repository].blobs[digest] = data
        return digest

    def put_manifest(self, repository, data, media_type, reference=None):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        here = self.repositories[repository]
        here.manifests[digest] = (media_type, data)
        if reference and not reference.startswith("sha256:"):
            here.tags[reference] = digest
        try:
            document = json.loads(data)
        except ValueError:
            return digest
        subject = document.get("subject") if isinstance(document, dict) else None
        if subject:
            kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
            here.referrers[subject["digest"]].append(
                {"mediaType": media_type, "digest": digest, "size": len(data), "artifactType": kind,
                 "annotations": document.get("annotations", {})})
        return digest

    # ---- counting ----

    def asked(self, method=None, part=""):
        with self.lock:
            return [r for r in self.requests if (method is None or r.method == method) and part in r.path]

    def wait_asked(self, count, method=None, part="", timeout=20):
        """Waits until so many such requests have come in."""
        with self.changed:
            return self.changed.wait_for(lambda: sum(1 for r in self.requests if (method is None or r.method == method)
                                                     and part in r.path) >= count, timeout)

    def forget(self):
        with self.lock:
            self.requests.clear()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = None
    timeout = 120

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def note(self, path, query, kind):
        with self.registry.changed:
            self.registry.requests.append(Asked(self.command, path, query, dict(self.headers), kind))
            self.registry.changed.notify_all()

    def reset(self):
        """RST, not FIN: the other side must not take it for an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def answer(self, status, body=b"", kind="application/json", headers=None, fault=None):
        total = len(body)
        if status == 200 and fault and fault.body is not None:
            body, total = fault.body, len(fault.body)
        first, ranged = 0, self.headers.get("Range")
        if status == 200 and ranged and self.registry.has_ranges and (m := re.fullmatch(r"bytes=(\d+)-(\d*)", ranged)):
            first, last = int(m[1]), int(m[2]) if m[2] else total - 1
            if first >= total:
                status, body, headers = 416, b"", {**(headers or {}), "Content-Range": f"bytes */{total}"}
            else:
                status, body = 206, body[first:last + 1]
                headers = {**(headers or {}), "Content-Range": f"bytes {first}-{first + len(body) - 1}/{total}"}
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**(headers or {}), **(fault.headers if fault else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.cut is not None and fault.cut < len(body):
            self.wfile.write(body[:fault.cut])
            if fault.gate:
                self.wfile.flush()
                fault.gate.wait(60)
                if not fault.headers.get("X-Goes-On"):
                    return self.reset()
                self.wfile.write(body[fault.cut:])
                return
            return self.reset()
        self.wfile.write(body)

    def error(self, status, code, message="no", headers=None):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers=headers)

    def fault_for(self, *names):
        for name in names:
            fault = self.registry.on.get(name)
            if fault is None or self.command not in fault.methods:
                continue
            with self.registry.lock:
                if fault.times is not None:
                    if fault.times <= 0:
                        continue
                    fault.times -= 1
            return fault
        return None

    def is_authorised(self):
        registry, given = self.registry, self.headers.get("Authorization", "")
        if registry.basic:
            if given == "Basic " + base64.b64encode(registry.basic.encode()).decode():
                return True
            self.error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="fake"'})
            return False
        if registry.token:
            if given == "Bearer secret-token-of-the-fake":
                return True
            challenge = f'Bearer realm="{registry.url}/token",service="fake",scope="repository:x:pull"'
            self.error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge})
            return False
        return True

    def do_token(self):
        wanted = "Basic " + base64.b64encode(self.registry.token.encode()).decode()
        if self.headers.get("Authorization") != wanted:
            return self.error(401, "UNAUTHORIZED")
        return self.answer(200, json.dumps({"token": "secret-token-of-the-fake", "expires_in": 300}).encode())

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        matched = re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers|tags)/([^/]+)", url.path)
        self.note(url.path, url.query, matched[2] if matched else "other")
        if url.path == "/token" and self.registry.token:
            return self.do_token()
        if not self.is_authorised():
            return None
        if url.path in ("/v2/", "/v2"):
            return self.answer(200, b"{}")
        fault = self.fault_for(matched[3] if matched else url.path, url.path)
        if fault and fault.gate and fault.cut is None:
            fault.gate.wait(60)
        if fault and fault.status:
            return self.answer(fault.status, b'{"errors":[{"code":"UNKNOWN","message":"fault"}]}', fault=fault)
        if not matched:
            return self.error(404, "UNSUPPORTED")
        name, kind, reference = matched.groups()
        here = self.registry.repositories.get(name)
        if here is None:
            return self.error(404, "NAME_UNKNOWN")
        return getattr(self, "do_" + kind)(here, name, reference, query, fault)

    do_HEAD = do_GET

    def do_manifests(self, here, name, reference, query, fault):
        digest = here.tags.get(reference, reference)
        if digest not in here.manifests:
            return self.error(404, "MANIFEST_UNKNOWN")
        kind, data = here.manifests[digest]
        return self.answer(200, data, kind, {"Docker-Content-Digest": digest}, fault)

    def do_blobs(self, here, name, digest, query, fault):
        data = here.blobs.get(digest) or (here.manifests.get(digest) or (None, None))[1]
        if data is None:
            return self.error(404, "BLOB_UNKNOWN")
        return self.answer(200, data, "application/octet-stream", {"Docker-Content-Digest": digest}, fault)

    def do_referrers(self, here, name, digest, query, fault):
        if not self.registry.has_referrers:
            return self.answer(404, b"404 page not found\n", "text/plain")
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": here.referrers.get(digest, [])}).encode()
        return self.answer(200, body, INDEX, fault=fault)

    def do_tags(self, here, name, word, query, fault):
        tags = sorted(here.tags)
        if "last" in query:
            tags = [t for t in tags if t > query["last"][0]]
        limit = int(query["n"][0]) if "n" in query else self.registry.page
        headers = {}
        if limit and limit < len(tags):
            tags = tags[:limit]
            headers["Link"] = f'</v2/{name}/tags/list?n={limit}&last={tags[-1]}>; rel="next"'
        return self.answer(200, json.dumps({"name": name, "tags": tags}).encode(), headers=headers, fault=fault)
