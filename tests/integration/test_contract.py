"""Sentences of docs/interface.md that no other case holds to, each by what a client, an operator or a scrape sees."""
import json
import os
import re
import subprocess
import time

import pytest
from fake_registry import Fault
from gateway import BINARY, RawConnection, error_of, request, wait_until

UPSTREAM = "registry.test"
APP = f"{UPSTREAM}/team/app"


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


def run(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60, check=False)


# ---- metrics ----

def test_upstream_requests_counted_by_tenant_upstream_and_code(images, fake, gateway):
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    fake.on["trouble"] = Fault(status=500)
    assert gateway.manifest(APP, "trouble").status == 503
    assert gateway.metric("gatehouse_upstream_requests_total", tenant="default", upstream=UPSTREAM, code="200") >= 3
    assert gateway.metric("gatehouse_upstream_requests_total", upstream=UPSTREAM, code="500") >= 1
    assert gateway.metric("gatehouse_upstream_duration_seconds_count", tenant="default", upstream=UPSTREAM) == len(fake.asked())


def test_unreachable_upstream_counted_without_a_code(make_fake, make_gateway):
    registry = make_fake()
    gateway = make_gateway(registry)
    registry.close()
    assert gateway.manifest(APP, "v1").status == 503
    assert gateway.metric("gatehouse_upstream_requests_total", upstream=UPSTREAM, code="error") >= 1


def test_verifications_timed_by_format(images, gateway):
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    gateway.manifest(APP, "v1")
    gateway.manifest(APP, "bad")
    assert gateway.metric("gatehouse_verification_duration_seconds_count", format="cosign-signature") == 1
    assert gateway.metric("gatehouse_verification_duration_seconds_count", format="none") == 1


def test_gauges_of_the_store_are_there_at_the_first_scrape(gateway):
    text = gateway.metrics_text()
    for name in ("gatehouse_content_bytes", "gatehouse_connections", "gatehouse_evictions_total"):
        assert re.search(rf"^{name} \d", text, re.M), name


def test_exception_that_ends_moves_its_gauge_without_a_reload(images, fake, make_gateway, tmp_path):
    digest = images.push()
    now = time.time()
    created, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + s)) for s in (-86400, 3))
    register = tmp_path / "exceptions.yaml"
    register.write_text(json.dumps({"exceptions": [{
        "id": "EXC-1", "images": [f"{APP}@{digest}"], "policies": ["ours"], "owner": "a@x", "approved_by": "b@x", "justification": "j",
        "created": created, "expires": end}]}))
    gateway = make_gateway(fake, exceptions=str(register), exceptions_approvers=["b@x"])
    assert gateway.metric("gatehouse_exceptions", state="in_force") == 1
    wait_until(lambda: gateway.metric("gatehouse_exceptions", state="expired") == 1, what="the end of the exception")
    assert gateway.metric("gatehouse_exceptions", state="in_force") == 0


# ---- answers that are no decisions ----

@pytest.mark.parametrize("how, status, reason", [("bytes", 502, "digest_mismatch"), ("down", 503, "upstream_unavailable"), ("busy", 429, "upstream_unavailable"),
                                                 ("refused", 403, "unauthorized")])
def test_refused_manifest_names_image_reason_and_an_id_that_why_knows(images, fake, gateway, how, status, reason):
    digest = images.signed()
    reference = "v1"
    if how == "bytes":
        reference, fake.on[digest] = digest, Fault(body=b"{}")
    else:
        fake.on["v1"] = Fault(status={"down": 500, "busy": 429, "refused": 403}[how])
    answer = gateway.manifest(APP, reference)
    error = error_of(answer)
    assert answer.status == status and error["detail"]["reason"] == reason
    assert error["message"].startswith(f"{APP}@{digest}" if how == "bytes" else APP) and f"[{reason}]" in error["message"]
    assert ("not a denial" in error["message"]) == (status in (429, 503))
    decision = error["detail"]["id"]
    assert decision and decision == answer.headers["x-gatehouse-decision"] and error["message"].endswith(f"Decision {decision}")
    kept = gateway.ask_admin("GET", f"/v1/decisions/{decision}")
    assert kept.status == 200 and json.loads(kept.body)["message"] == error["message"]
    shown = gateway.run("why", "-c", gateway.file, "--output", "json", decision)
    assert shown.returncode == 0 and json.loads(shown.stdout)["cause"] == error["detail"]["cause"]


