"""Ways round the gate: archives dressed as evidence, digests that evidence names, policies replaced on the way."""
import json
import threading

import demo_image
import pytest
from fake_registry import Fault
from gateway import error_of

APP = "registry.test/team/app"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


def push_disguise(images, subject, blobs, sizes=None):
    """A manifest that says it is a signature of SUBJECT and calls BLOBS its signatures."""
    document = {"schemaVersion": 2, "mediaType": IMAGE,
                "artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blobs[0], "size": 2},
                "layers": [{"mediaType": SIMPLE, "digest": d, "size": (sizes or {}).get(d, 100)} for d in blobs],
                "subject": {"mediaType": IMAGE, "digest": subject, "size": 100}}
    data = json.dumps(document).encode()
    images.registry.put_manifest("team/app", data, IMAGE)
    return demo_image.digest_of(data)


def test_archive_called_a_signature_refused(images, gateway):
    unsigned = images.push()
    config, layer = images.parts("team/app", unsigned)
    disguise = push_disguise(images, unsigned, [config, layer])
    assert gateway.manifest(APP, disguise).status == 200
    assert gateway.blob(APP, config).status == 200
    for method in ("GET", "HEAD", "GET"):
        answer = gateway.blob(APP, layer, method=method)
        assert answer.status == 403
    assert error_of(gateway.blob(APP, layer))["detail"]["cause"] == "signature_tag_abuse"
    assert gateway.blob(APP, layer, Range="bytes=0-9").status == 403


def test_archive_leaves_once_an_allowed_image_leads_to_it(images, gateway):
    digest = images.push()
    config, layer = images.parts("team/app", digest)
    disguise = push_disguise(images, digest, [config, layer], {layer: 7, config: 9})
    assert gateway.manifest(APP, disguise).status == 200
    assert gateway.blob(APP, layer).status == 403
    images.sign("team/app", digest)
    # What was denied a moment ago is looked at again once the denial is old; a fresh gateway has none.
    gateway.restart()
    assert gateway.manifest(APP, "v1").status == 200
    answer = gateway.blob(APP, layer)
    assert answer.status == 200 and demo_image.digest_of(answer.body) == layer
    head = gateway.blob(APP, layer, method="HEAD")
    assert head.status == 200 and int(head.headers["content-length"]) == len(answer.body)


def test_digest_named_by_evidence_is_judged_by_itself(images, gateway):
    unsigned = images.push()
    disguise = push_disguise(images, unsigned, [unsigned])
    assert gateway.manifest(APP, disguise).status == 200
    assert gateway.manifest(APP, unsigned).status == 403
    assert gateway.blob(APP, unsigned).status == 403


def test_wrong_size_in_evidence_harms_no_blob(images, gateway):
    digest = images.signed()
    config, layer = images.parts("team/app", digest)
    assert gateway.manifest(APP, "v1").status == 200
    disguise = push_disguise(images, digest, [config, layer], {layer: 3, config: 3})
    assert gateway.manifest(APP, disguise).status == 200
    for blob in (config, layer):
        head = gateway.blob(APP, blob, method="HEAD")
        answer = gateway.blob(APP, blob)
        assert answer.status == 200 and demo_image.digest_of(answer.body) == blob
        assert int(head.headers["content-length"]) == len(answer.body)


def test_policy_replaced_while_the_registry_is_asked(images, fake, gateway):
    digest = images.signed()
    gate = threading.Event()
    fake.on["v1"] = Fault(gate=gate, times=1)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(gateway.manifest(APP, "v1")))
    thread.start()
    fake.wait_asked(1, part="manifests/v1")
    policies = json.loads(json.dumps(gateway.config["policies"]))
    policies[0]["deny_tags"] = ["v1"]
    gateway.write_config(policies=policies)
    assert gateway.reload().status == 200
    gate.set()
    thread.join(30)
    assert answers and answers[0].status == 403
    assert error_of(answers[0])["detail"]["cause"] == "tag_denied"
    assert gateway.manifest(APP, digest).status == 200


def test_policy_replaced_while_a_blob_is_fetched(images, fake, gateway):
    digest = images.signed()
    _, layer = images.parts("team/app", digest)
    assert gateway.manifest(APP, "v1").status == 200
    gate = threading.Event()
    fake.on[layer] = Fault(gate=gate, times=1)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(gateway.blob(APP, layer)))
    thread.start()
    fake.wait_asked(1, part=f"blobs/{layer}")
    policies = json.loads(json.dumps(gateway.config["policies"]))
    policies[0]["images"] = ["registry.test/elsewhere/**"]
    gateway.write_config(policies=policies)
    assert gateway.reload().status == 200
    gate.set()
    thread.join(30)
    # The head was not written yet, so the policy in force decides: nothing covers the image now.
    assert answers and answers[0].status == 403


def test_blob_allow_is_recorded(images, gateway):
    digest = images.signed()
    _, layer = images.parts("team/app", digest)
    assert gateway.manifest(APP, "v1").status == 200
    before = gateway.metric("gatehouse_decisions_total", verdict="allow", surface="pull")
    assert gateway.blob(APP, layer).status == 200
    assert gateway.metric("gatehouse_decisions_total", verdict="allow", surface="pull") == before + 1
    assert [r for r in gateway.audit() if r["type"] == "allow"]
