"""`every` speaks of all statements there are, not of those once listed; and bytes are what they are, by whichever digest they are asked for."""
import base64
import datetime
import hashlib
import json
import subprocess

import demo_image
import pytest
from fake_registry import Fault
from gateway import error_of

APP = "registry.test/team/app"
TYPE = "https://acme.example/review/v1"
DSSE = "application/vnd.dsse.envelope.v1+json"


def attest(fake, keys, digest, predicates, key="release", repository="team/app"):
    """Cosign attestations under sha256-<hex>.att, one per predicate; replaces those before."""
    layers = []
    for predicate in predicates:
        statement = json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": repository, "digest": {"sha256": digest[7:]}}],
                                "predicateType": TYPE, "predicate": predicate}).encode()
        kind = b"application/vnd.in-toto+json"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{keys}/{key}.key"], input=signed, capture_output=True, check=True).stdout
        envelope = json.dumps({"payloadType": kind.decode(), "payload": base64.b64encode(statement).decode(),
                               "signatures": [{"sig": base64.b64encode(signature).decode()}]}).encode()
        layers.append({"mediaType": DSSE, "digest": fake.put_blob(repository, envelope), "size": len(envelope), "annotations": {"predicateType": TYPE}})
    config = b"{}"
    fake.put_manifest(repository, json.dumps({"schemaVersion": 2, "mediaType": demo_image.IMAGE,
                                              "config": {"mediaType": demo_image.CONFIG, "digest": fake.put_blob(repository, config), "size": 2},
                                              "layers": layers}).encode(), demo_image.IMAGE, digest.replace(":", "-") + ".att")


def requirement(every=True, more=()):
    return [{"attestation": TYPE, "signer": "release", "every": every, "where": [{"path": "/good", "equals": True}, *more]}]


LATER = [{"path": "/name", "exists": True}]  # another requirement, that the same statements satisfy


@pytest.fixture
def reviewed(images, fake, keys, make_gateway):
    """A gateway that has allowed an image with one good statement."""
    digest = images.push()
    attest(fake, keys, digest, [{"good": True, "name": "first"}])
    gateway = make_gateway(fake, policy={"require": requirement()})
    assert gateway.manifest(APP, "v1").status == 200
    gateway.digest = digest
    return gateway


def ask_later(gateway, **more):
    gateway.write_config(policies=[{**gateway.config["policies"][0], "require": requirement(more=LATER, **more)}])
    assert gateway.reload().status == 200
    return gateway.manifest(APP, "v1")


def test_every_sees_a_statement_that_was_added_since(reviewed, fake, keys):
    attest(fake, keys, reviewed.digest, [{"good": True, "name": "first"}, {"good": False, "name": "second"}])
    answer = ask_later(reviewed)
    assert answer.status == 403 and error_of(answer)["detail"]["cause"] == "policy_denied", answer


def test_every_is_undecided_where_the_registry_cannot_be_asked(reviewed, fake):
    for name in (reviewed.digest, f"/v2/team/app/referrers/{reviewed.digest}", reviewed.digest.replace(":", "-") + ".att"):
        fake.on[name] = Fault(status=500)
    assert ask_later(reviewed).status == 503


def test_any_statement_rests_on_what_is_stored(reviewed, fake):
    fake.forget()
    assert ask_later(reviewed, every=False).status == 200
    assert fake.asked() == []


def test_verdict_about_every_statement_is_kept_briefly(reviewed):
    verdicts = json.loads(reviewed.ask_admin("GET", "/v1/verdicts").body)["verdicts"]
    until = datetime.datetime.strptime(verdicts[0]["until"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    assert len(verdicts) == 1 and until - datetime.datetime.now(datetime.timezone.utc) <= datetime.timedelta(seconds=900)


# ---- one digest and the other ----

@pytest.fixture
def twins(images, fake):
    """An unsigned image that the registry has by SHA-512, too."""
    digest = images.push()
    kind, data = fake.repositories["team/app"].manifests[digest]
    other = "sha512:" + hashlib.sha512(data).hexdigest()
    fake.repositories["team/app"].manifests[other] = (kind, data)
    return digest, other


def policies(pin):
    return [{"name": "all", "images": ["registry.test/team/**"], "mode": "audit", "require": [{"signature": "release"}]},
            {"name": "pinned", "images": [f"{APP}@{pin}"], "require": [{"signature": "release"}]}]


@pytest.mark.parametrize("pinned", [0, 1], ids=["sha256", "sha512"])
def test_policy_for_a_digest_is_about_the_bytes(twins, fake, make_gateway, pinned):
    gateway = make_gateway(fake, policies=policies(twins[pinned]))
    for reference in ("v1", *twins):
        answer = gateway.manifest(APP, reference)
        assert answer.status == 403 and error_of(answer)["detail"]["policy"] == "pinned", (reference, answer)


@pytest.mark.parametrize("pinned", [0, 1], ids=["sha256", "sha512"])
def test_except_and_exception_for_a_digest_are_about_the_bytes(twins, fake, make_gateway, tmp_path, pinned):
    register = tmp_path / "exceptions.yaml"
    day = datetime.date.today()
    register.write_text(json.dumps({"exceptions": [
        {"id": "EXC-1", "images": [f"{APP}@{twins[pinned]}"], "policies": ["ours"], "owner": "a@x.test", "approved_by": "b@x.test", "justification": "j",
         "compensating_control": "c", "created": str(day), "expires": str(day + datetime.timedelta(days=9))}]}))
    gateway = make_gateway(fake, exceptions=str(register), exceptions_approvers=["b@x.test"])
    for reference in ("v1", *twins):
        answer = gateway.manifest(APP, reference)
        assert answer.status == 200 and "EXC-1" in answer.headers["warning"], (reference, answer)
    gateway.write_config(policies=[{**gateway.config["policies"][0], "except": [f"{APP}@{twins[pinned]}"]}], exceptions=None)
    gateway.config.pop("exceptions")
    gateway.write_config()
    assert gateway.reload().status == 200
    for reference in ("v1", *twins):
        answer = gateway.manifest(APP, reference)
        assert answer.status == 403 and error_of(answer)["detail"]["cause"] == "policy_no_match", (reference, answer)