def test_same_failure_has_the_same_id_and_is_recorded_once(images, fake, gateway):
    images.signed()
    fake.on["v1"] = Fault(status=500)
    ids = {error_of(gateway.manifest(APP, "v1"))["detail"]["id"] for _ in range(3)}
    assert len(ids) == 1 and len([r for r in gateway.audit() if r.get("id") in ids]) == 1


def test_absent_image_is_404_and_no_denial(gateway):
    assert gateway.manifest(APP, "absent").status == 404
    status, object_ = gateway.verify(f"{APP}:absent")
    assert (status, object_["verdict"], object_["reason"]) == (3, "error", "not_found")


@pytest.mark.parametrize("name", ["nowhere.test/team/app:v1", "team//app", "team/app:v1", "registry.test/Team/App:v1", ""])
def test_verify_of_what_is_no_image_name_is_wrong_usage(gateway, name):
    assert gateway.run("verify", "-c", gateway.file, name).returncode == 2


def test_range_outside_a_blob_is_416_with_single_headers(images, gateway):
    digest = images.signed()
    layer = images.parts("team/app", digest)[1]
    assert gateway.manifest(APP, "v1").status == 200
    for method in ("GET", "HEAD"):
        answer = request(gateway.port, method, f"/v2/{APP}/blobs/{layer}", {"Range": "bytes=99999-"})
        assert answer.status == 416 and answer.headers["content-range"].startswith("bytes */")
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


def test_tags_list_of_none_is_empty_without_a_link(images, fake, gateway):
    images.signed()
    answer = gateway.get(f"/v2/{APP}/tags/list?n=0")
    assert (answer.status, json.loads(answer.body), answer.headers.get("link")) == (200, {"name": APP, "tags": []}, None)


def test_tags_list_that_is_null_upstream_is_empty(fake, gateway):
    fake.repositories["team/app"]
    fake.on["tags"] = Fault(body=b'{"name":"team/app","tags":null}')
    answer = gateway.get(f"/v2/{APP}/tags/list")
    assert (answer.status, json.loads(answer.body)["tags"]) == (200, [])


# ---- command line ----

@pytest.mark.parametrize("verb", ["rehearse", "client-config", "doctor", "node-verifier", "dct", "evidence", "cache"])
def test_verbs_to_come_are_refused_by_name(verb):
    result = run(verb, "--help")
    assert result.returncode == 2 and result.stderr == f"gatehouse: {verb}: not supported yet\n"


@pytest.mark.parametrize("verb", ["serve", "check", "verify", "explain", "why", "exceptions", "policy", "policy import", "policy diff", "audit", "audit verify",
                                  "audit query", "replay", "trust", "trust status", "trust update", "verify-bundle", "tuf"])
def test_every_verb_has_help(verb):
    result = run(*verb.split(), "--help")
    assert result.returncode == 0 and "usage: gatehouse" in result.stdout.lower() and result.stderr == ""


def test_audit_verify_shows_json(gateway):
    gateway.stop()
    log = gateway.audit_file()
    good = run("audit", "verify", "--output", "json", log)
    shown = json.loads(good.stdout)
    assert good.returncode == 0 and shown["valid"] and shown["records"] == shown["last"] == len(gateway.audit())
    assert run("audit", "verify", "--expect", shown["head"], log).returncode == 0
    lines = open(log, "rb").read().splitlines(keepends=True)
    open(log, "wb").writelines(lines + lines[:1])
    bad = run("audit", "verify", "--output", "json", log)
    shown = json.loads(bad.stdout)
    assert bad.returncode == 1 and shown["valid"] is False and shown["line"] == len(lines) + 1 and shown["cause"]
    assert run("audit", "verify", "--output", "xml", log).returncode == 2


