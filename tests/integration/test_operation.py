"""Running it: reload, revocation, audit, metrics, the same words everywhere, draining."""
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
from fake_registry import Fault
from gateway import RawConnection, error_of, wait_until

APP = "registry.test/team/app"


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


def signers(keys, name="release", **more):
    return {"release": {"keys": [{"file": f"{keys}/{name}.pub", **more}]}}


def test_reload_by_post_changes_decisions_at_once(images, keys, gateway):
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    gateway.write_config(signers=signers(keys, "other"))
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.reload().status == 200
    assert gateway.manifest(APP, "v1").status == 403
    gateway.write_config(signers=signers(keys))
    assert gateway.reload().status == 200
    assert gateway.manifest(APP, "v1").status == 200


def test_reload_by_sighup_changes_decisions(images, gateway):
    images.push()
    assert gateway.manifest(APP, "v1").status == 403
    gateway.config["policies"][0]["mode"] = "warn"
    gateway.write_config()
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.manifest(APP, "v1").status == 200, what="the reload")


def test_reload_of_a_mode_verifies_nothing_again(images, fake, gateway):
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    fake.forget()
    gateway.config["policies"][0]["mode"] = "warn"
    gateway.write_config()
    assert gateway.reload().status == 200
    assert gateway.manifest(APP, "v1").status == 200
    assert fake.asked() == []


@pytest.mark.parametrize("how", ["post", "sighup"])
def test_bad_reload_keeps_what_was(images, gateway, how):
    images.signed()
    images.push(tag="bad", files={"f": b"x"})
    with open(gateway.file, "w") as out:
        out.write("listen: 127.0.0.1:1\nnonsense: true\npolicies: [\n")
    if how == "post":
        answer = gateway.reload()
        assert answer.status == 422 and json.loads(answer.body), answer
    else:
        gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.metric("gatehouse_config_last_reload_successful") == 0, what="the failed reload to be shown")
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.manifest(APP, "bad").status == 403
    gateway.write_config()
    assert gateway.reload().status == 200
    assert gateway.metric("gatehouse_config_last_reload_successful") == 1


def test_key_revoked_on_reload_denies_children_and_blobs_too(images, keys, gateway):
    digest = images.signed()
    layer = images.parts("team/app", digest)[1]
    assert gateway.manifest(APP, "v1").status == 200 and gateway.blob(APP, layer).status == 200
    gateway.write_config(signers=signers(keys, revoked={"at": "2026-01-01T00:00:00Z", "reason": "compromise"}))
    assert gateway.reload().status == 200
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 403 and error_of(answer)["detail"]["cause"] == "key_revoked"
    assert gateway.manifest(APP, digest).status == 403
    assert gateway.blob(APP, layer).status == 403


def test_expired_key_denies(images, keys, fake, make_gateway):
    gateway = make_gateway(fake, signers=signers(keys, not_after="2026-01-01"))
    images.signed()
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 403 and error_of(answer)["detail"]["cause"] == "key_expired"


def test_audit_log_unwritable_refuses_new_subjects_only(images, gateway):
    """A file-size limit makes the write fail: also root meets it."""
    import resource
    images.signed()
    images.signed(tag="new", files={"f": b"new"})
    assert gateway.manifest(APP, "v1").status == 200
    size = os.path.getsize(gateway.audit_file())
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    answer = gateway.manifest(APP, "new")
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    assert error_of(answer)["detail"]["cause"] == "audit_unavailable"
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.manifest(APP, "new").status == 503
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: gateway.manifest(APP, "new").status == 200, what="the audit log to work again")


def test_audit_records_equal_decisions_once(images, gateway):
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for _ in range(5):
        ids = {gateway.manifest(APP, tag).headers["x-gatehouse-decision"] for tag in ("v1", "bad")}
    assert len(ids) == 2
    recorded = [r for r in gateway.audit() if r.get("id") in ids]
    assert sorted(r["id"] for r in recorded) == sorted(ids)
    gateway.restart()
    for tag in ("v1", "bad"):
        assert gateway.manifest(APP, tag).headers["x-gatehouse-decision"] in ids


def test_audit_chain_verifies_and_shows_tampering(images, gateway):
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for tag in ("v1", "bad"):
        gateway.manifest(APP, tag)
    gateway.restart()
    gateway.manifest(APP, "v1")
    gateway.stop()
    result = gateway.run("audit", "verify", gateway.audit_file())
    assert result.returncode == 0, result
    with open(gateway.audit_file()) as log:
        lines = log.read()
    with open(gateway.audit_file(), "w") as log:
        log.write(lines.replace('"deny"', '"allow"', 1))
    assert gateway.run("audit", "verify", gateway.audit_file()).returncode == 1


def test_why_shows_a_recorded_decision(images, gateway):
    images.push()
    decision = gateway.manifest(APP, "v1").headers["x-gatehouse-decision"]
    shown = gateway.run("why", "-c", gateway.file, decision)
    assert shown.returncode == 0 and "no signature for signer release was found" in shown.stdout, shown
    shown = gateway.run("why", "-c", gateway.file, "--output", "json", decision)
    assert json.loads(shown.stdout)["id"] == decision
    assert gateway.run("why", "-c", gateway.file, "bbbbbbbbbbbbbbbbbbbb").returncode == 1


def test_audit_query_filters(images, gateway):
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for tag in ("v1", "bad"):
        gateway.manifest(APP, tag)
    found = gateway.run("audit", "query", "--type", "denial", "--where", "decision.reason=unsigned", gateway.audit_file())
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 1
    assert json.loads(found.stdout)["decision"]["image"] == f"{APP}:bad"
    assert gateway.run("audit", "query", "--type", "denial", "--until", "2020-01-01", gateway.audit_file()).returncode == 1


