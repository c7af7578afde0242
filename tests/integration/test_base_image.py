"""Base images: named by annotations or by verified provenance, and verified themselves. `release` signs bases, `other` builds."""
import base64
import json
import subprocess

import demo_image
import pytest
from gateway import error_of

APP = "registry.test/team/app"
DSSE = "application/vnd.dsse.envelope.v1+json"
V02, V1 = "https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"


def provenance(fake, keys, digest, materials, kind=V1, key="other", repository="team/app"):
    """A cosign attestation under sha256-<hex>.att; replaces the one before."""
    if kind == V1:
        predicate = {"buildDefinition": {"buildType": "t", "externalParameters": {}, "resolvedDependencies": materials},
                     "runDetails": {"builder": {"id": "b"}}}
    else:
        predicate = {"builder": {"id": "b"}, "buildType": "t", "materials": materials}
    if materials is None:
        predicate.pop("materials", None)
        predicate.get("buildDefinition", {}).pop("resolvedDependencies", None)
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": repository, "digest": {"sha256": digest[7:]}}],
                            "predicateType": kind, "predicate": predicate}).encode()
    payload_type = b"application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type, len(statement), statement)
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{keys}/{key}.key"], input=signed, capture_output=True, check=True).stdout
    envelope = json.dumps({"payloadType": payload_type.decode(), "payload": base64.b64encode(statement).decode(),
                           "signatures": [{"sig": base64.b64encode(signature).decode()}]}).encode()
    layer = {"mediaType": DSSE, "digest": fake.put_blob(repository, envelope), "size": len(envelope), "annotations": {"predicateType": kind}}
    fake.put_manifest(repository, json.dumps({"schemaVersion": 2, "mediaType": demo_image.IMAGE,
                                              "config": {"mediaType": demo_image.CONFIG, "digest": fake.put_blob(repository, b"{}"), "size": 2},
                                              "layers": [layer]}).encode(), demo_image.IMAGE, digest.replace(":", "-") + ".att")


def material(digest, name="registry.test/base/os"):
    return {"uri": f"pkg:docker/{name}@v1?platform=linux%2Famd64", "digest": {"sha256": digest[7:]}}


@pytest.fixture
def scene(images, fake, keys, make_gateway):
    """scene(**base_image): a gateway in front of a signed base and an application."""
    def make(**base):
        base = {"signer": "release", "from": "provenance", "provenance_signer": "ci", **base}
        gateway = make_gateway(fake, policy={"require": [{"base_image": {k: v for k, v in base.items() if v}}]},
                               signers={"release": {"keys": [{"file": f"{keys}/release.pub"}]},
                                        "ci": {"keys": [{"file": f"{keys}/other.pub"}]}})
        gateway.base = images.signed("base/os", "v1", files={"os": b"base"})
        gateway.app = images.push()
        return gateway
    return make


def cause(gateway, tag="v1"):
    answer = gateway.manifest(APP, tag)
    return None if answer.status == 200 else (answer.status, error_of(answer)["detail"]["cause"])


DENIED = (403, "base_image_unverified")


@pytest.mark.parametrize("kind", [V02, V1])
def test_base_that_provenance_names_is_verified(scene, fake, keys, kind):
    gateway = scene()
    git = {"uri": "git+https://github.com/acme/app", "digest": {"sha1": "0" * 40}}
    provenance(fake, keys, gateway.app, [git, material(gateway.base)], kind)
    assert cause(gateway) is None
    status, found = gateway.verify(APP + ":v1")
    assert status == 0 and found["requirements"][0]["requirement"] == "base_image:release"
    assert [c["step"] for c in found["requirements"][0]["candidates"]] == ["done"]


@pytest.mark.parametrize("kind", [V02, V1])
@pytest.mark.parametrize("materials", [None, [], [{"uri": "git+https://github.com/acme/app", "digest": {"sha1": "0" * 40}}],
                                       [{"uri": "pkg:docker/registry.test/base/os@v1"}]])
def test_provenance_that_does_not_say_denies(scene, fake, keys, kind, materials):
    gateway = scene()
    provenance(fake, keys, gateway.app, materials, kind)
    assert cause(gateway) == DENIED


def test_no_provenance_denies(scene):
    assert cause(scene()) == DENIED


