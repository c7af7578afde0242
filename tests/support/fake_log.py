"""A transparency log over http: Rekor v1 (`rekor1`), Rekor v2 (`rekor2`) or plain tiles (`tiled`). It grows, forks,
shrinks, begins another tree, or goes away, as told. Keys are openssl's; standard library only otherwise."""
import base64
import hashlib
import http.server
import json
import pathlib
import re
import subprocess
import threading
import urllib.parse


def sha(data):
    return hashlib.sha256(data).digest()


def leaf(text):
    return sha(b"\0" + text.encode())


def half(n):
    return 1 << (n - 1).bit_length() - 1


def root(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = half(len(leaves))
    return sha(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def proof(m, leaves, is_whole=True):
    """PROOF and SUBPROOF of RFC 6962 section 2.1.2."""
    n = len(leaves)
    if m == n:
        return [] if is_whole else [root(leaves)]
    k = half(n)
    if m <= k:
        return proof(m, leaves[:k], is_whole) + [root(leaves[k:])]
    return proof(m - k, leaves[k:], False) + [root(leaves[:k])]


class LogKey:
    def __init__(self, folder, name, kind, key=None):
        self.kind = kind
        self.path = pathlib.Path(folder) / f"{name}.log.key"
        self.text = self.path.with_suffix(".text")
        if key is not None:
            self.path = key
        how = ["ed25519"] if kind == "ed25519" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        if key is None:
            subprocess.run(["openssl", "genpkey", "-algorithm", *how, "-out", self.path], check=True, capture_output=True)
        self.der = subprocess.run(["openssl", "pkey", "-in", self.path, "-pubout", "-outform", "DER"], check=True,
                                  capture_output=True).stdout

    def id(self, name):
        if self.kind == "ed25519":
            return sha(name.encode() + b"\n\1" + self.der[-32:])
        return sha(self.der)

    def sign(self, text):
        self.text.write_text(text, encoding="utf-8")
        digest = [] if self.kind == "ed25519" else ["-digest", "sha256"]
        return subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", *digest, "-inkey", self.path, "-in", self.text],
                              check=True, capture_output=True).stdout


class FakeLog:
    def __init__(self, folder, kind, name=None, size=1, key=None):
        self.kind, self.name = kind, name or kind
        self.key = LogKey(folder, self.name, "p256" if kind == "rekor1" else "ed25519", key)
        self.tree, self.history, self.closed = "1193", "a", []  # closed: (tree, leaves) that grow no more
        self.asked, self.is_broken, self.hide_parts, self.corrupt = [], False, False, None
        self.leaves = []
        self.server = None
        self.start(0)
        self.grow(size)

    def start(self, port=None):
        log = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                log.asked.append(self.path)
                status, body = log.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port if port is None else port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    close = stop

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def label(self):
        return f"127.0.0.1:{self.port}"

    def entry(self):
        """For trusted_root.json's tlogs."""
        origin = self.label
        return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256",
                "logId": {"keyId": base64.b64encode(self.key.id(origin)).decode()},
                "publicKey": {"keyDetails": "PKIX_ED25519" if self.key.kind == "ed25519" else "PKIX_ECDSA_P256_SHA_256",
                              "rawBytes": base64.b64encode(self.key.der).decode(),
                              "validFor": {"start": "2022-01-01T00:00:00Z"}}}

    # ---- what it does ----

    def show(self, leaves):
        """Everything changes at once, between two answers."""
        self.note_now = self.note(leaves, self.tree)
        self.leaves = leaves

    def grow(self, count=1):
        self.show(self.leaves + [leaf(f"{self.history}:{len(self.leaves) + i}") for i in range(count)])

    def fork(self, at=0, extra=0):
        """Another history from entry AT on, EXTRA entries longer."""
        self.history += "'"
        kept = self.leaves[:at]
        self.show(kept + [leaf(f"{self.history}:{i}") for i in range(at, len(self.leaves) + extra)])

    def shrink(self, count=1):
        self.show(self.leaves[:-count])

    def rotate(self, tree, size=1, keep=True):
        """Begin another tree; the old one is shown closed when it is kept."""
        if keep:
            self.closed.append((self.tree, self.leaves, self.note_now))
        self.tree = tree
        self.show([leaf(f"{tree}:{i}") for i in range(size)])

    # ---- what it says ----

    def note(self, leaves, tree):
        origin = f"rekor.test - {tree}" if self.kind == "rekor1" else self.label
        name = "rekor.test" if self.kind == "rekor1" else self.label
        text = f"{origin}\n{len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\n"
        signature = base64.b64encode(self.key.id(name)[:4] + self.key.sign(text)).decode()
        return f"{text}\n\u2014 {name} {signature}\n"

    def tile(self, level, index, width):
        hashes = [root(self.leaves[i << 8 * level:(i + 1) << 8 * level])
                  for i in range(index * 256, min((index + 1) * 256, len(self.leaves) >> 8 * level))]
        if (width is not None and len(hashes) < width) or (width is None and len(hashes) < 256) or \
                (width is not None and self.hide_parts and len(hashes) == 256):
            return 404, b""
        return 200, b"".join(hashes[:width])

    def answer(self, path):
        if self.is_broken:
            return 500, b"broken"
        if self.kind == "rekor1":
            return self.answer_v1(path)
        prefix = "/api/v2" if self.kind == "rekor2" else ""
        if path == f"{prefix}/checkpoint":
            return 200, self.note_now.encode()
        found = re.fullmatch(prefix + r"/tile/(\d)/((?:x\d{3}/)*)(\d{3})(?:\.p/(\d+))?", path)
        if found is None:
            return 404, b""
        index = int(found[2].replace("x", "").replace("/", "") + found[3])
        status, body = self.tile(int(found[1]), index, int(found[4]) if found[4] else None)
        return status, self.corrupt(body) if self.corrupt else body

    def answer_v1(self, path):
        where, _, query = path.partition("?")
        if where == "/api/v1/log":
            def one(tree, leaves, note):
                return {"rootHash": root(leaves).hex(), "signedTreeHead": note, "treeID": tree, "treeSize": len(leaves)}
            return 200, json.dumps({**one(self.tree, self.leaves, self.note_now),
                                    "inactiveShards": [one(*closed) for closed in self.closed]}).encode()
        if where == "/api/v1/log/proof":
            asked = dict(urllib.parse.parse_qsl(query))
            trees = {self.tree: self.leaves, **{tree: leaves for tree, leaves, _ in self.closed}}
            leaves = trees[asked["treeID"]][:int(asked["lastSize"])]
            hashes = [h.hex() for h in proof(int(asked["firstSize"]), leaves)]
            return 200, json.dumps({"hashes": self.corrupt(hashes) if self.corrupt else hashes,
                                    "rootHash": root(leaves).hex()}).encode()
        return 404, b""
