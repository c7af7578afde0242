"""What may leave because something allowed leads to it: children, blobs, evidence, referrers, names."""
import json

import demo_image
import pytest
from gateway import error_of, request

APP = "registry.test/team/app"
SIGNED_ARTIFACT = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


def push_index(images, signed, repository="team/app", tag="v1", children_signed=False):
    children = []
    for architecture in ("amd64", "arm64"):
        digest, size = demo_image.push_image(images.registry, repository, None, architecture=architecture)
        if children_signed:
            images.sign(repository, digest)
        children.append((digest, size, architecture))
    index = demo_image.push_index(images.registry, repository, tag, children)[0]
    if signed:
        images.sign(repository, index)
    return index, [c[0] for c in children]


def test_child_of_signed_index_follows_the_edge(images, gateway):
    index, children = push_index(images, True)
    assert gateway.manifest(APP, "v1").headers["docker-content-digest"] == index
    for child in children:
        assert gateway.manifest(APP, child).status == 200
        for blob in images.parts("team/app", child):
            assert gateway.blob(APP, blob).status == 200


def test_child_of_unsigned_index_refused(images, gateway):
    index, children = push_index(images, False)
    assert gateway.manifest(APP, "v1").status == 403
    for child in children:
        answer = gateway.manifest(APP, child)
        assert answer.status == 403 and error_of(answer)["detail"]["reason"] == "unsigned"
        assert gateway.blob(APP, images.parts("team/app", child)[1]).status == 403


def test_child_before_its_index_was_asked_refused(images, gateway):
    """Nothing known leads to it yet: it is judged for itself, and allowed once its index was."""
    _, children = push_index(images, True)
    assert gateway.manifest(APP, children[0]).status == 403
    assert gateway.manifest(APP, "v1").status == 200
    assert gateway.manifest(APP, children[0]).status == 200


def test_edge_never_answers_for_a_tag(images, gateway):
    _, children = push_index(images, True)
    assert gateway.manifest(APP, "v1").status == 200
    images.registry.repositories["team/app"].tags["child"] = children[0]
    assert gateway.manifest(APP, children[0]).status == 200
    assert gateway.manifest(APP, "child").status == 403


@pytest.mark.parametrize("children_signed", [False, True])
def test_platforms_each_asks_for_signed_children(images, fake, make_gateway, children_signed):
    gateway = make_gateway(fake, policy={"platforms": "each"})
    _, children = push_index(images, True, children_signed=children_signed)
    answer = gateway.manifest(APP, "v1")
    assert answer.status == (200 if children_signed else 403)
    if not children_signed:
        assert error_of(answer)["detail"]["reason"] == "index_unsigned_child"
    assert gateway.manifest(APP, children[0]).status == (200 if children_signed else 403)


@pytest.mark.parametrize("told", [demo_image.INDEX, demo_image.IMAGE], ids=["told", "hidden"])
def test_platforms_each_refuses_an_index_in_an_index(images, fake, make_gateway, told):
    """Nobody would answer for the children of the inner one; also where its descriptor says that it is an image."""
    gateway = make_gateway(fake, policy={"platforms": "each"})
    child, size = demo_image.push_image(fake, "team/app", None)
    inner, inner_size = demo_image.push_index(fake, "team/app", None, [(child, size, "amd64")])
    outer = demo_image.push_manifest(fake, "team/app", {"schemaVersion": 2, "mediaType": demo_image.INDEX, "manifests": [
        {"mediaType": told, "digest": inner, "size": inner_size}]}, "v1")[0]
    for digest in (child, inner, outer):
        images.sign("team/app", digest)
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 403
    detail = error_of(answer)["detail"]
    assert (detail["cause"], detail["reason"], detail["policy"]) == ("index_depth_exceeded", "too_large", "ours"), detail
    assert detail["digest"] == outer
    assert gateway.metric("gatehouse_denials_total", reason="too_large") == 1
    record = [r for r in gateway.audit() if r["type"] == "denial"][-1]["decision"]
    assert (record["digest"], record["reason"], record["cause"]) == (outer, "too_large", "index_depth_exceeded"), record
    assert gateway.manifest(APP, inner).status == 200, "one level is judged"