def test_base_that_does_not_verify_denies(scene, images, fake, keys):
    gateway = scene()
    unsigned = images.push("base/os", "v2", files={"os": b"unsigned"})
    provenance(fake, keys, gateway.app, [material(gateway.base), material(unsigned)])
    assert cause(gateway) == DENIED
    images.sign("base/os", unsigned, key="other")  # by another
    gateway.run("cache", "purge")
    assert gateway.verify(APP + ":v1")[0] == 1
    images.sign("base/os", unsigned)
    status, found = gateway.verify(APP + ":v1")
    assert status == 0, found


@pytest.mark.parametrize("name", ["registry.test/base/elsewhere", "registry.example/base/os", "os"])
def test_base_that_cannot_be_had_denies(scene, fake, keys, name):
    gateway = scene()
    provenance(fake, keys, gateway.app, [material(gateway.base, name)])
    assert cause(gateway) == DENIED


def test_provenance_of_others_names_no_base(scene, fake, keys):
    gateway = scene()
    provenance(fake, keys, gateway.app, [material(gateway.base)], key="release")  # signs bases, builds nothing
    assert cause(gateway) == DENIED
    status, found = gateway.verify(APP + ":v1")
    assert status == 1 and found["requirements"][0]["candidates"][0]["cause"] != ""


def test_provenance_of_another_image_names_no_base(scene, images, fake, keys):
    gateway = scene()
    other = images.push(tag="other", files={"f": b"other"})
    provenance(fake, keys, other, [material(gateway.base)])
    attached = fake.repositories["team/app"].tags[other.replace(":", "-") + ".att"]
    fake.repositories["team/app"].tags[gateway.app.replace(":", "-") + ".att"] = attached
    assert cause(gateway) == DENIED
    assert cause(gateway, "other") is None


def test_signer_of_the_base_is_the_builder_unless_one_is_named(scene, fake, keys):
    gateway = scene(provenance_signer=None)
    provenance(fake, keys, gateway.app, [material(gateway.base)])
    assert cause(gateway) == DENIED
    provenance(fake, keys, gateway.app, [material(gateway.base)], key="release")
    assert gateway.verify(APP + ":v1")[0] == 0


def test_annotation_names_the_base(scene, images):
    gateway = scene(**{"from": "annotation", "provenance_signer": None})
    unsigned = images.push("base/os", "v2", files={"os": b"unsigned"})

    def named(digest, tag):
        images.push(tag=tag, annotations={"org.opencontainers.image.base.name": "registry.test/base/os:v1",
                                          "org.opencontainers.image.base.digest": digest})
    named(gateway.base, "good")
    named(unsigned, "bad")
    assert cause(gateway, "good") is None
    assert cause(gateway, "bad") == DENIED
    assert cause(gateway) == DENIED  # it names none


def test_registry_that_is_away_leaves_it_undecided(scene, fake, keys, make_gateway):
    gateway = scene()
    provenance(fake, keys, gateway.app, [material(gateway.base)])
    gateway.config["upstreams"]["away.test"] = {"url": "http://127.0.0.1:1"}
    gateway.write_config()
    assert gateway.reload().status == 200
    provenance(fake, keys, gateway.app, [material(gateway.base, "away.test/base/os")])
    assert gateway.manifest(APP, "v1").status == 503


def test_revoked_builder_ends_the_verdict(scene, fake, keys):
    gateway = scene()
    provenance(fake, keys, gateway.app, [material(gateway.base)])
    assert cause(gateway) is None
    ci = {"keys": [{"file": f"{keys}/other.pub", "revoked": {"at": "2020-01-01T00:00:00Z"}}]}
    gateway.write_config(signers={**gateway.config["signers"], "ci": ci})
    assert gateway.reload().status == 200
    assert cause(gateway) == DENIED


@pytest.mark.parametrize("base, words", [
    ({"from": "annotation"}, "belongs to"),
    ({"provenance_signer": "nobody"}, "the name of a signer"),
])
def test_configuration_without_sense_is_refused(scene, base, words):
    gateway = scene()
    broken = {"signer": "release", "from": "provenance", "provenance_signer": "ci", **base}
    gateway.write_config(policies=[{**gateway.config["policies"][0], "require": [{"base_image": broken}]}])
    checked = gateway.run("check", "-c", gateway.file)
    assert checked.returncode == 2 and words in checked.stderr
