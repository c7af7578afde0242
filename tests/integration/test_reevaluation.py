"""After a change of policy stored evidence is evaluated again without the registry; what is allowed no longer, and on which withdrawn keys, is listed."""
import base64
import json
import time

import pytest
from gateway import wait_until
from test_statements_and_names import LATER, attest, requirement
from test_tenants_access import bcrypt_line
from trust_case import fixture_registry, fixtures, keyless_config

APP = "registry.test/team/app"


def signer(keys, *names, **more):
    return {"release": {"keys": [{"file": f"{keys}/{name}.pub", **more} for name in names]}}


def change(gateway, **changes):
    """Reloads, and waits for the pass that follows; gives what it says."""
    gateway.write_config(**changes)
    assert gateway.reload().status == 200
    wait_until(lambda: not report(gateway)["running"], what="the pass")
    return report(gateway)


def report(gateway):
    return json.loads(gateway.ask_admin("GET", "/v1/reevaluation").body)


def of_type(gateway, kind):
    return [record for record in gateway.audit() if record["type"] == kind]


def verdicts(gateway, **query):
    return json.loads(gateway.ask_admin("GET", "/v1/verdicts?" + "&".join(f"{k}={v}" for k, v in query.items())).body)["verdicts"]


@pytest.fixture
def gateway(images, fake, make_gateway):
    made = make_gateway(fake)
    made.digest = images.signed()
    assert made.manifest(APP, "v1").status == 200
    return made


def test_first_pull_after_a_reload_finds_its_verdict(gateway, fake, keys):
    fake.close()
    said = change(gateway, signers=signer(keys, "release", "other"))
    assert said["images"] == {"waiting": 0, "allowed": 1, "denied": 0, "undecided": 0} and said["newly_denied"] == []
    assert said["ended"] and said["fingerprint"] == of_type(gateway, "reload")[-1]["fingerprint"]
    misses = gateway.metric("gatehouse_verdict_cache_requests_total", result="miss")
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.metric("gatehouse_verdict_cache_requests_total", result="miss") == misses
    assert gateway.metric("gatehouse_reevaluation_images", state="allowed") == 1
    record = of_type(gateway, "reevaluation")[0]
    assert (record["allowed"], record["denied"], record["undecided"], record["newly_denied"]) == (1, 0, 0, [])
    made = [r for r in of_type(gateway, "verdict") if r["fingerprint"] == said["fingerprint"]]
    assert len(made) == 1 and made[0]["digest"] == gateway.digest


def test_nothing_is_asked_of_the_registry(gateway, fake, keys):
    fake.forget()
    change(gateway, signers=signer(keys, "release", "other"))
    change(gateway, signers=signer(keys, "other"))
    assert fake.asked() == []


def test_what_is_denied_by_now_is_listed_and_not_remembered_as_denied(gateway, images, keys):
    said = change(gateway, signers=signer(keys, "other"))
    assert said["images"]["denied"] == 1
    row = said["newly_denied"][0]
    assert (row["tenant"], row["image"], row["digest"], row["owner"], row["policy"]) == ("default", APP, gateway.digest, "platform@registry.test", "ours")
    assert row["verdict"] == "deny" and row["message"] and of_type(gateway, "reevaluation")[0]["newly_denied"] == [row]
    line = next(line for line in gateway.log_lines() if line.get("reason") == "newly_denied")
    assert line["digest"] == gateway.digest and line["cause"] == row["cause"]
    images.sign("team/app", gateway.digest, "other")  # signed anew before anybody pulls: nothing stands in the way
    assert gateway.manifest(APP, "v1").status == 200


def test_what_was_denied_before_is_not_listed(gateway, images, keys):
    images.push(tag="bad", files={"f": b"bad"})
    assert gateway.manifest(APP, "bad").status == 403
    assert [row["digest"] for row in change(gateway, signers=signer(keys, "other"))["newly_denied"]] == [gateway.digest]


def test_images_used_last_come_first(gateway, images, keys):
    second = images.signed(tag="v2", files={"f": b"second"})
    now = int(time.time())
    wait_until(lambda: int(time.time()) > now + 1)
    assert gateway.manifest(APP, "v2").status == 200
    said = change(gateway, signers=signer(keys, "release", "other"))
    assert [r["digest"] for r in of_type(gateway, "verdict") if r["fingerprint"] == said["fingerprint"]] == [second, gateway.digest]


