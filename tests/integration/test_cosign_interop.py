"""Signatures freshly made by the real cosign verify through the gateway: with a key, legacy and as a bundle; with a
time stamp, and with a certificate, under a private trusted root. cosign is built once, outside of the tree; the cases are
skipped where Go or the module proxy is missing."""
import base64
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests" / "support"), str(TOP / "deploy")]
import demo_image  # noqa: E402
from trust_case import Gateway, free_port, request, run, wait_until  # noqa: E402

MODULE = "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gatehouse-interop"
ISSUER, SUBJECT = "https://accounts.example.test", "release@example.test"


@pytest.fixture(scope="session")
def cosign():
    binary = shutil.which("cosign") or CACHE / "cosign"
    if not pathlib.Path(binary).exists():
        if shutil.which("go") is None:
            pytest.skip("neither cosign nor Go is installed")
        try:
            made = subprocess.run(["nice", "-n", "19", "go", "install", MODULE], capture_output=True, text=True, timeout=1500,
                                  env={**os.environ, "GOBIN": str(CACHE), "GOFLAGS": "-p=1"})
        except subprocess.TimeoutExpired:
            pytest.skip("cosign did not build in 25 minutes")
        if made.returncode != 0:
            pytest.skip("cosign could not be built: " + made.stderr.strip().splitlines()[-1])
    return str(binary)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    (folder / "config.yml").write_text(json.dumps({
        "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}}, "http": {"addr": f"127.0.0.1:{port}"}}))
    process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)

    def is_up():
        with contextlib.suppress(OSError):
            return request(port, "GET", "/v2/")[0] == 200

    wait_until(is_up, what="the registry")
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


class Authority:
    """A CA with a code signing certificate for SUBJECT and a time-stamp signer; the trusted root that names both."""

    def __init__(self, folder):
        self.folder = folder
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
        (folder / "trusted_root.json").write_text(json.dumps({
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
        digest, _ = demo_image.push_image(f"http://{registry}", repository, "v1")
        made = subprocess.run([cosign, "sign", "--yes", "--allow-http-registry", "--tlog-upload=false", "--key", str(key),
                               *map(str, options), f"{registry}/{repository}@{digest}"], capture_output=True, text=True,
                              timeout=120, env={**os.environ, "COSIGN_PASSWORD": "", "HOME": str(tmp_path),
                                                "TUF_ROOT": str(tmp_path / "tuf"), "NO_PROXY": "127.0.0.1"})
        assert made.returncode == 0, made.stderr
        return digest

    return make


@pytest.fixture
def pair(cosign, tmp_path):
    """A key pair made by cosign."""
    made = subprocess.run([cosign, "generate-key-pair"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "COSIGN_PASSWORD": ""})
    assert made.returncode == 0, made.stderr
    return tmp_path / "cosign.key", tmp_path / "cosign.pub"


def config(registry, signer, authority=None):
    return {"upstreams": {"registry.test": {"url": f"http://{registry}"}}, "workers": 1,
            "roots": {"acme": {"trusted_root": str(authority.folder / "trusted_root.json")}} if authority else {},
            "signers": {"release": signer},
            "policies": [{"name": "ours", "images": ["registry.test/**"], "require": [{"signature": "release"}]}]}


def judge(folder, registry, signer, repository, digest, authority=None):
    """What the gateway answers for the digest."""
    with Gateway(folder, config(registry, signer, authority)) as gateway:
        verified = run("verify", "-c", gateway.file, f"registry.test/{repository}@{digest}")
        status, cause, _ = gateway.pull(f"registry.test/{repository}", digest)
        assert verified.returncode == {200: 0, 403: 1}[status], verified.stdout
        return status, cause


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
    assert judge(tmp_path / "g", registry, signer, f"stamped/{form}", digest, authority) == (200, None)
    digest = sign(f"unstamped/{form}", *options, key=pair[0])
    assert judge(tmp_path / "h", registry, signer, f"unstamped/{form}", digest, authority)[0] == 403


def test_certificate_of_a_private_root_gives_the_identity(tmp_path, cosign, registry, sign, authority, stamper):
    imported = subprocess.run([cosign, "import-key-pair", "--key", authority.folder / "leaf.key"], cwd=tmp_path, text=True,
                              capture_output=True, env={**os.environ, "COSIGN_PASSWORD": ""})
    assert imported.returncode == 0, imported.stderr
    digest = sign("identity/legacy", "--certificate", authority.folder / "leaf.pem", "--certificate-chain",
                  authority.folder / "ca.pem", "--timestamp-server-url", stamper, key=tmp_path / "import-cosign.key")
    keyless = {"root": "acme", "issuer": ISSUER, "subject": SUBJECT, "tlog": "off", "timestamp": "required", "sct": "off"}
    assert judge(tmp_path / "g", registry, {"keyless": keyless}, "identity/legacy", digest, authority) == (200, None)
    keyless["subject"] = "other@example.test"
    assert judge(tmp_path / "h", registry, {"keyless": keyless}, "identity/legacy", digest,
                 authority) == (403, "identity_mismatch")