def test_blob_of_another_repository_refused(images, gateway):
    digest = images.signed("team/private", files={"secret": b"s" * 100})
    images.signed("team/app")
    _, layer = images.parts("team/private", digest)
    images.registry.put_blob("team/app", images.registry.repositories["team/private"].blobs[layer])
    assert gateway.manifest("registry.test/team/private", "v1").status == 200
    assert gateway.blob("registry.test/team/private", layer).status == 200
    assert gateway.manifest(APP, "v1").status == 200
    answer = gateway.blob(APP, layer)
    assert answer.status == 403
    error_of(answer)
    assert gateway.blob(APP, layer, "HEAD").status == 403


def test_manifest_through_blobs_same_verdict(images, gateway):
    bad = images.push("team/bad")
    answer = gateway.blob("registry.test/team/bad", bad)
    assert answer.status == 403
    good = images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    answer = gateway.blob(APP, good)
    assert answer.status == 200 and demo_image.digest_of(answer.body) == good
    assert gateway.blob("registry.test/team/bad", bad).status == 403


def test_evidence_can_be_read_as_tag_and_blobs(images, gateway):
    digest = images.signed()
    for _ in range(2):
        answer = gateway.manifest(APP, digest.replace(":", "-") + ".sig")
        assert answer.status == 200
        manifest = json.loads(answer.body)
        for part in (manifest["config"], *manifest["layers"]):
            answer = gateway.blob(APP, part["digest"])
            assert answer.status == 200 and len(answer.body) == part["size"]


def test_evidence_of_denied_subject_can_be_read(images, gateway):
    digest = images.push()
    images.sign("team/app", digest, "other")
    assert gateway.manifest(APP, "v1").status == 403
    answer = gateway.manifest(APP, digest.replace(":", "-") + ".sig")
    assert answer.status == 200
    assert gateway.blob(APP, json.loads(answer.body)["layers"][0]["digest"]).status == 200


def push_referrer(images, subject, size, kind=SIGNED_ARTIFACT, layer_kind=SIGNED_ARTIFACT, content=b"{}"):
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": images.registry.put_blob("team/app", b"{}"), "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": demo_image.IMAGE, "artifactType": kind, "config": empty,
                "layers": [{"mediaType": layer_kind, "digest": images.registry.put_blob("team/app", content), "size": len(content)}],
                "subject": {"mediaType": demo_image.IMAGE, "digest": subject, "size": size}}
    return demo_image.push_manifest(images.registry, "team/app", manifest)[0], manifest


def test_evidence_can_be_read_as_referrer(images, gateway):
    digest, size = demo_image.push_image(images.registry, "team/app", "v1")
    referrer, manifest = push_referrer(images, digest, size, content=b'{"not":"a bundle"}')
    assert gateway.manifest(APP, referrer).status == 200
    assert gateway.blob(APP, manifest["layers"][0]["digest"]).status == 200


def test_referrer_of_another_type_is_a_subject(images, gateway):
    digest, size = demo_image.push_image(images.registry, "team/app", "v1")
    images.sign("team/app", digest)
    referrer, _ = push_referrer(images, digest, size, "application/vnd.example.tool", "application/vnd.example.tool", b"tool")
    answer = gateway.manifest(APP, referrer)
    assert answer.status == 403 and error_of(answer)["detail"]["reason"] == "unsigned"


def test_evidence_without_subject_refused(images, gateway):
    images.signed()
    referrer, _ = push_referrer(images, "sha256:" + "ab" * 32, 100)
    assert gateway.manifest(APP, referrer).status in (403, 404)


def test_runnable_image_under_evidence_tag_refused(images, gateway):
    digest = images.signed()
    tag = digest.replace(":", "-") + ".sig"
    evil = images.push(tag=tag, files={"bin/sh": b"evil"})
    answer = gateway.manifest(APP, tag)
    assert answer.status == 403, answer
    assert gateway.blob(APP, images.parts("team/app", evil)[1]).status == 403
    # With a subject it is still no evidence: its configuration and layers are those of an image.
    evil, _ = demo_image.push_image(images.registry, "team/app", None, files={"bin/sh": b"evil 2"}, extra={
        "artifactType": SIGNED_ARTIFACT, "subject": {"mediaType": demo_image.IMAGE, "digest": digest, "size": 1}})
    assert gateway.manifest(APP, evil).status == 403


