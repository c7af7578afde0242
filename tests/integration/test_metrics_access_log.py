"""What the metrics count and what the access log tells: of requests, of upstreams, of verifications; never a secret."""
import base64
import json
import os
import re
import signal

import pytest
from conftest import TOP
from gateway import request, wait_until

APP = "registry.test/team/app"


def access_lines(path, count):
    """The access log once it has COUNT lines; it is written once a second."""
    def read():
        try:
            with open(path, encoding="utf-8") as log:
                lines = [json.loads(line) for line in log if line.endswith("\n")]
        except FileNotFoundError:
            return None
        return lines if len(lines) >= count else None
    return wait_until(read, what=f"{count} lines in {path}")


# ---- metrics ----

def test_upstream_requests_counted_and_timed(images, fake, make_gateway):
    gateway = make_gateway(fake)
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.manifest(APP, "absent").status == 404
    labels = {"tenant": "default", "upstream": "registry.test"}
    asked = len(fake.asked())
    assert gateway.metric("gatehouse_upstream_requests_total", **labels) == asked
    assert gateway.metric("gatehouse_upstream_requests_total", code="404", **labels) >= 1
    assert gateway.metric("gatehouse_upstream_duration_seconds_count", **labels) == asked
    assert gateway.metric("gatehouse_upstream_duration_seconds_sum", **labels) > 0


def test_upstream_out_of_reach_counted_as_error(fake, make_gateway):
    gateway = make_gateway(fake)
    fake.close()
    assert gateway.manifest(APP, "v1").status == 503
    assert gateway.metric("gatehouse_upstream_requests_total", upstream="registry.test", code="error") >= 1


def test_verification_timed_by_format(images, fake, make_gateway):
    gateway = make_gateway(fake)
    images.signed()
    images.push(tag="bare", files={"f": b"bare"})
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.manifest(APP, "bare").status == 403
    assert gateway.metric("gatehouse_verification_duration_seconds_count", format="cosign-signature") == 1
    assert gateway.metric("gatehouse_verification_duration_seconds_count", format="none") == 1
    assert gateway.metric("gatehouse_verification_duration_seconds_sum") > 0


def test_every_family_has_help_and_a_source_that_feeds_it():
    """A family that nothing feeds is a promise to dashboards that is not kept."""
    table = open(os.path.join(TOP, "metrics", "prom.def"), encoding="utf-8").read()
    families = re.findall(r"^PROM_FAMILY\((\w+),", table, re.M)
    sources = "".join(open(os.path.join(TOP, "proxy", name), encoding="utf-8").read()
                      for name in os.listdir(os.path.join(TOP, "proxy")) if name.endswith(".c"))
    unfed = [family for family in families if not re.search(rf"\bPROM_{family}\b", sources)]
    assert unfed in ([], ["REHEARSAL"]), "rehearse is refused as not supported yet"


# ---- the access log ----

def test_access_log_has_one_line_per_answer(images, fake, make_gateway, tmp_path):
    gateway = make_gateway(fake, log={"access": "access.jsonl"})
    path = os.path.join(gateway.folder, "access.jsonl")
    digest = images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    assert gateway.manifest(APP, "v1", User_Agent="probe/1.0").status == 200
    denied = gateway.manifest(APP, "bad")
    assert denied.status == 403
    assert gateway.blob(APP, images.parts("team/app", digest)[1]).status == 200
    lines = access_lines(path, 3)
    lines.sort(key=lambda line: (line["route"] == "blobs", line["status"]))  # each worker ends its own answers
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", "manifests", 200), ("GET", "manifests", 403), ("GET", "blobs", 200)]
    assert lines[0]["target"] == f"/v2/{APP}/manifests/v1" and lines[0]["user_agent"] == "probe/1.0"
    assert lines[1]["decision"] == denied.headers["x-gatehouse-decision"] and lines[1]["reason"] == "unsigned"
    assert lines[0]["client"].startswith("127.0.0.1") and lines[0]["tenant"] == "default"
    assert lines[2]["bytes"] == int(gateway.blob(APP, images.parts("team/app", digest)[1], "HEAD").headers["content-length"])
    assert os.stat(path).st_mode & 0o007 == 0, "who pulls what is not for everybody on the machine"


def test_access_log_keeps_no_secret_and_no_long_text(fake, make_gateway):
    gateway = make_gateway(fake, log={"access": "access.jsonl"})
    secret = "s3cr3t-of-mine"
    request(gateway.port, "GET", f"/v2/{APP}/manifests/v1?access_token={secret}", headers={
        "Authorization": "Basic " + base64.b64encode(f"me:{secret}".encode()).decode(),
        "User-Agent": 'a"' + "x" * 4000})
    request(gateway.port, "GET", f"/token?service=gw&password={secret}", headers={"Authorization": f"Bearer {secret}"})
    path = os.path.join(gateway.folder, "access.jsonl")
    lines = access_lines(path, 2)
    text = open(path, encoding="utf-8").read()
    assert secret not in text and base64.b64encode(secret.encode()).decode()[:12] not in text
    # Two connections, perhaps on two workers: their lines may come in either order.
    manifest, = [line for line in lines if line["target"] == f"/v2/{APP}/manifests/v1"]
    assert len(manifest["user_agent"]) <= 300
    assert all(len(line) < 4096 for line in text.splitlines())


def test_access_log_off_by_default_and_switched_by_reload(images, fake, make_gateway):
    gateway = make_gateway(fake)
    path = os.path.join(gateway.folder, "access.jsonl")
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    gateway.write_config(log={"access": path})
    assert gateway.reload().status == 200
    assert gateway.manifest(APP, "v1").status == 200
    assert len(access_lines(path, 1)) == 1
    os.rename(path, path + ".1")
    gateway.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(path), what="the log to be opened again")
    assert gateway.manifest(APP, "v1", "HEAD").status == 200
    assert access_lines(path, 1)[0]["method"] == "HEAD"
    gateway.write_config(log={})
    assert gateway.reload().status == 200
    assert gateway.manifest(APP, "v1").status == 200
    gateway.stop()
    assert len(access_lines(path, 1)) == 1


@pytest.mark.parametrize("when", ["start", "reload"])
def test_access_log_that_cannot_be_opened_is_refused(images, fake, make_gateway, when):
    gateway = make_gateway(fake, ready=when == "reload")
    bad = os.path.join(gateway.folder, "absent", "access.jsonl")
    gateway.write_config(log={"access": bad})
    if when == "start":
        result = gateway.run("serve", "-c", gateway.file)
        assert result.returncode == 2 and bad in result.stderr, result
        return
    answer = gateway.reload()
    assert answer.status == 422 and bad in json.loads(answer.body)["message"]
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
