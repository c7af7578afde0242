"""What the audit log says: a record for every verdict, decision, pass, change, administrative call, start and stop."""
import json

import pytest

from gateway import wait_until

APP = "registry.test/team/app"
DIGEST = 'sha256:'


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


def of_type(gateway, name):
    return [record for record in gateway.audit() if record["type"] == name]


def write_exception(gateway, **more):
    entry = {"id": "EX-1", "images": [f"{APP}"], "policies": ["ours"], "owner": "dev@registry.test", "approved_by": "sec@registry.test",
             "justification": "the pipeline is down", "created": "2026-01-01", "expires": "2099-01-01", **more}
    with open(f"{gateway.folder}/exceptions.yaml", "w") as out:
        json.dump({"exceptions": [entry]}, out)


def test_verdict_says_what_it_rests_on(images, gateway):
    digest = images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    record = of_type(gateway, "verdict")[0]
    assert record["verdict"] == "satisfied" and record["requirement"] == "signature:release"
    assert (record["tenant"], record["image"], record["digest"]) == ("default", APP, digest)
    assert {"key", "evidence"} <= {rest["kind"] for rest in record["rests_on"]}
    assert all(rest["id"].startswith(DIGEST) for rest in record["rests_on"])
    assert len(record["authorities"]) == 1 and record["candidates"][0]["step"] == "done"
    assert record["candidates"][0]["evidence"].startswith(DIGEST) and record["log_entries"] == []
    decision = of_type(gateway, "allow")[0]
    assert decision["seq"] > record["seq"], "the verdict is recorded before what follows from it"


def test_denied_verdict_has_its_cause_and_is_recorded_once(images, gateway):
    images.push()
    for _ in range(3):
        assert gateway.manifest(APP, "v1").status == 403
    records = of_type(gateway, "verdict")
    assert [r["verdict"] for r in records] == ["denied"]
    assert (records[0]["reason"], records[0]["cause"]) == ("unsigned", "no_signature_found")


def test_stored_verdict_makes_no_record(images, gateway):
    images.signed()
    for _ in range(3):
        assert gateway.manifest(APP, "v1").status == 200
    assert len(of_type(gateway, "verdict")) == 1


def test_warn_pass_is_counted_in_the_log(images, fake, make_gateway):
    gateway = make_gateway(fake, policy={"mode": "warn"})
    images.push()
    for _ in range(5):
        assert gateway.manifest(APP, "v1").status == 200
    decision = of_type(gateway, "allow")[0]
    assert decision["bypasses"] == ["warn"]
    assert decision["failed"] == [{"policy": "ours", "mode": "warn", "cause": "no_signature_found"}]
    gateway.restart()
    assert gateway.manifest(APP, "v1").status == 200
    folded = [r for r in gateway.audit() if r["type"] == "repeats" and r["id"] == decision["id"]]
    whole = [r for r in gateway.audit() if r["type"] in ("allow", "pass") and r["id"] == decision["id"]]
    assert sum(r["repeats"] for r in folded) + len(whole) == 6


def test_exception_use_names_it_with_its_days(images, fake, make_gateway, tmp_path):
    gateway = make_gateway(fake, ready=False, exceptions="exceptions.yaml", exceptions_max="400d", exceptions_approvers=["sec@registry.test"])
    write_exception(gateway, created="2026-11-01", expires="2027-01-01")
    gateway.start()
    images.push()
    assert gateway.manifest(APP, "v1").status == 200
    decision = of_type(gateway, "allow")[0]
    assert decision["bypasses"] == ["exception"]
    assert decision["used_exceptions"][0]["exception"] == "EX-1" and decision["used_exceptions"][0]["days_left"] > 0


