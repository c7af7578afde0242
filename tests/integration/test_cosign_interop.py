"""Signatures freshly made by the real cosign 2 verify through the gateway: with a key, legacy and as a bundle; with a
time stamp, and with a certificate, under a private trusted root."""
import base64
import http.server
import json
import os
import subprocess
import threading

import demo_image
import pytest
from cosign_case import cosign, judge, make_pair, push, registry, run_cosign  # noqa: F401 - fixtures

ISSUER, SUBJECT = "https://accounts.example.test", "release@example.test"


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


class Authority:
    """A CA with a code signing certificate for SUBJECT and a time-stamp signer; the trusted root that names both."""

    def __init__(self, folder):
        self.folder, self.trusted_root = folder, folder / "trusted_root.json"
        (folder / "openssl.cnf").write_text(f"""
[req]
distinguished_name = dn
prompt = no
[dn]
CN = acme
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
subjectAltName = critical,email:{SUBJECT}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
1.3.6.1.4.1.57264.1.8 = ASN1:UTF8String:{ISSUER}
1.3.6.1.4.1.57264.1.1 = DER:{ISSUER.encode().hex()}
[stamp]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = service
[service]
serial = {folder}/serial
signer_cert = {folder}/stamp.pem
certs = {folder}/ca.pem
signer_key = {folder}/stamp.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
""")
        (folder / "serial").write_text("01\n")
        for name in ("ca", "leaf", "stamp"):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / f"{name}.key")
        openssl("req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/O=acme/CN=acme-ca", "-days", "365", "-config",
                folder / "openssl.cnf", "-extensions", "ca", "-out", folder / "ca.pem")
        for name, subject in (("leaf", "/"), ("stamp", "/O=acme/CN=acme-tsa")):
            openssl("req", "-new", "-key", folder / f"{name}.key", "-subj", subject, "-config", folder / "openssl.cnf", "-out",
                    folder / f"{name}.csr")
            openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
                    "-days", "90", "-CAcreateserial", "-extfile", folder / "openssl.cnf", "-extensions", name, "-out",
                    folder / f"{name}.pem")
        window = {"validFor": {"start": "2024-01-01T00:00:00Z"}, "subject": {"organization": "acme", "commonName": "acme"}}
        self.trusted_root.write_text(json.dumps({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": [], "ctlogs": [],
            "certificateAuthorities": [{**window, "uri": "https://fulcio.acme.test", "certChain": self.chain("ca")}],
            "timestampAuthorities": [{**window, "uri": "https://tsa.acme.test", "certChain": self.chain("stamp", "ca")}]}))

    def chain(self, *names):
        return {"certificates": [{"rawBytes": base64.b64encode(
            openssl("x509", "-in", self.folder / f"{n}.pem", "-outform", "DER")).decode()} for n in names]}

    def stamp(self, query):
        (self.folder / "query").write_bytes(query)
        return openssl("ts", "-reply", "-config", self.folder / "openssl.cnf", "-queryfile", self.folder / "query")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stamper(authority):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            answer = authority.stamp(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/api/v1/timestamp"
    server.shutdown()
    server.server_close()


@pytest.fixture
def sign(cosign, registry, tmp_path):
    """sign(repository, *options, key=file): pushes an image, has cosign sign it, gives its digest."""
    def make(repository, *options, key):
        digest = push(registry, repository)
        run_cosign(cosign, "sign", tmp_path, "--tlog-upload=false", "--key", key, *options,
                   f"{registry}/{repository}@{digest}")
        return digest

    return make


@pytest.fixture
def pair(cosign, tmp_path):
    return make_pair(cosign, tmp_path)


@pytest.mark.parametrize("form", ["legacy", "bundle"])
def test_signature_by_key_verifies_and_anothers_does_not(tmp_path, registry, sign, pair, form):
    options = ["--new-bundle-format"] if form == "bundle" else []
    digest = sign(f"key/{form}", *options, key=pair[0])
    signer = {"keys": [{"file": str(pair[1])}]}
    assert judge(tmp_path / "g", registry, signer, f"key/{form}", digest) == (200, None)
    _, other = demo_image.make_keys(str(tmp_path), "other")
    status, cause = judge(tmp_path / "h", registry, {"keys": [{"file": other}]}, f"key/{form}", digest)
    assert (status, cause) in ((403, "sig_invalid"), (403, "key_unknown"))


@pytest.mark.parametrize("form", ["legacy", "bundle"])
def test_time_stamp_of_a_private_authority_is_proved(tmp_path, registry, sign, pair, authority, stamper, form):
    options = ["--new-bundle-format"] if form == "bundle" else []
    signer = {"keys": [{"file": str(pair[1])}], "timestamp": "required", "root": "acme"}
    digest = sign(f"stamped/{form}", *options, "--timestamp-server-url", stamper, key=pair[0])
    assert judge(tmp_path / "g", registry, signer, f"stamped/{form}", digest, authority.trusted_root) == (200, None)
    digest = sign(f"unstamped/{form}", *options, key=pair[0])
    assert judge(tmp_path / "h", registry, signer, f"unstamped/{form}", digest, authority.trusted_root)[0] == 403


def test_certificate_of_a_private_root_gives_the_identity(tmp_path, cosign, registry, sign, authority, stamper):
    imported = subprocess.run([cosign, "import-key-pair", "--key", authority.folder / "leaf.key"], cwd=tmp_path, text=True,
                              capture_output=True, env={**os.environ, "COSIGN_PASSWORD": ""})
    assert imported.returncode == 0, imported.stderr
    digest = sign("identity/legacy", "--certificate", authority.folder / "leaf.pem", "--certificate-chain",
                  authority.folder / "ca.pem", "--timestamp-server-url", stamper, key=tmp_path / "import-cosign.key")
    keyless = {"root": "acme", "issuer": ISSUER, "subject": SUBJECT, "tlog": "off", "timestamp": "required", "sct": "off"}
    assert judge(tmp_path / "g", registry, {"keyless": keyless}, "identity/legacy", digest, authority.trusted_root) == (200, None)
    keyless["subject"] = "other@example.test"
    assert judge(tmp_path / "h", registry, {"keyless": keyless}, "identity/legacy", digest,
                 authority.trusted_root) == (403, "identity_mismatch")