def test_use_is_that_of_clients_alone(gateway, keys):
    before = verdicts(gateway)[0]["last_used"]
    now = int(time.time())
    wait_until(lambda: int(time.time()) > now + 1)
    change(gateway, signers=signer(keys, "release", "other"))
    assert before and {row["last_used"] for row in verdicts(gateway)} == {None, before}


def test_every_statement_is_left_to_the_pull(images, fake, keys, make_gateway):
    digest = images.push()
    attest(fake, keys, digest, [{"good": True, "name": "first"}])
    gateway = make_gateway(fake, policy={"require": requirement()})
    assert gateway.manifest(APP, "v1").status == 200
    said = change(gateway, policies=[{**gateway.config["policies"][0], "require": requirement(more=LATER)}])
    assert said["images"]["undecided"] == 1 and said["newly_denied"] == []
    assert gateway.manifest(APP, "v1").status == 200


def test_reload_without_a_change_of_policy_evaluates_nothing(gateway):
    gateway.write_config(limits={"idle_timeout": "50s"})
    assert gateway.reload().status == 200
    said = report(gateway)
    assert not said["running"] and said["ended"] is None and of_type(gateway, "reevaluation") == []


def test_tenants_are_evaluated_by_their_own_policy(images, fake, keys, make_gateway, tmp_path):
    labs = tmp_path / "labs.yaml"

    def write(key):
        labs.write_text(json.dumps({"upstreams": {"registry.test": {"url": fake.url}}, "signers": signer(keys, key),
                                    "policies": [{"name": "labs", "images": ["registry.test/**"], "require": [{"signature": "release"}]}]}))

    write("release")
    gateway = make_gateway(fake, tenants=[{"name": "labs", "prefix": "labs", "config": str(labs)}])
    digest = images.signed()
    assert gateway.manifest(APP, "v1").status == 200 and gateway.manifest(f"labs/{APP}", "v1").status == 200
    write("other")
    said = change(gateway)
    assert [(row["tenant"], row["policy"], row["digest"]) for row in said["newly_denied"]] == [("labs", "labs", digest)]
    assert said["images"]["allowed"] == 1
    revoked = of_type(gateway, "revocation")
    assert [(r["tenant"], r["reason"], r["verdicts"]) for r in revoked] == [("labs", "removed", 1)]


# ---- withdrawn keys ----

@pytest.mark.parametrize("how", ["revoked", "removed"])
def test_images_on_a_withdrawn_key_are_listed_with_who_pulled_them(images, fake, keys, make_gateway, tmp_path, how):
    users = tmp_path / "users"
    users.write_text(bcrypt_line("jane", "right"))
    users.chmod(0o600)
    gateway = make_gateway(fake, clients={"htpasswd": str(users)})
    jane = {"Authorization": "Basic " + base64.b64encode(b"jane:right").decode()}
    digest = images.signed()
    assert gateway.manifest(APP, "v1", **jane).status == 200
    new = signer(keys, "release", revoked={"at": "2026-03-02T10:00:00Z", "reason": "compromise"}) if how == "revoked" else signer(keys, "other")
    said = change(gateway, signers=new)
    assert gateway.manifest(APP, "v1", **jane).status == 403
    record, = of_type(gateway, "revocation")
    assert (record["tenant"], record["signer"], record["verdicts"]) == ("default", "release", 1)
    assert record["reason"] == ("revoked (compromise)" if how == "revoked" else "removed")
    listed, = record["images"]
    assert (listed["image"], listed["digest"], listed["pulled_by"]) == (APP, digest, ["jane"]) and listed["last_used"].endswith("Z")
    assert said["newly_denied"][0]["pulled_by"] == ["jane"]
    told = [line["message"] for line in gateway.log_lines() if line.get("reason") == "trust_withdrawn"]
    assert any(digest in text and "jane" in text for text in told) and any("1 stored verdicts rested on it" in text for text in told)
    row, = verdicts(gateway, key=record["fingerprint"])
    assert (row["digest"], row["in_force"], row["pulled_by"]) == (digest, False, ["jane"])
    assert {"kind": "key", "id": record["fingerprint"]} in row["rests_on"]
    gateway.restart()
    assert verdicts(gateway, key=record["fingerprint"]) == [row]  # still there after a restart, and still not served
    assert gateway.manifest(APP, "v1", **jane).status == 403