def test_reload_records_each_change(images, keys, gateway):
    before = of_type(gateway, "start")[0]["fingerprint"]
    gateway.write_config(signers={"release": {"keys": [{"file": f"{keys}/other.pub"}]}}, cache={"tag_ttl": "5s"},
                         policies=[{**gateway.config["policies"][0], "mode": "warn"},
                                   {"name": "more", "images": ["registry.test/more/**"], "require": [{"signature": "release"}]}])
    assert gateway.reload().status == 200
    changes = {(r["kind"], r["name"], r["what"]): (r["before"], r["after"]) for r in of_type(gateway, "change")}
    assert changes["policy", "ours", "mode"] == ("deny", "warn")
    assert changes["policy", "more", "added"] == (None, "registry.test/more/**")
    assert changes["setting", "cache.tag_ttl", "value"] == ("60", "5")
    assert changes["signer", "release", "key removed"][0].startswith("release.pub") or "release.pub" in changes["signer", "release", "key removed"][0]
    assert "other.pub" in changes["signer", "release", "key added"][1]
    reload = of_type(gateway, "reload")[0]
    assert reload["ok"] and reload["changes"] == len(changes) and reload["fingerprint"] != before
    assert all(r["fingerprint"] == reload["fingerprint"] for r in of_type(gateway, "change"))


def test_reload_of_the_same_changes_nothing(gateway):
    assert gateway.reload().status == 200
    assert of_type(gateway, "change") == [] and of_type(gateway, "reload")[0]["changes"] == 0


def test_failed_reload_is_recorded_without_changes(gateway):
    gateway.write_config(nonsense=True)
    assert gateway.reload().status == 422
    record = of_type(gateway, "reload")[0]
    assert record["ok"] is False and record["problems"] and of_type(gateway, "change") == []


def test_exception_changes_are_recorded(fake, make_gateway):
    gateway = make_gateway(fake, ready=False, exceptions="exceptions.yaml", exceptions_max="400d", exceptions_approvers=["sec@registry.test"])
    write_exception(gateway, created="2026-11-01", expires="2027-01-01")
    gateway.start()
    write_exception(gateway, created="2026-11-01", expires="2027-02-01")
    assert gateway.reload().status == 200
    record = of_type(gateway, "change")[0]
    assert (record["kind"], record["name"], record["what"]) == ("exception", "EX-1", "end")
    assert record["before"].startswith("2027-01-0") and record["after"].startswith("2027-02-0")
    with open(f"{gateway.folder}/exceptions.yaml", "w") as out:
        json.dump({"exceptions": []}, out)
    assert gateway.reload().status == 200
    assert of_type(gateway, "change")[-1]["what"] == "removed"


def test_admin_calls_name_caller_and_outcome(fake, make_gateway, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret-token\n")
    token.chmod(0o600)
    gateway = make_gateway(fake, ready=False)
    gateway.config["admin"]["token_file"] = str(token)
    gateway.write_config()
    gateway.start()
    for _ in range(3):
        assert gateway.reload().status == 401
    from gateway import request
    answer = request(gateway.admin_port, "POST", "/v1/reload", {"Authorization": "Bearer secret-token"})
    assert answer.status == 200
    wait_until(lambda: len(of_type(gateway, "admin")) == 2, what="the record of the reload, which is written once it is answered")
    records = of_type(gateway, "admin")
    assert [(r["who"], r["method"], r["path"], r["status"]) for r in records] == [("", "POST", "/v1/reload", 401), ("token", "POST", "/v1/reload", 200)]
    assert all(r["client"] == "127.0.0.1" for r in records)
    assert "secret-token" not in open(gateway.audit_file()).read()
    gateway.stop()
    assert [r["repeats"] for r in of_type(gateway, "repeats") if r["id"] == "admin"] == [2]


def test_start_and_stop_frame_a_run(gateway):
    gateway.restart()
    gateway.stop()
    assert [r["type"] for r in gateway.audit() if r["type"] in ("start", "stop")] == ["start", "stop", "start", "stop"]


def test_verdict_that_cannot_be_recorded_satisfies_nothing(images, gateway):
    import os
    import resource
    images.signed()
    size = os.path.getsize(gateway.audit_file())
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    assert gateway.manifest(APP, "v1").status == 503
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert gateway.manifest(APP, "v1").status == 200
    assert [r["verdict"] for r in of_type(gateway, "verdict")] == ["satisfied"]
