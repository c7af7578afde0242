#!/usr/bin/env python3
"""Who may pull: tokens of the gateway's own endpoint, credentials that are passed through, client certificates."""
import base64
import concurrent.futures
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from live import HEAD, Gateway, Registry, ask, basic, keys, run  # noqa: E402

NAME = "registry.test.internal/team/app"
REST = """signers: {ours: {keys: [{file: a.pub}]}}
policies: [{name: p, images: ["registry.test.internal/**"], require: [{signature: ours}]}]
"""


def bcrypt_line(user, password):
    done = subprocess.run([sys.executable, "-c", "import crypt; print(crypt.crypt(%r, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))"
                           % password], capture_output=True, text=True)
    return f"{user}:{done.stdout.strip()}\n"


def config(registry, clients, extra=""):
    return HEAD + f"upstreams: {{registry.test.internal: {{url: \"{registry.url}\"}}}}\nclients: {clients}\n" + extra + REST


def token(gateway, names=(NAME,), authorization=None, service=None, headers=None):
    query = [("scope", f"repository:{name}:pull") for name in names] + ([("service", service)] if service else [])
    answer = gateway.get("/token?" + urllib.parse.urlencode(query),
                         headers=({"Authorization": authorization} if authorization else {}) | (headers or {}))
    return answer if answer.status != 200 else "Bearer " + answer.json["token"]


def make_folder():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    return folder, keys(folder, "a")[0]


def test_anonymous_gateway_never_challenges():
    folder, key = make_folder()
    with Registry() as registry:
        registry.push("team/app", "v1", key)
        with Gateway({"g.yaml": config(registry, "{}")}, folder) as gateway:
            for path in ("/v2/", f"/v2/{NAME}/manifests/v1", f"/v2/{NAME}/manifests/none", "/v2/other.test/x/manifests/y"):
                answer = gateway.get(path)
                assert answer.status != 401 and "www-authenticate" not in answer.headers, path
            assert gateway.get("/token").status == 404


def test_own_token_opens_what_it_names_and_nothing_else():
    folder, key = make_folder()
    with Registry() as registry:
        registry.push("team/app", "v1", key)
        registry.push("team/other", "v1", key)
        files = {"g.yaml": config(registry, "{htpasswd: users, token: {}}"), "users": bcrypt_line("jane", "right")}
        with Gateway(files, folder) as gateway:
            answer = gateway.manifest(NAME, "v1")
            challenge = answer.headers["www-authenticate"]
            assert answer.status == 401 and challenge == (
                f'Bearer realm="http://127.0.0.1:{gateway.port}/token",service="default",scope="repository:{NAME}:pull"'), challenge
            assert gateway.get("/v2/").status == 401
            refused = token(gateway, authorization=basic("jane", "wrong"))
            assert refused.status == 401 and refused.headers["www-authenticate"].startswith("Basic ")
            assert token(gateway).status == 401
            good = token(gateway, authorization=basic("jane", "right"))
            assert gateway.get("/v2/", headers={"Authorization": good}).status == 200
            assert gateway.manifest(NAME, "v1", {"Authorization": good}).status == 200
            other = gateway.manifest("registry.test.internal/team/other", "v1", {"Authorization": good})
            assert other.status == 401 and 'error="insufficient_scope"' in other.headers["www-authenticate"]
            for changed in (good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), "Bearer x", "Bearer " + "A" * 4000, "Bearer ."):
                answer = gateway.manifest(NAME, "v1", {"Authorization": changed})
                assert answer.status == 401, changed
            form = urllib.parse.urlencode({"grant_type": "password", "username": "jane", "password": "right", "service": "default",
                                           "client_id": "x", "scope": f"repository:{NAME}:pull,push"})
            answer = gateway.get("/token", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, form)
            assert answer.status == 200 and answer.json["expires_in"] == 300 and answer.json["access_token"] == answer.json["token"]
            assert gateway.manifest(NAME, "v1", {"Authorization": "Bearer " + answer.json["token"]}).status == 200
            assert gateway.get("/token", "POST", {}, "grant_type=refresh_token&refresh_token=x").status == 400
            assert gateway.get("/token", "POST", {}, "x" * 40000).status == 413
            assert {r["principal"] for r in gateway.audit() if r["type"] == "allow"} == {"jane"}
            assert "right" not in gateway.log() and good[7:] not in gateway.log()