@pytest.mark.parametrize("has_referrers", [True, False])
def test_referrers_listed_and_filtered(images_of, make_fake, make_gateway, has_referrers):
    fake = make_fake(referrers=has_referrers)
    images, gateway = images_of(fake), make_gateway(fake)
    digest, size = demo_image.push_image(fake, "team/app", "v1")
    images.sign("team/app", digest)
    kinds = {}
    for kind in (SIGNED_ARTIFACT, "application/vnd.example.sbom"):
        referrer, manifest = push_referrer(images, digest, size, kind, kind, kind.encode())
        kinds[kind] = {"mediaType": demo_image.IMAGE, "digest": referrer, "size": len(json.dumps(manifest)), "artifactType": kind}
    if not has_referrers:
        demo_image.push_manifest(fake, "team/app", {"schemaVersion": 2, "mediaType": demo_image.INDEX, "manifests": list(kinds.values())},
                                 digest.replace(":", "-"))
    answer = gateway.get(f"/v2/{APP}/referrers/{digest}")
    assert answer.status == 200 and answer.headers["content-type"] == demo_image.INDEX
    assert {m["digest"] for m in json.loads(answer.body)["manifests"]} == {k["digest"] for k in kinds.values()}
    answer = gateway.get(f"/v2/{APP}/referrers/{digest}?artifactType=application/vnd.example.sbom")
    assert answer.headers["oci-filters-applied"] == "artifactType"
    assert [m["digest"] for m in json.loads(answer.body)["manifests"]] == [kinds["application/vnd.example.sbom"]["digest"]]
    nothing = gateway.get(f"/v2/{APP}/referrers/sha256:{'0' * 64}")
    assert nothing.status == 200 and json.loads(nothing.body)["manifests"] == []
    head = gateway.head(f"/v2/{APP}/referrers/{digest}")
    assert head.status == 200 and head.body == b""


# ---- names ----

def test_ns_names_the_upstream_and_is_answered(images, gateway):
    digest = images.signed()
    answer = gateway.get("/v2/team/app/manifests/v1?ns=registry.test")
    assert answer.status == 200 and answer.headers["oci-namespace"] == "registry.test"
    assert gateway.head("/v2/team/app/manifests/v1?ns=registry.test").headers["oci-namespace"] == "registry.test"
    layer = images.parts("team/app", digest)[1]
    answer = gateway.get(f"/v2/team/app/blobs/{layer}?ns=registry.test")
    assert answer.status == 200 and answer.headers["oci-namespace"] == "registry.test"
    images.push(tag="bad")
    assert gateway.get("/v2/team/app/manifests/bad?ns=registry.test").headers["oci-namespace"] == "registry.test"


@pytest.mark.parametrize("query", ["ns=evil.test", "ns=127.0.0.1:1", "ns=registry.test&ns=registry.test", "ns="])
def test_ns_unlisted_or_repeated_refused(images, gateway, fake, query):
    images.signed()
    fake.forget()
    answer = gateway.get("/v2/team/app/manifests/v1?" + query)
    assert answer.status in (400, 404)
    error_of(answer)
    assert fake.asked() == []


def test_default_upstream_answers_short_names(images, fake, make_gateway):
    gateway = make_gateway(fake, default_upstream="registry.test")
    images.signed()
    assert gateway.manifest("team/app", "v1").status == 200
    assert gateway.manifest(APP, "v1").status == 200


def test_short_name_without_default_upstream_is_404(images, gateway):
    images.signed()
    answer = gateway.manifest("team/app", "v1")
    assert answer.status == 404 and error_of(answer)["code"] == "NAME_UNKNOWN"


def test_docker_hub_names_and_aliases(images, fake, make_gateway, keys):
    gateway = make_gateway({"docker.io": {"url": fake.url}}, default_upstream="docker.io",
                           policies=[{"name": "hub", "images": ["docker.io/library/*"], "require": [{"signature": "release"}]}])
    images.signed("library/alpine", "3")
    images.signed("acme/app", "3")
    for path in ("/v2/alpine/manifests/3", "/v2/library/alpine/manifests/3", "/v2/docker.io/alpine/manifests/3",
                 "/v2/docker.io/library/alpine/manifests/3", "/v2/index.docker.io/library/alpine/manifests/3",
                 "/v2/registry-1.docker.io/library/alpine/manifests/3", "/v2/library/alpine/manifests/3?ns=docker.io",
                 "/v2/library/alpine/manifests/3?ns=registry-1.docker.io"):
        assert gateway.get(path).status == 200, path
    assert gateway.get("/v2/acme/app/manifests/3").status == 403
    assert {r.path for r in fake.asked(part="/manifests/3")} == {"/v2/library/alpine/manifests/3", "/v2/acme/app/manifests/3"}


