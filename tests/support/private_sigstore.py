"""A private Sigstore for one test run: Fulcio, a CT log, Rekor (the API of version 1, and of version 2), a time-stamp authority,
each as much of its HTTP API as signing clients use, on loopback. Tokens are believed without a check: whoever asks is who
he says. Needs Debian's python3-cryptography, and openssl for time stamps."""
import base64
import datetime
import hashlib
import http.server
import json
import pathlib
import struct
import subprocess
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

FULCIO = "1.3.6.1.4.1.57264.1."
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
START = "2024-01-01T00:00:00Z"


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text)


def canonical(document):
    """RFC 8785 for what logs write: ASCII keys, integers, strings."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data):
    return hashlib.sha256(data).digest()


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def ecdsa(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def der_utf8(text):
    data = text.encode()
    assert len(data) < 128
    return bytes([0x0C, len(data)]) + data


# ---- certificates ----

class Authority:
    """A root and an intermediate that issues for code signing; the CT log that every certificate is in."""

    def __init__(self):
        self.root_key, self.key, self.ct_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root = self.make_ca("private-root", self.root_key, None, self.root_key, 1)
        self.certificate = self.make_ca("private-intermediate", self.key, self.root, self.root_key, 0)

    @staticmethod
    def make_ca(name, key, issuer, issuer_key, depth):
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "private.test"),
                             x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=365))
                   .add_extension(x509.BasicConstraints(True, depth), True)
                   .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
        if issuer:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
        return builder.sign(issuer_key, hashes.SHA256())

    def issue(self, public_key, claims):
        """As Fulcio does: ten minutes, the subject as SAN, issuer and workflow as extensions, an embedded SCT."""
        now = datetime.datetime.utcnow().replace(microsecond=0)
        name = claims.get("email")
        san = x509.RFC822Name(name) if name else x509.UniformResourceIdentifier(claims["sub"])
        builder = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self.certificate.subject)
                   .public_key(public_key).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(seconds=5)).not_valid_after(now + datetime.timedelta(minutes=10))
                   .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
                   .add_extension(x509.SubjectAlternativeName([san]), True)
                   .add_extension(x509.UnrecognizedExtension(ObjectIdentifier(FULCIO + "1"), claims["iss"].encode()), False)
                   .add_extension(x509.UnrecognizedExtension(ObjectIdentifier(FULCIO + "8"), der_utf8(claims["iss"])), False))
        bare = builder.sign(self.key, hashes.SHA256())
        # The log signs the certificate as it is without the list; added last, the list takes nothing else along.
        return builder.add_extension(x509.UnrecognizedExtension(SCT_LIST, self.sct_list(bare)), False).sign(self.key, hashes.SHA256())

    def sct_list(self, certificate):
        tbs = certificate.tbs_certificate_bytes
        stamp = int(time.time() * 1000)
        signed = (b"\0\0" + struct.pack(">QH", stamp, 1) + sha256(spki(self.key)) + len(tbs).to_bytes(3, "big") + tbs + b"\0\0")
        signature = ecdsa(self.ct_key, signed)
        sct = (b"\0" + sha256(spki(self.ct_key)) + struct.pack(">Q", stamp) + b"\0\0" + b"\4\3" +
               struct.pack(">H", len(signature)) + signature)
        inner = struct.pack(">H", len(sct)) + sct
        value = struct.pack(">H", len(inner)) + inner
        return bytes([0x04, 0x82]) + struct.pack(">H", len(value)) + value if len(value) > 255 else \
            bytes([0x04, 0x81, len(value)]) + value if len(value) > 127 else bytes([0x04, len(value)]) + value


# ---- logs ----

class Tree:
    """RFC 6962, over leaf hashes, the slow way."""

    def __init__(self):
        self.leaves = []

    def append(self, body):
        self.leaves.append(sha256(b"\0" + body))
        return len(self.leaves) - 1

    def root(self, leaves=None):
        leaves = self.leaves if leaves is None else leaves
        if len(leaves) == 1:
            return leaves[0]
        half = self.half(len(leaves))
        return sha256(b"\1" + self.root(leaves[:half]) + self.root(leaves[half:]))

    @staticmethod
    def half(size):
        return 1 << (size - 1).bit_length() - 1

    def proof(self, index, leaves=None):
        leaves = self.leaves if leaves is None else leaves
        if len(leaves) == 1:
            return []
        half = self.half(len(leaves))
        if index < half:
            return self.proof(index, leaves[:half]) + [self.root(leaves[half:])]
        return self.proof(index - half, leaves[half:]) + [self.root(leaves[:half])]


def checkpoint(origin, tree, name, key_hint, sign):
    text = f"{origin}\n{len(tree.leaves)}\n{b64(tree.root())}\n"
    return f"{text}\n— {name} {b64(key_hint + sign(text.encode()))}\n"


class RekorV1:
    SHARD = 1000  # entries of earlier shards: the global index differs from the tree's own

    def __init__(self):
        self.key, self.tree, self.lock = ec.generate_private_key(ec.SECP256R1()), Tree(), threading.Lock()
        self.tree_id = 0x1234567890ABCDEF
        self.tree.append(b"an earlier entry")  # so that proofs have something to prove

    @property
    def log_id(self):
        return sha256(spki(self.key))

    @staticmethod
    def canonicalize(proposed):
        kind, version, spec = proposed["kind"], proposed["apiVersion"], proposed["spec"]
        if kind == "hashedrekord":
            body = {"data": {"hash": {k: spec["data"]["hash"][k] for k in ("algorithm", "value")}},
                    "signature": {"content": spec["signature"]["content"],
                                  "publicKey": {"content": spec["signature"]["publicKey"]["content"]}}}
        elif kind == "dsse":
            text = spec["proposedContent"]["envelope"]
            envelope = json.loads(text)
            body = {"envelopeHash": {"algorithm": "sha256", "value": sha256(text.encode()).hex()},
                    "payloadHash": {"algorithm": "sha256", "value": sha256(unb64(envelope["payload"])).hex()},
                    "signatures": [{"signature": envelope["signatures"][0]["sig"],
                                    "verifier": spec["proposedContent"]["verifiers"][0]}]}
        elif kind == "intoto" and version == "0.0.2":
            content = spec["content"]
            envelope = content["envelope"]
            payload = unb64(unb64(envelope["payload"]))
            whole = {"payloadType": envelope["payloadType"], "payload": unb64(envelope["payload"]).decode(),
                     "signatures": [{"sig": unb64(s["sig"]).decode()} for s in envelope["signatures"]]}
            given = content.get("hash") or {"algorithm": "sha256", "value": sha256(json.dumps(whole).encode()).hex()}
            body = {"content": {"envelope": {"payloadType": envelope["payloadType"],
                                             "signatures": [{k: s[k] for k in ("keyid", "publicKey", "sig") if s.get(k)}
                                                            for s in envelope["signatures"]]},
                                "hash": given,
                                "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hex()}}}
        else:
            raise ValueError(f"{kind} {version}")
        return canonical({"apiVersion": version, "kind": kind, "spec": body})

    def add(self, proposed):
        """The answer of POST /api/v1/log/entries: its id, and what stands under it."""
        body = self.canonicalize(proposed)
        with self.lock:
            index = self.tree.append(body)
            now = int(time.time())
            entry = {"body": b64(body), "integratedTime": now, "logID": self.log_id.hex(), "logIndex": self.SHARD + index}
            origin = f"rekor.private.test - {self.tree_id}"
            proof = {"checkpoint": checkpoint(origin, self.tree, "rekor.private.test", self.log_id[:4],
                                              lambda text: ecdsa(self.key, text)),
                     "hashes": [h.hex() for h in self.tree.proof(index)], "logIndex": index,
                     "rootHash": self.tree.root().hex(), "treeSize": len(self.tree.leaves)}
            promise = b64(ecdsa(self.key, canonical(entry)))
            uuid = f"{self.tree_id:016x}{self.tree.leaves[index].hex()}"
        return uuid, {uuid: {**entry, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}


class RekorV2:
    def __init__(self, origin):
        self.origin, self.key = origin, ed25519.Ed25519PrivateKey.generate()
        self.tree, self.lock = Tree(), threading.Lock()
        self.tree.append(b"an earlier entry")

    @property
    def raw_key(self):
        return self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    @property
    def log_id(self):
        return sha256(self.origin.encode() + b"\n\1" + self.raw_key)

    def add(self, request):
        asked = request["hashedRekordRequestV002"]
        verifier = asked["signature"]["verifier"]
        material = {k: verifier[k] for k in ("publicKey", "x509Certificate") if k in verifier}
        details = verifier["keyDetails"]
        hashed = "SHA2_384" if details.endswith("384") else "SHA2_512" if details.endswith(("512", "_PH")) else "SHA2_256"
        body = canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
            "data": {"algorithm": hashed, "digest": asked["digest"]},
            "signature": {"content": asked["signature"]["content"],
                          "verifier": {"keyDetails": details, **material}}}}})
        with self.lock:
            index = self.tree.append(body)
            return {"logIndex": str(index), "logId": {"keyId": b64(self.log_id)},
                    "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"}, "canonicalizedBody": b64(body),
                    "inclusionProof": {"logIndex": str(index), "rootHash": b64(self.tree.root()),
                                       "treeSize": str(len(self.tree.leaves)), "hashes": [b64(h) for h in self.tree.proof(index)],
                                       "checkpoint": {"envelope": checkpoint(self.origin, self.tree, self.origin, self.log_id[:4],
                                                                             self.key.sign)}}}


# ---- time stamps ----

class Stamper:
    """RFC 3161 by openssl."""

    def __init__(self, folder):
        self.folder, self.lock = folder, threading.Lock()
        self.key, self.ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.ca = Authority.make_ca("private-tsa-root", self.ca_key, None, self.ca_key, 0)
        now = datetime.datetime.utcnow()
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "private.test"),
                          x509.NameAttribute(NameOID.COMMON_NAME, "private-tsa")])
        self.certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(self.ca.subject).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=300))
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key()), False)
            .sign(self.ca_key, hashes.SHA256()))
        (folder / "tsa.key").write_bytes(private_pem(self.key))
        (folder / "tsa.pem").write_text(pem(self.certificate))
        (folder / "tsa-ca.pem").write_text(pem(self.ca))
        (folder / "tsa-chain.pem").write_text(pem(self.certificate) + pem(self.ca))
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(f"""[tsa]
default_tsa = service
[service]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/tsa-ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
""")

    def stamp(self, query):
        with self.lock:
            (self.folder / "query").write_bytes(query)
            return subprocess.run(["openssl", "ts", "-reply", "-config", self.folder / "tsa.cnf", "-queryfile",
                                   self.folder / "query"], check=True, capture_output=True).stdout


# ---- all of it over HTTP ----

def token(issuer, **claims):
    """A token as an identity provider gives it; nobody here checks its signature."""
    now = int(time.time())
    parts = ({"alg": "RS256", "typ": "JWT"}, {"iss": issuer, "aud": "sigstore", "iat": now, "exp": now + 600, **claims})
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def claims_of(text):
    part = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class PrivateSigstore:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.authority, self.rekor = Authority(), RekorV1()
        self.stamper = Stamper(self.folder)
        self.asked, outer = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self):
                outer.answer(self, b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.address}"
        self.rekor_v2 = RekorV2("127.0.0.1")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.write_trust()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # -- requests --

    def answer(self, request, body):
        path = request.path.split("?")[0]
        self.asked.append((request.command, path))
        try:
            status, kind, data, headers = self.route(request, path, body)
        except Exception as error:  # noqa: BLE001 - a client's fault is told to it, and fails the test there
            status, kind, data, headers = 400, "application/json", json.dumps({"code": 400, "message": repr(error)}).encode(), {}
        request.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def route(self, request, path, body):
        if path == "/fulcio/api/v2/signingCert":
            return self.certify(json.loads(body), request.headers["Authorization"].split()[-1])
        if path == "/fulcio/api/v1/signingCert":
            return self.certify_v1(json.loads(body), request.headers["Authorization"].split()[-1])
        if path == "/rekor1/api/v1/log/entries":
            uuid, entry = self.rekor.add(json.loads(body))
            return 201, "application/json", json.dumps(entry).encode(), {"ETag": uuid,
                                                                         "Location": f"/api/v1/log/entries/{uuid}"}
        if path == "/rekor1/api/v1/log/publicKey":
            return 200, "application/x-pem-file", public_pem(self.rekor.key), {}
        if path == "/rekor2/api/v2/log/entries":
            return 201, "application/json", json.dumps(self.rekor_v2.add(json.loads(body))).encode(), {}
        if path == "/tsa/api/v1/timestamp":
            return 201, "application/timestamp-reply", self.stamper.stamp(body), {}
        return 404, "application/json", b'{"code":404,"message":"nothing is here"}', {}

    def issue(self, key_pem, proof, bearer):
        claims = claims_of(bearer)
        key = serialization.load_pem_public_key(key_pem)
        key.verify(proof, (claims.get("email") or claims["sub"]).encode(), ec.ECDSA(hashes.SHA256()))
        return self.authority.issue(key, claims)

    def certify(self, request, bearer):
        asked = request["publicKeyRequest"]
        leaf = self.issue(asked["publicKey"]["content"].encode(), unb64(asked["proofOfPossession"]), bearer)
        chain = [pem(leaf), pem(self.authority.certificate), pem(self.authority.root)]
        return 200, "application/json", json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}).encode(), {}

    def certify_v1(self, request, bearer):
        key = unb64(request["publicKey"]["content"])
        key_pem = key if key.startswith(b"-----") else \
            b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(key) + b"-----END PUBLIC KEY-----\n"
        leaf = self.issue(key_pem, unb64(request["signedEmailAddress"]), bearer)
        chain = pem(leaf) + pem(self.authority.certificate) + pem(self.authority.root)
        return 201, "application/pem-certificate-chain", chain.encode(), {}

    # -- what clients and verifiers are told --

    def write_trust(self):
        (self.folder / "fulcio-chain.pem").write_text(pem(self.authority.certificate) + pem(self.authority.root))
        (self.folder / "fulcio-root.pem").write_text(pem(self.authority.root))
        (self.folder / "ct.pub").write_bytes(public_pem(self.authority.ct_key))
        (self.folder / "rekor1.pub").write_bytes(public_pem(self.rekor.key))
        (self.folder / "rekor2.pub").write_bytes(public_pem(self.rekor_v2.key))
        self.trusted_root = self.folder / "trusted_root.json"
        self.trusted_root.write_text(json.dumps(self.make_trusted_root()))

    def make_trusted_root(self):
        def chain(*certificates):
            return {"certificates": [{"rawBytes": b64(c.public_bytes(serialization.Encoding.DER))} for c in certificates]}

        def log(url, key, details, log_id):
            return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": {"keyId": b64(log_id)},
                    "publicKey": {"rawBytes": b64(spki(key)), "keyDetails": details, "validFor": {"start": START}}}

        window = {"validFor": {"start": START}, "subject": {"organization": "private.test", "commonName": "private"}}
        curve = "PKIX_ECDSA_P256_SHA_256"
        return {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.url + "/rekor1", self.rekor.key, curve, self.rekor.log_id),
                          log(self.url + "/rekor2", self.rekor_v2.key, "PKIX_ED25519", self.rekor_v2.log_id)],
                "ctlogs": [log(self.url + "/ct", self.authority.ct_key, curve, sha256(spki(self.authority.ct_key)))],
                "certificateAuthorities": [{**window, "uri": self.url + "/fulcio",
                                            "certChain": chain(self.authority.certificate, self.authority.root)}],
                "timestampAuthorities": [{**window, "uri": self.url + "/tsa",
                                          "certChain": chain(self.stamper.certificate, self.stamper.ca)}]}

    def signing_config(self, rekor=None, tsa=False, fulcio=True):
        """A file for `--signing-config`: with Rekor of version REKOR (None: no log), and time stamps."""
        def service(path, version):
            return {"url": self.url + path, "majorApiVersion": version, "validFor": {"start": START}, "operator": "private.test"}

        document = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [service("/fulcio", 1)] if fulcio else [], "oidcUrls": [],
                    "rekorTlogUrls": [service(f"/rekor{rekor}", rekor)] if rekor else [],
                    "tsaUrls": [service("/tsa/api/v1/timestamp", 1)] if tsa else [],
                    "rekorTlogConfig": {"selector": "ANY"} if rekor else {}, "tsaConfig": {"selector": "ANY"} if tsa else {}}
        path = self.folder / f"signing-config-{rekor}-{tsa}-{fulcio}.json"
        path.write_text(json.dumps(document))
        return path