def test_token_of_one_tenant_is_nothing_in_another():
    folder, key = make_folder()
    shutil.copy(f"{folder}/a.pub", f"{folder}/b.pub")
    with Registry() as registry:
        registry.push("team/app", "v1", key)
        tenant = config(registry, "{htpasswd: users, token: {}}").partition("upstreams:")
        files = {"g.yaml": HEAD + "tenants:\n- {name: one, hosts: [one.test.internal], config: one.yaml}\n"
                                  "- {name: two, prefix: two, config: two.yaml}\n",
                 "one.yaml": tenant[1] + tenant[2], "two.yaml": tenant[1] + tenant[2], "users": bcrypt_line("jane", "right")}
        with Gateway(files, folder) as gateway:
            one = {"Host": "one.test.internal"}
            answer = gateway.manifest(NAME, "v1", one)
            assert 'service="one"' in answer.headers["www-authenticate"]
            answer = gateway.manifest("two/" + NAME, "v1")
            assert 'service="two"' in answer.headers["www-authenticate"]
            user = basic("jane", "right")
            of_one = token(gateway, (NAME, "two/" + NAME), user, "one", one)
            of_two = token(gateway, (NAME, "two/" + NAME), user, "two")
            assert gateway.manifest(NAME, "v1", one | {"Authorization": of_one}).status == 200
            assert gateway.manifest("two/" + NAME, "v1", {"Authorization": of_two}).status == 200
            assert gateway.manifest(NAME, "v1", one | {"Authorization": of_two}).status == 401
            assert gateway.manifest("two/" + NAME, "v1", {"Authorization": of_one}).status == 401
            # the host and the service must not disagree
            assert token(gateway, (NAME,), user, "two", one).status == 400
            assert token(gateway, (NAME,), user, "one").status == 400


def private(token_auth):
    return Registry({"ann": ("pw-ann", {"team/app"}), "bob": ("pw-bob", {"team/other"})}, token_auth)


def test_passed_through_credential_opens_what_the_upstream_allows():
    for token_auth in (False, True):
        folder, key = make_folder()
        with private(token_auth) as registry:
            digest = registry.push("team/app", "v1", key)
            registry.push("team/other", "v1", key)
            layer = registry.layers("team/app", digest)[0]
            with Gateway({"g.yaml": config(registry, "{passthrough: true}")}, folder) as gateway:
                ann = {"Authorization": token(gateway, authorization=basic("ann", "pw-ann"))}
                bob = {"Authorization": token(gateway, authorization=basic("bob", "pw-bob"))}
                liar = {"Authorization": token(gateway, authorization=basic("ann", "guess"))}
                assert gateway.manifest(NAME, "v1").status == 401
                assert gateway.manifest(NAME, "v1", ann).status == 200, gateway.log()
                assert gateway.get(f"/v2/{NAME}/blobs/{layer}", headers=ann).status == 200
                # all of it is cached now, and the upstream would refuse these
                for who in (bob, liar):
                    for path in (f"manifests/v1", f"manifests/{digest}", f"blobs/{layer}", "tags/list", f"referrers/{digest}"):
                        for method in ("GET", "HEAD"):
                            answer = gateway.get(f"/v2/{NAME}/{path}", method, who)
                            assert answer.status == 403, (path, answer.status)
                assert gateway.get("/v2/_catalog", headers=ann).status == 403
                assert gateway.get(f"/v2/{NAME}/tags/list", headers=ann).json == {"name": NAME, "tags": sorted(
                    t for r, t in registry.tags if r == "team/app")}
                # what is cached is served without asking for five minutes
                seen = len(registry.log)
                assert gateway.manifest(NAME, digest, ann).status == 200
                assert gateway.get(f"/v2/{NAME}/blobs/{layer}", headers=ann).status == 200
                assert len(registry.log) == seen, registry.log[seen:]
                log = gateway.log() + (gateway.folder / "store/audit.jsonl").read_text()
                for secret in ("pw-ann", "pw-bob", "guess", base64.b64encode(b"ann:pw-ann").decode()):
                    assert secret not in log
                assert {r["principal"] for r in gateway.audit() if r["type"] == "allow"} == {"ann"}


def test_passed_through_credential_is_bound_to_its_upstream():
    folder, key = make_folder()
    with private(False) as registry, Registry() as thief:
        registry.push("team/app", "v1", key)
        text = config(registry, "{passthrough: true}").replace(
            "upstreams: {", f"upstreams: {{thief.test.internal: {{url: \"{thief.url}\"}}, ")
        with Gateway({"g.yaml": text}, folder) as gateway:
            good = token(gateway, authorization=basic("ann", "pw-ann"))
            stolen = gateway.get("/v2/thief.test.internal/team/app/manifests/v1", headers={"Authorization": good})
            assert stolen.status == 401 and thief.log == []
            both = token(gateway, (NAME, "thief.test.internal/team/app"), basic("ann", "pw-ann"))
            assert both.status == 404
            # ?ns= names the upstream: the service carries it to the token endpoint
            answer = gateway.get("/v2/team/app/manifests/v1?ns=registry.test.internal")
            assert 'service="default/registry.test.internal"' in answer.headers["www-authenticate"]
            good = token(gateway, ("team/app",), basic("ann", "pw-ann"), "default/registry.test.internal")
            path = "/v2/team/app/manifests/v1?ns="
            assert gateway.get(path + "registry.test.internal", headers={"Authorization": good}).status == 200
            assert gateway.get(path + "thief.test.internal", headers={"Authorization": good}).status == 401
            assert thief.log == []
            assert gateway.reload()
            assert gateway.get(path + "registry.test.internal", headers={"Authorization": good}).status == 200


