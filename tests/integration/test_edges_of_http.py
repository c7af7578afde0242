"""Requests that are odd, upstreams whose answers are odd, TLS."""
import json
import os
import signal
import socket
import ssl
import subprocess

import demo_image
import pytest
from fake_registry import Fault
from gateway import RawConnection, error_of, wait_until

APP = "registry.test/team/app"


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


@pytest.mark.parametrize("head, status", [
    ("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET /v2/ HTTP/1.1\r\n\r\n", 400),
    ("GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
    ("GET /v2/ HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    (f"GET /v2/{'a' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("GET /v2/ HTTP/1.1\r\nHost: a\r\n" + "".join(f"X-{i}: y\r\n" for i in range(120)) + "\r\n", 431),
])
def test_ambiguous_or_oversized_requests_refused_with_json(gateway, head, status):
    client = RawConnection(gateway.port)
    client.send(head)
    answer = client.read_to_end()
    lines, _, body = answer.partition(b"\r\n\r\n")
    assert lines.split()[1] == str(status).encode()
    assert b"content-type: application/json" in lines.lower() and b"connection: close" in lines.lower()
    assert json.loads(body)["errors"][0]["message"]
    assert answer.startswith(b"HTTP/1.1 ") and b"\nHTTP/1.1 " not in answer and b"}HTTP/1.1 " not in answer


def test_pipelined_requests_answered_in_order(images, gateway):
    digest = images.signed()
    layer = images.parts("team/app", digest)[1]
    assert gateway.manifest(APP, "v1").status == 200
    client = RawConnection(gateway.port)
    client.send(f"GET /v2/ HTTP/1.1\r\nHost: g\r\n\r\nHEAD /v2/{APP}/manifests/v1 HTTP/1.1\r\nHost: g\r\n\r\n"
                f"GET /v2/{APP}/blobs/{layer} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
    answer = client.read_to_end()
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.endswith(images.registry.repositories["team/app"].blobs[layer])


@pytest.mark.parametrize("path", ["tags/list", "referrers/sha256:" + "0" * 64, "manifests/v1", "blobs/sha256:" + "0" * 64])
def test_upstream_html_errors_become_registry_errors(fake, images, gateway, path):
    fake.on[path.split("/")[1]] = Fault(status=418)
    answer = gateway.get(f"/v2/{APP}/{path}")
    assert answer.status >= 400
    error_of(answer)


def test_upstream_is_401_is_no_challenge_to_clients(fake, images, gateway):
    images.signed()
    fake.on["v1"] = Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="fake"'})
    answer = gateway.manifest(APP, "v1")
    assert answer.status in (403, 404, 502, 503) and "www-authenticate" not in answer.headers
    error_of(answer)


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/", "http://[::1]:9/x", "http://127.0.0.2:9/x", "file:///etc/passwd", "http://user:pw@evil.test/"])
def test_redirect_to_forbidden_places_not_followed(fake, images, gateway, location):
    digest = images.signed()
    layer = images.parts("team/app", digest)[1]
    assert gateway.manifest(APP, "v1").status == 200
    fake.on[layer] = Fault(status=307, headers={"Location": location})
    answer = gateway.blob(APP, layer)
    assert answer.status in (502, 503, 403), answer
    error_of(answer)


def test_redirects_in_a_circle_end(fake, images, gateway):
    digest = images.signed()
    layer = images.parts("team/app", digest)[1]
    assert gateway.manifest(APP, "v1").status == 200
    fake.on[layer] = Fault(status=307, headers={"Location": f"/v2/team/app/blobs/{layer}"})
    fake.forget()
    assert gateway.blob(APP, layer).status in (502, 503)
    assert len(fake.asked("GET", layer)) <= 18


def test_manifest_over_the_limit_refused(fake, images, make_gateway):
    gateway = make_gateway(fake, limits={"manifest": "64KiB"})
    digest = images.push(annotations={"big": "x" * 100_000})
    images.sign("team/app", digest)
    answer = gateway.manifest(APP, "v1")
    assert answer.status in (403, 502)
    assert error_of(answer)["detail"]["reason"] == "too_large"


@pytest.mark.parametrize("media_type", ["application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.docker.distribution.manifest.v1+json"])
def test_schema_1_refused(fake, images, gateway, media_type):
    data = json.dumps({"schemaVersion": 1, "name": "team/app", "tag": "old", "fsLayers": [], "history": [], "signatures": []}).encode()
    fake.put_manifest("team/app", data, media_type, "old")
    answer = gateway.manifest(APP, "old")
    assert answer.status in (403, 502)
    assert error_of(answer)["detail"]["reason"] in ("unsupported", "malformed")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schemaVersion":2,"schemaVersion":2}', b"\xff\xfe", b"{" * 5000,
                                  b'{"schemaVersion":2,"manifests":[],"layers":[]}'])
def test_manifests_that_are_none_refused(fake, images, gateway, data):
    fake.put_manifest("team/app", data, demo_image.IMAGE, "junk")
    answer = gateway.manifest(APP, "junk")
    assert answer.status in (403, 502), answer
    error_of(answer)


def test_accept_is_no_bar(images, gateway):
    images.signed()
    for accept in ("*/*", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json", "text/html"):
        assert gateway.manifest(APP, "v1", Accept=accept).status == 200
        assert gateway.manifest(APP, "v1", Accept=accept, Accept_Encoding="gzip, zstd").headers.get("content-encoding") is None


def test_many_junk_candidates_do_not_hide_a_good_one(fake, images, make_gateway):
    gateway = make_gateway(fake)
    digest, size = demo_image.push_image(fake, "team/app", "v1")
    images.sign("team/app", digest)
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    for i in range(80):
        empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": fake.put_blob("team/app", b"{}"), "size": 2}
        junk = b"junk %d" % i
        demo_image.push_manifest(fake, "team/app", {
            "schemaVersion": 2, "mediaType": demo_image.IMAGE, "artifactType": kind, "config": empty,
            "layers": [{"mediaType": kind, "digest": fake.put_blob("team/app", junk), "size": len(junk)}],
            "subject": {"mediaType": demo_image.IMAGE, "digest": digest, "size": size}})
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 200, answer.body


# ---- TLS ----

def certificate(folder, name, common_name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    f"/CN={common_name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"],
                   check=True, capture_output=True)
    os.chmod(f"{folder}/{name}.key", 0o600)


def tls_get(port, folder, path, versions=None, client=None, method="GET"):
    context = ssl.create_default_context(cafile=f"{folder}/server.crt")
    if versions:
        context.minimum_version = context.maximum_version = versions
    if client:
        context.load_cert_chain(f"{folder}/{client}.crt", f"{folder}/{client}.key")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
        tls.sendall(f"{method} {path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := tls.recv(1 << 16):
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), body, tls.version(), tls.getpeercert()


def test_tls_serves_blobs_and_takes_new_certificates(images, fake, make_gateway, tmp_path):
    certificate(tmp_path, "server", "one")
    gateway = make_gateway(fake, ready=False)
    gateway.write_config(listen=[{"address": f"127.0.0.1:{gateway.port}", "tls": {"certificate": f"{tmp_path}/server.crt", "key": f"{tmp_path}/server.key"}}])
    gateway.start()
    digest = images.signed(files={"big": os.urandom(1_500_000)})
    layer = images.parts("team/app", digest)[1]
    data = fake.repositories["team/app"].blobs[layer]
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        status, _, used, _ = tls_get(gateway.port, tmp_path, f"/v2/{APP}/manifests/v1", version)
        assert status == 200 and used == name
        for _ in range(2):
            status, body, _, _ = tls_get(gateway.port, tmp_path, f"/v2/{APP}/blobs/{layer}", version)
            assert status == 200 and body == data
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_get(gateway.port, tmp_path, "/v2/", ssl.TLSVersion.TLSv1_1)
    certificate(tmp_path, "server", "two")
    gateway.process.send_signal(signal.SIGHUP)

    def is_new():
        try:
            return ("commonName", "two") in tls_get(gateway.port, tmp_path, "/v2/")[3]["subject"][0]
        except ssl.SSLError:
            return False

    wait_until(is_new, what="the new certificate")


def test_mtls_clients_need_a_certificate(images, fake, make_gateway, tmp_path):
    for name in ("server", "client", "stranger"):
        certificate(tmp_path, name, name)
    gateway = make_gateway(fake, ready=False, clients={"mtls": True})
    gateway.write_config(listen=[{"address": f"127.0.0.1:{gateway.port}", "tls": {
        "certificate": f"{tmp_path}/server.crt", "key": f"{tmp_path}/server.key", "client_ca": f"{tmp_path}/client.crt"}}])
    gateway.start()
    images.signed()
    assert tls_get(gateway.port, tmp_path, f"/v2/{APP}/manifests/v1", client="client")[0] == 200
    for client in (None, "stranger"):
        try:
            status = tls_get(gateway.port, tmp_path, f"/v2/{APP}/manifests/v1", client=client)[0]
        except (ssl.SSLError, ConnectionError, IndexError):
            continue
        assert status in (401, 403)