# ---- clients and credentials ----

def test_htpasswd_clients_asked_for_basic(images, fake, make_gateway, tmp_path):
    import base64
    import shutil
    import subprocess
    if not shutil.which("htpasswd"):
        pytest.skip("htpasswd is not installed")
    users = tmp_path / "users"
    subprocess.run(["htpasswd", "-cbBC", "4", str(users), "ann", "secret"], check=True, capture_output=True)
    users.chmod(0o600)
    gateway = make_gateway(fake, clients={"htpasswd": str(users)})
    images.signed()

    def basic(text):
        return "Basic " + base64.b64encode(text.encode()).decode()

    for path in ("/v2/", f"/v2/{APP}/manifests/v1"):
        for authorization in (None, basic("ann:wrong"), basic("eve:secret"), "Basic !!", "Bearer x"):
            answer = gateway.get(path, **({"Authorization": authorization} if authorization else {}))
            assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Basic realm="), (path, authorization)
            assert error_of(answer)["code"] == "UNAUTHORIZED"
        assert gateway.get(path, Authorization=basic("ann:secret")).status == 200
    assert all("secret" not in json.dumps(r.headers) and basic("ann:secret") not in r.headers.values() for r in fake.asked())
    assert "secret" not in gateway.log_text()


@pytest.mark.parametrize("how", ["token", "basic"])
def test_private_upstream_credentials_do_not_leak(images_of, make_fake, make_gateway, tmp_path, how):
    import base64
    fake, other = make_fake(**{how: "bot:s3cr3t-of-bot"}), make_fake()
    secret = tmp_path / "password"
    secret.write_text("s3cr3t-of-bot\n")
    secret.chmod(0o600)
    gateway = make_gateway({"registry.test": {"url": fake.url, "credentials": {"username": "bot", "password_file": str(secret)},
                                              "redirect_hosts": [f"127.0.0.1:{other.port}"]}})
    images = images_of(fake)
    digest = images.signed()
    layer = images.parts("team/app", digest)[1]
    data = fake.repositories["team/app"].blobs[layer]
    other.repositories["team/app"].blobs[layer] = data
    from fake_registry import Fault
    fake.on[layer] = Fault(status=307, headers={"Location": f"{other.url}/v2/team/app/blobs/{layer}?signature=presigned"})
    answer = gateway.get(f"/v2/{APP}/manifests/v1", Authorization="Basic " + base64.b64encode(b"client:own").decode())
    assert answer.status == 200 and "www-authenticate" not in answer.headers
    answer = gateway.blob(APP, layer)
    assert answer.status == 200 and answer.body == data
    assert len(other.asked("GET")) == 1
    assert all("authorization" not in {k.lower() for k in r.headers} for r in other.asked())
    mine = base64.b64encode(b"client:own").decode()
    assert all(mine not in r.headers.get("Authorization", "") for r in fake.asked())
    for text in (gateway.log_text(), gateway.metrics_text(), open(gateway.audit_file()).read()):
        assert "s3cr3t" not in text and "secret-token-of-the-fake" not in text and "presigned" not in text
        assert base64.b64encode(b"bot:s3cr3t-of-bot").decode() not in text


def test_wrong_upstream_credentials_show_no_challenge(images_of, make_fake, make_gateway, tmp_path):
    fake = make_fake(basic="bot:right")
    secret = tmp_path / "password"
    secret.write_text("wrong")
    secret.chmod(0o600)
    gateway = make_gateway({"registry.test": {"url": fake.url, "credentials": {"username": "bot", "password_file": str(secret)}}})
    images_of(fake).signed()
    answer = gateway.manifest(APP, "v1")
    assert answer.status in (403, 502, 503) and "www-authenticate" not in answer.headers
    error_of(answer)


def test_token_of_an_earlier_request_used_again(images_of, make_fake, make_gateway, tmp_path):
    fake = make_fake(token="bot:pw")
    secret = tmp_path / "password"
    secret.write_text("pw")
    secret.chmod(0o600)
    gateway = make_gateway({"registry.test": {"url": fake.url, "credentials": {"username": "bot", "password_file": str(secret)}}})
    images = images_of(fake)
    for tag in "abcdef":
        images.signed(tag=tag, files={"f": tag.encode()})
        assert gateway.manifest(APP, tag).status == 200
    assert len(fake.asked(part="/token")) <= 3
    assert request(gateway.port, "GET", "/v2/").status == 200