def test_unproved_credential_is_tried_once_at_a_time():
    folder, key = make_folder()
    with private(False) as registry:
        digest = registry.push("team/app", "v1", key)
        with Gateway({"g.yaml": config(registry, "{passthrough: true}")}, folder) as gateway:
            good = {"Authorization": token(gateway, authorization=basic("ann", "pw-ann"))}
            registry.delay_s = 0.1
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                answers = list(pool.map(lambda _: gateway.manifest(NAME, digest, good).status, range(12)))
            assert answers == [200] * 12, answers
            probes = [line for line in registry.log if line[0] == "HEAD" and line[2] == "ann"]
            assert len(probes) == 1, registry.log
            # clients that leave do not keep others from being let in
            lost = {"Authorization": token(gateway, authorization=basic("bob", "pw-bob"))}
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                assert list(pool.map(lambda _: gateway.manifest(NAME, digest, lost).status, range(4))) == [403] * 4


def make_certificates(folder):
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)

    for name in ("ca", "evil"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out",
                f"{name}.pem", "-subj", f"/CN={name}", "-days", "30")
    for name, signer in (("server", "ca"), ("node-7", "ca"), ("stranger", "evil")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out",
                f"{name}.csr", "-subj", f"/CN={name}")
        pathlib.Path(folder, "ext").write_text("subjectAltName=DNS:gw.test.internal,DNS:pay.test.internal,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days",
                "30", "-out", f"{name}.pem", "-extfile", "ext")


def client(folder, name=None):
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.check_hostname = False
    if name:
        context.load_cert_chain(f"{folder}/{name}.pem", f"{folder}/{name}.key")
    return context


def test_client_certificate_names_the_principal():
    folder, key = make_folder()
    make_certificates(folder)
    with Registry() as registry:
        registry.push("team/app", "v1", key)
        text = config(registry, "{mtls: true}").replace(
            "listen: 127.0.0.1:@PORT@", "listen: [{address: 127.0.0.1:@PORT@, tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}}]")
        with Gateway({"g.yaml": text}, folder) as gateway:
            pathlib.Path(folder, "server.key").chmod(0o600)
            path = f"/v2/{NAME}/manifests/v1"
            assert ask(gateway.port, "GET", path, tls=client(folder, "node-7")).status == 200
            answer = ask(gateway.port, "GET", path, tls=client(folder))
            assert answer.status == 403 and "certificate" in answer.message and "www-authenticate" not in answer.headers
            try:
                status = ask(gateway.port, "GET", path, tls=client(folder, "stranger")).status
            except (OSError, ssl.SSLError):
                status = "refused"
            assert status in ("refused", 403), status
            assert {r["principal"] for r in gateway.audit() if r["type"] == "allow"} == {"node-7"}


def test_server_name_and_host_of_different_tenants_are_refused():
    folder, key = make_folder()
    make_certificates(folder)
    with Registry() as registry:
        registry.push("team/app", "v1", key)
        tenant = config(registry, "{}").partition("upstreams:")
        files = {"g.yaml": HEAD.replace("listen: 127.0.0.1:@PORT@", "listen: [{address: 127.0.0.1:@PORT@, tls: {certificate: server.pem, key: server.key}}]")
                 + "tenants:\n- {name: pay, hosts: [pay.test.internal], config: pay.yaml}\n"
                   "- {name: gw, hosts: [gw.test.internal], config: pay.yaml}\n", "pay.yaml": tenant[1] + tenant[2]}
        with Gateway(files, folder) as gateway:
            import socket

            def status(sni, host):
                raw = socket.create_connection(("127.0.0.1", gateway.port), 10)
                tls = client(folder).wrap_socket(raw, server_hostname=sni)
                tls.sendall(f"GET /v2/{NAME}/manifests/v1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                line = tls.recv(4096).split(b"\r\n")[0]
                tls.close()
                return int(line.split()[1])

            assert status("pay.test.internal", "pay.test.internal") == 200
            assert status("pay.test.internal", "gw.test.internal") == 421
            assert status("gw.test.internal", f"pay.test.internal:{gateway.port}") == 421
            assert status("pay.test.internal", "other.test.internal") == 421
            assert status("other.test.internal", "pay.test.internal") == 421
            assert status("pay.test.internal", f"PAY.test.internal:{gateway.port}") == 200


def test_skopeo_pulls_with_credentials():
    if shutil.which("skopeo") is None:
        print("skipped: no skopeo")
        return
    folder, key = make_folder()
    with private(True) as registry:
        registry.push("team/app", "v1", key)
        with Gateway({"g.yaml": config(registry, "{passthrough: true}")}, folder) as gateway:
            def pull(creds):
                return subprocess.run(["skopeo", "copy", "--src-tls-verify=false", "--src-creds", creds,
                                       f"docker://127.0.0.1:{gateway.port}/{NAME}:v1", f"dir:{folder}/out"], capture_output=True, text=True)

            done = pull("ann:pw-ann")
            assert done.returncode == 0, done.stderr
            assert pull("bob:pw-bob").returncode != 0


if __name__ == "__main__":
    sys.exit(run([value for name, value in list(globals().items()) if name.startswith("test_")]))