# ---- configuration ----

@pytest.mark.parametrize("line, column, message", [
    ('workers: "4"', 10, "a whole number, or auto"),
    ('workers: 0x4', 10, "a whole number, or auto"),
    ('offline: "true"', 10, "true or false"),
    ('offline: yes', 10, "true or false"),
    ('upstreams: {a.test: {url: "http://a:port"}}', 27, "an http(s): address"),
    ('upstreams: {a.test: {url: "http://:80"}}', 27, "an http(s): address"),
    ('upstreams: {a.test: {url: "http://[::1"}}', 27, "an http(s): address"),
    ('tenants: [{name: a, prefix: a, config: nowhere.yaml}]', 40, "nowhere.yaml cannot be read"),
])
def test_faults_stand_at_their_line_and_column(tmp_path, line, column, message):
    file = tmp_path / "g.yaml"
    file.write_text(line + "\n" + ("" if line.startswith("upstreams") else "upstreams: {a.test: {url: http://a}}\n"))
    result = run("check", "-c", str(file))
    assert result.returncode == 2 and f"{file}:1:{column}: error: " in result.stderr and message in result.stderr, result.stderr


@pytest.mark.parametrize("text", ["offline: True", "offline: FALSE", "workers: auto", "workers: 4", 'listen: "[::1]:5000"'])
def test_plain_scalars_are_read_as_yaml_1_2(tmp_path, text):
    file = tmp_path / "g.yaml"
    file.write_text(text + '\nupstreams: {a.test: {url: "http://[::1]:5000/prefix"}}\n')
    result = run("check", "-c", str(file))
    assert result.returncode == 0, result.stderr


# ---- evidence ----

def test_evidence_by_the_digest_its_tag_told_can_be_read(images, fake, gateway):
    digest = images.push()
    signature = images.sign("team/app", digest)
    assert gateway.manifest(APP, signature).status == 403  # a digest alone says nothing about whose evidence it is
    assert gateway.head(f"/v2/{APP}/manifests/{digest.replace(':', '-')}.sig").headers["docker-content-digest"] == signature
    answer = gateway.manifest(APP, signature)
    assert (answer.status, answer.body) == (200, fake.repositories["team/app"].manifests[signature][1])
    gateway.restart()
    assert gateway.manifest(APP, signature).status == 200


def test_evidence_of_one_repository_is_not_read_by_digest_in_another(images, fake, gateway):
    digest = images.push()
    signature = images.sign("team/app", digest)
    assert gateway.manifest(APP, digest.replace(":", "-") + ".sig").status == 200
    fake.repositories["team/other"].manifests[signature] = fake.repositories["team/app"].manifests[signature]
    assert gateway.manifest(f"{UPSTREAM}/team/other", signature).status == 403


def test_image_that_once_stood_under_an_evidence_tag_is_still_refused_by_digest(images, fake, gateway):
    digest = images.push()
    other = images.push(tag="other", files={"o": b"o"})
    fake.repositories["team/app"].tags[digest.replace(":", "-") + ".sig"] = other
    assert gateway.manifest(APP, digest.replace(":", "-") + ".sig").status == 403
    assert gateway.manifest(APP, other).status == 403


# ---- admin ----

def test_verdicts_name_image_what_they_rest_on_and_their_times(images, gateway):
    digest = images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    listed = wait_until(lambda: json.loads(gateway.ask_admin("GET", "/v1/verdicts").body)["verdicts"], what="the verdict in the store")
    assert len(listed) == 1
    verdict = listed[0]
    assert (verdict["tenant"], verdict["image"], verdict["digest"], verdict["tag"], verdict["verdict"]) == ("default", APP, digest, "", "allow")
    assert {"key", "evidence"} <= {rest["kind"] for rest in verdict["rests_on"]}
    for moment in (verdict["until"], verdict["last_used"] or verdict["until"]):
        time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")