def test_key_that_another_signer_still_trusts_is_not_reported(gateway, keys):
    both = {**signer(keys, "release"), "second": {"keys": [{"file": f"{keys}/release.pub"}]}}
    require = [{"any": [{"signature": "release"}, {"signature": "second"}]}]
    change(gateway, signers=both, policies=[{**gateway.config["policies"][0], "require": require}])
    change(gateway, signers={**signer(keys, "other"), "second": both["second"]})
    assert of_type(gateway, "revocation") == [] and gateway.manifest(APP, "v1").status == 200


# ---- lists ----

def test_verdicts_are_filtered(gateway, images):
    other = images.signed("team/web")
    assert gateway.manifest("registry.test/team/web", "v1").status == 200
    assert {row["digest"] for row in verdicts(gateway)} == {gateway.digest, other}
    row, = verdicts(gateway, image=APP)
    assert (row["tenant"], row["image"], row["digest"], row["tag"], row["requirement"]) == ("default", APP, gateway.digest, "", "signature:release")
    assert row["in_force"] and row["verdict"] == "allow" and row["media_type"].endswith("manifest.v1+json")
    assert verdicts(gateway, digest=other.replace(":", "%3A"))[0]["image"] == "registry.test/team/web"
    assert verdicts(gateway, tenant="labs") == [] and verdicts(gateway, in_force="false") == []
    cut = json.loads(gateway.ask_admin("GET", "/v1/verdicts?limit=1").body)
    assert len(cut["verdicts"]) == 1 and cut["more"]


def test_decisions_since(gateway, images):
    images.push(tag="bad", files={"f": b"bad"})
    identity = gateway.manifest(APP, "bad").headers["x-gatehouse-decision"]
    found = json.loads(gateway.ask_admin("GET", "/v1/decisions?since=1h").body)
    assert [row["decision"]["verdict"] for row in found["decisions"]] == ["allow", "deny"] and not found["more"]
    assert found["decisions"][1]["decision"]["id"] == identity and found["decisions"][1]["made"].endswith("Z")
    assert json.loads(gateway.ask_admin("GET", "/v1/decisions?since=2099-01-01").body) == {"decisions": [], "more": False}
    assert len(json.loads(gateway.ask_admin("GET", "/v1/decisions?limit=1").body)["decisions"]) == 1


@pytest.mark.parametrize("query", ["since=yesterday", "limit=0", "limit=10001", "key=abc", "in_force=maybe", "who=me", "limit", "image=%zz"])
def test_parameter_that_cannot_be_read_is_refused(gateway, query):
    for path in ("/v1/verdicts", "/v1/decisions"):
        answer = gateway.ask_admin("GET", f"{path}?{query}")
        assert answer.status == 400 and json.loads(answer.body)["errors"][0]["message"], answer


# ---- issuers and authorities ----

@pytest.mark.parametrize("how", ["issuer", "authority"])
def test_trust_that_an_issuer_or_authority_lost_is_served_no_more_and_listed(make_gateway, how):
    folder = fixtures()
    with fixture_registry(folder) as url:
        root = f"{folder}/trust/sigstore/trusted_root.json"
        config = keyless_config(url, {"trusted_root": root})
        gateway = make_gateway({"registry.test": {"url": url}}, **{k: v for k, v in config.items() if k != "upstreams"})
        images = ["registry.test/keyless/email-bundle", "registry.test/keyless/email-legacy"]
        assert [gateway.manifest(image, "v1").status for image in images] == [200, 200]
        if how == "issuer":
            signer = config["signers"]["ci"]["keyless"]
            said = change(gateway, signers={"ci": {"keyless": {**signer, "issuer": "https://another.example.test"}}})
        else:
            said = change(gateway, roots={"acme": {"trusted_root": root.replace(".json", "-other.json")}})
        assert sorted(row["image"] for row in said["newly_denied"]) == images and said["images"]["denied"] == 2
        assert [gateway.manifest(image, "v1").status for image in images] == [403, 403]
        assert {row["in_force"] for row in verdicts(gateway)} == {False}