def test_torn_audit_line_repaired_at_start(images, gateway):
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    gateway.kill()
    with open(gateway.audit_file(), "rb+") as log:
        log.truncate(os.path.getsize(gateway.audit_file()) - 7)
    gateway.start()
    assert gateway.manifest(APP, "v1").status == 200
    gateway.audit()
    result = gateway.run("audit", "verify", gateway.audit_file())
    assert result.returncode == 0, result


def test_metrics_pass_promtool(images, gateway):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    digest = images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for reference in ("v1", "bad", "none", digest):
        gateway.manifest(APP, reference)
    gateway.blob(APP, images.parts("team/app", digest)[1])
    answer = gateway.ask_admin("GET", "/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    result = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout


def test_same_words_in_answer_log_audit_metric_and_command(images, fake, gateway):
    images.push()
    answer = gateway.manifest(APP, "v1")
    detail, message = error_of(answer)["detail"], error_of(answer)["message"]
    status, shown = gateway.verify(f"{APP}:v1")
    assert status == 1 and shown["verdict"] == "deny"
    assert (shown["reason"], shown["cause"], shown["digest"]) == (detail["reason"], detail["cause"], detail["digest"])
    assert shown["id"] == detail["id"] and shown["help"] == detail["help"] and shown["policies"] == [detail["policy"]]
    assert shown["message"] == message
    assert shown["requirements"][0]["cause"] == detail["cause"] and shown["requirements"][0]["reason"] == detail["reason"]
    record = next(r for r in gateway.audit() if r.get("id") == detail["id"])
    text = json.dumps(record)
    assert f'"{detail["reason"]}"' in text and f'"{detail["cause"]}"' in text and message in text
    line = next(line for line in gateway.log_lines() if line.get("decision") == detail["id"])
    assert (line["reason"], line["cause"], line["digest"]) == (detail["reason"], detail["cause"], detail["digest"])
    assert "signature:release: no signature for signer release was found" in line["message"]
    assert gateway.metric("gatehouse_denials_total", policy="ours", surface="pull", reason=detail["reason"]) == 1
    assert gateway.metric("gatehouse_decisions_total", policy="ours", surface="pull", verdict="deny", reason=detail["reason"]) == 1
    stored = gateway.ask_admin("GET", f"/v1/decisions/{detail['id']}")
    assert stored.status == 200 and json.loads(stored.body)["id"] == detail["id"]
    assert detail["cause"] in stored.body.decode() and detail["reason"] in stored.body.decode()
    posted = gateway.ask_admin("POST", "/v1/verify", {"image": f"{APP}:v1"})
    assert posted.status == 200 and json.loads(posted.body)["id"] == detail["id"]
    assert json.loads(posted.body)["message"] == message


def test_verify_of_a_list_answers_each(images, gateway):
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    answer = gateway.ask_admin("POST", "/v1/verify", {"images": [f"{APP}:v1", f"{APP}:bad", "nowhere.test/x:1"]})
    assert answer.status == 200
    assert [r["verdict"] for r in json.loads(answer.body)["results"]] == ["allow", "deny", "deny"]


def test_verify_command_exit_status(images, fake, gateway):
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    digest = images.signed(tag="trouble", files={"f": b"trouble"})
    fake.on[digest.replace(":", "-") + ".sig"] = Fault(status=500)
    assert gateway.verify(f"{APP}:v1")[0] == 0
    assert gateway.verify(f"{APP}:bad")[0] == 1
    assert gateway.verify(f"{APP}:trouble")[0] == 3


def test_probes_answer(gateway):
    for path in ("/livez", "/readyz", "/healthz"):
        assert gateway.ask_admin("GET", path).status == 200, path
    answer = gateway.ask_admin("GET", "/v1/none")
    assert answer.status == 404
    error_of(answer)


def test_sigterm_drains(images, fake, gateway):
    digest = images.signed(files={"big": os.urandom(3_000_000)})
    layer = images.parts("team/app", digest)[1]
    data = fake.repositories["team/app"].blobs[layer]
    assert gateway.manifest(APP, "v1").status == 200
    gate = threading.Event()
    fake.on[layer] = Fault(cut=500_000, gate=gate, headers={"X-Goes-On": "1"})
    client, idle = RawConnection(gateway.port), RawConnection(gateway.port)
    idle.get("/v2/")
    idle.read_head()
    client.get(f"/v2/{APP}/blobs/{layer}")
    client.read_head()
    client.read_more()
    gateway.process.send_signal(signal.SIGTERM)
    assert idle.read_to_end().endswith(b"{}")

    def is_refused():
        try:
            RawConnection(gateway.port).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_refused, what="the listener to close")
    assert gateway.process.poll() is None
    gate.set()
    assert client.read_to_end() == data
    assert gateway.stop() == 0


def test_second_gateway_on_the_same_store_refused(fake, gateway, make_gateway):
    other = make_gateway(fake, "second", ready=False, storage={"path": os.path.join(gateway.folder, "store")})
    result = other.run("serve", "-c", other.file, timeout=20)
    assert result.returncode == 2 and result.stderr


@pytest.mark.parametrize("text, what", [("nonsense: 1", "nonsense"), ("listen: [", ""), ("policies: [{name: a, images: ['x/**'], require: []}]", "require")])
def test_serve_with_a_faulty_configuration_exits_2(fake, make_gateway, text, what):
    gateway = make_gateway(fake, ready=False)
    with open(gateway.file, "w") as out:
        out.write(text + "\n")
    result = gateway.run("serve", "-c", gateway.file, timeout=20)
    assert result.returncode == 2 and what in result.stderr and "gatehouse.yaml:" in result.stderr