def test_exceptions_show_the_digest_they_are_for(images, fake, make_gateway, tmp_path):
    digest = images.push()
    now = time.time()
    created, end = (time.strftime("%Y-%m-%d", time.gmtime(now + s)) for s in (-86400, 86400))
    register = tmp_path / "exceptions.yaml"
    register.write_text(json.dumps({"exceptions": [{
        "id": "EXC-1", "images": [f"{APP}@{digest}", f"{UPSTREAM}/team/**"], "policies": ["ours"], "owner": "a@x", "approved_by": "b@x",
        "justification": "j", "created": created, "expires": end}]}))
    gateway = make_gateway(fake, exceptions=str(register), exceptions_approvers=["b@x"])
    shown = json.loads(gateway.ask_admin("GET", "/v1/exceptions").body)["exceptions"]
    assert shown[0]["images"] == [f"{APP}@{digest}", f"{UPSTREAM}/team/**"]


@pytest.mark.parametrize("field", ["owner", "approved_by", "justification"])
def test_exception_without_somebody_or_a_reason_is_an_error(fake, make_gateway, tmp_path, field):
    register = tmp_path / "exceptions.yaml"
    entry = {"id": "EXC-1", "images": [f"{APP}@sha256:{'0' * 64}"], "policies": ["ours"], "owner": "a@x", "approved_by": "b@x", "justification": "j",
             "created": "2026-11-01", "expires": "2026-11-30", field: " "}
    register.write_text(json.dumps({"exceptions": [entry]}))
    gateway = make_gateway(fake, ready=False, exceptions=str(register), exceptions_approvers=["b@x", " "])
    result = gateway.run("check", "-c", gateway.file)
    assert result.returncode == 2 and field in result.stderr


# ---- files that are not what they are for ----

def files_of_tls(folder):
    for name in ("one", "two"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"], check=True, capture_output=True)
        os.chmod(f"{folder}/{name}.key", 0o600)


@pytest.mark.parametrize("config, where, message", [
    ({"clients": {"htpasswd": "users"}}, "users", "bcrypt"),
    ({"audit": {"checkpoint_key": "secret"}}, "secret", ""),
    ({"upstreams": {"a.test": {"url": "https://a", "ca": "text"}}}, "text", "no PEM certificate"),
    ({"listen": [{"address": "127.0.0.1:1", "tls": {"certificate": "one.crt", "key": "two.key"}}]}, "one.crt", "does not belong"),
    ({"listen": [{"address": "127.0.0.1:1", "tls": {"certificate": "text", "key": "one.key"}}]}, "text", "certificate"),
    ({"listen": [{"address": "127.0.0.1:1", "tls": {"certificate": "one.crt", "key": "one.key", "client_ca": "text"}}]}, "one.crt", "client_ca"),
])
def test_check_finds_files_that_cannot_be_used(tmp_path, config, where, message):
    files_of_tls(tmp_path)
    for name, text in (("users", "u:$apr1$x$y\n"), ("secret", "no key\n"), ("text", "no certificate\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "g.yaml"
    file.write_text(json.dumps({"upstreams": {"a.test": {"url": "https://a"}}, **config}))
    result = run("check", "-c", str(file))
    assert result.returncode == 2 and f"{file}:1:" in result.stderr and f"{tmp_path}/{where}: " in result.stderr and message in result.stderr, result.stderr


def test_check_takes_files_that_can_be_used(tmp_path):
    files_of_tls(tmp_path)
    (tmp_path / "users").write_text("u:$2y$05$abcdefghijklmnopqrstuuKXRTgJW1Ck8JTKXRTgJW1Ck8JTKXRTg\n")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / "audit.key")], check=True)
    for name in ("users", "audit.key"):
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "g.yaml"
    file.write_text(json.dumps({
        "upstreams": {"a.test": {"url": "https://a", "ca": "one.crt"}}, "clients": {"htpasswd": "users"}, "audit": {"checkpoint_key": "audit.key"},
        "listen": [{"address": "127.0.0.1:1", "tls": {"certificate": "one.crt", "key": "one.key", "client_ca": "two.crt"}}]}))
    result = run("check", "-c", str(file))
    assert result.returncode == 0, result.stderr


# ---- HTTP/1.1 ----

@pytest.mark.parametrize("body", ["5\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
                                  "5\r\nhello0\r\n\r\n", "\r\n\r\n", "5;\0\r\nhello\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\nX: y\n\r\n",
                                  "fffffffffffffffff\r\n"])
def test_malformed_chunks_get_one_400_also_where_nobody_wants_the_body(gateway, body):
    for method in ("GET", "HEAD"):
        client = RawConnection(gateway.port)
        client.send(f"{method} /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.read_to_end()
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1 and b"connection: close" in answer.lower()


@pytest.mark.parametrize("body", ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", 'A;x="y"\r\nhellohello\r\n000\r\nX-Sum: x\r\n\r\n'])
def test_well_formed_chunks_of_a_get_are_read_and_dropped(gateway, body):
    client = RawConnection(gateway.port)
    client.send(f"GET /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert client.read_to_end().count(b"HTTP/1.1 200 OK") == 2


def test_get_with_a_large_body_is_413(gateway):
    client = RawConnection(gateway.port)
    client.send("GET /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + "1000\r\n" + "x" * 4096 + "\r\n")
    for _ in range(20):
        client.send("1000\r\n" + "x" * 4096 + "\r\n")
    assert client.read_head().startswith("HTTP/1.1 413 ")


# ---- time ----

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def test_clock_that_was_ahead_leaves_no_long_denials(images, fake, make_gateway, tmp_path):
    if not os.path.exists(FAKETIME):
        pytest.skip("faketime is not installed")
    clock = tmp_path / "clock"
    clock.write_text("+2d\n")
    # It comes in front of a sanitizer's runtime, which would mind.
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    gateway = make_gateway(fake, cache={"denial_ttl": "1s", "tag_ttl": "1s"}, environment={
        "LD_PRELOAD": FAKETIME, "ASAN_OPTIONS": sanitizer, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    digest = images.push()
    assert gateway.manifest(APP, "v1").status == 403
    clock.write_text("+0\n")
    images.sign("team/app", digest)
    wait_until(lambda: gateway.manifest(APP, "v1").status == 200, timeout=5, what="an end of the denial")


def test_exception_renewed_and_revoked_at_once_ends_and_is_not_ended_twice(images, fake, make_gateway, tmp_path):
    digest = images.push()
    register = tmp_path / "exceptions.yaml"
    register.write_text("exceptions: []\n")
    gateway = make_gateway(fake, exceptions=str(register), exceptions_approvers=["b@x"])
    end = [time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400 * days)) for days in (10, 20)]

    def edit(verb, *arguments):
        return gateway.run("exceptions", verb, "-c", gateway.file, "--id", "EXC-1", *arguments)

    assert edit("add", "--image", f"{APP}@{digest}", "--policy", "ours", "--owner", "a@x", "--approved-by", "b@x", "--justification", "j", "--expires", end[0]).returncode == 0
    assert edit("renew", "--by", "b@x", "--expires", end[1]).returncode == 0
    assert edit("revoke").returncode == 0
    before = register.read_text()
    again = edit("revoke")
    assert again.returncode == 2 and "has ended already" in again.stderr and register.read_text() == before
    time.sleep(1.1)
    assert gateway.reload().status == 200 and gateway.manifest(APP, "v1").status == 403
