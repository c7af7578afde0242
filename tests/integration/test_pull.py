"""Pulls through the gateway: what is allowed, what is denied, and what clients are told."""
import json

import pytest
from gateway import error_of

APP = "registry.test/team/app"


def same_but_body(get, head):
    skip = {"date", "x-request-id"}
    assert get.status == head.status
    assert {k: v for k, v in get.headers.items() if k not in skip} == {k: v for k, v in head.headers.items() if k not in skip}
    assert head.body == b""


@pytest.fixture
def gateway(fake, make_gateway):
    return make_gateway(fake)


def test_pull_signed_by_tag_and_digest_allowed(images, gateway):
    digest = images.signed()
    for reference in ("v1", digest):
        answer = gateway.manifest(APP, reference)
        assert answer.status == 200, answer
        assert answer.headers["docker-content-digest"] == digest
        assert answer.headers["etag"] == f'"{digest}"'
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        assert answer.headers["x-gatehouse-decision"]
        assert answer.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
        assert "warning" not in answer.headers
        same_but_body(answer, gateway.manifest(APP, reference, "HEAD"))
    config, layer = images.parts("team/app", digest)
    for blob in (config, layer):
        answer = gateway.blob(APP, blob)
        assert answer.status == 200
        assert answer.body == images.registry.repositories["team/app"].blobs[blob]
        same_but_body(answer, gateway.blob(APP, blob, "HEAD"))
    assert gateway.metric("gatehouse_decisions_total", verdict="allow", reason="") >= 4


def test_pull_unsigned_by_tag_and_digest_denied(images, gateway):
    digest = images.push()
    for reference in ("v1", digest):
        answer = gateway.manifest(APP, reference)
        assert answer.status == 403
        error = error_of(answer)
        assert error["code"] == "DENIED"
        assert error["detail"]["cause"] == "no_signature_found" and error["detail"]["reason"] == "unsigned"
        assert error["detail"]["policy"] == "ours" and error["detail"]["digest"] == digest
        assert error["detail"]["id"] == answer.headers["x-gatehouse-decision"]
        assert error["detail"]["id"] in error["message"] and "ours" in error["message"] and "release" in error["message"]
        assert len(answer.body) < 2048 and "\n" not in error["message"]
        same_but_body(answer, gateway.manifest(APP, reference, "HEAD"))
    for blob in images.parts("team/app", digest):
        answer = gateway.blob(APP, blob)
        assert answer.status == 403 and error_of(answer)["code"] == "DENIED"
        same_but_body(answer, gateway.blob(APP, blob, "HEAD"))
    assert gateway.metric("gatehouse_denials_total", policy="ours", surface="pull", reason="unsigned") >= 4


@pytest.mark.parametrize("what, cause", [("other key", "key_unknown"), ("other digest", "payload_digest_mismatch"),
                                         ("bad signature", "sig_invalid")])
def test_pull_badly_signed_denied(images, gateway, what, cause):
    import demo_image
    digest = images.push()
    if what == "other key":
        images.sign("team/app", digest, "other")
    elif what == "other digest":
        images.sign("team/app", digest, payload=demo_image.simple_payload("x", "sha256:" + "0" * 64))
    else:
        good = demo_image.sign_bytes(f"{images.keys}/release.key", b"other bytes")
        images.sign("team/app", digest, signature=good)
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 403
    # A wrong key and wrong bytes look the same to a key: the signature does not verify.
    accepted = {cause, "sig_invalid"} if cause == "key_unknown" else {cause, "key_unknown"} if cause == "sig_invalid" else {cause}
    assert error_of(answer)["detail"]["cause"] in accepted


def test_pull_uncovered_denied(images, gateway):
    images.signed("elsewhere/app")
    answer = gateway.manifest("registry.test/elsewhere/app", "v1")
    assert answer.status == 403
    assert error_of(answer)["detail"]["reason"] == "not_covered"


def test_pull_absent_is_404(images, gateway):
    images.signed()
    cases = {"/v2/registry.test/team/app/manifests/none": "MANIFEST_UNKNOWN",
             f"/v2/registry.test/team/app/manifests/sha256:{'0' * 64}": "MANIFEST_UNKNOWN",
             "/v2/other.test/team/app/manifests/v1": "NAME_UNKNOWN",
             "/v2/registry.test/team/none/manifests/v1": None}
    for path, code in cases.items():
        answer = gateway.get(path)
        assert answer.status == 404, path
        assert code is None or error_of(answer)["code"] == code
        same_but_body(answer, gateway.head(path))


@pytest.mark.parametrize("path, status", [("/", 404), ("/v2", None), ("/v2/x", 404), ("/v2/registry.test/team/app/manifests/", None),
                                          ("/v2/registry.test/team/app/manifests/..%2f..", None),
                                          ("/v2/registry.test/team/APP/manifests/v1", None),
                                          ("/v2/registry.test/team/app/blobs/sha256:zz", None),
                                          ("/v2/registry.test/team/app/blobs/md5:00", None),
                                          ("/v2/registry.test/team/app/uploads/x", None)])
def test_pull_odd_paths_answered_with_error_json(images, gateway, path, status):
    answer = gateway.get(path)
    if answer.status in (200, 301, 307, 308):
        assert path == "/v2"
        return
    assert 400 <= answer.status < 500 and (status is None or answer.status == status)
    error_of(answer)


def test_version_check_answers_empty_object(gateway):
    answer = gateway.get("/v2/")
    assert answer.status == 200 and json.loads(answer.body) == {}
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    same_but_body(answer, gateway.head("/v2/"))


@pytest.mark.parametrize("method, path", [("PUT", "/v2/registry.test/team/app/manifests/v1"), ("POST", "/v2/registry.test/team/app/blobs/uploads/"),
                                          ("DELETE", "/v2/registry.test/team/app/manifests/v1"), ("PATCH", "/v2/registry.test/team/app/blobs/uploads/x"),
                                          ("POST", "/v2/")])
def test_write_refused_with_405_and_allow(gateway, method, path):
    from gateway import request
    answer = request(gateway.port, method, path, body=b"{}")
    assert answer.status == 405, answer
    # RFC 9110 section 10.2.1: an empty Allow says that the resource takes no method, as with uploads here.
    assert answer.headers["allow"] == ("" if "uploads" in path else "GET, HEAD")
    assert error_of(answer)["code"] == "UNSUPPORTED"


def test_blob_range_answers_206_and_416(images, gateway):
    digest = images.signed(files={"big": bytes(range(256)) * 4000})
    _, layer = images.parts("team/app", digest)
    data = images.registry.repositories["team/app"].blobs[layer]
    size = len(data)
    assert gateway.manifest(APP, "v1").status == 200
    for is_warm in (False, True):
        for text, first, last in (("bytes=10-99", 10, 99), (f"bytes={size - 5}-", size - 5, size - 1), ("bytes=-7", size - 7, size - 1),
                                  ("bytes=0-", 0, size - 1), (f"bytes=5-{size * 9}", 5, size - 1)):
            answer = gateway.blob(APP, layer, Range=text)
            assert answer.status == 206, (is_warm, text, answer)
            assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
            assert answer.body == data[first:last + 1]
        answer = gateway.blob(APP, layer, Range=f"bytes={size}-")
        assert answer.status == 416 and answer.headers["content-range"] == f"bytes */{size}"
        answer = gateway.blob(APP, layer)
        assert answer.status == 200 and answer.headers["accept-ranges"] == "bytes" and answer.body == data


def test_conditional_get_answers_304(images, gateway):
    digest = images.signed()
    _, layer = images.parts("team/app", digest)
    for path in (f"/v2/{APP}/manifests/v1", f"/v2/{APP}/blobs/{layer}"):
        assert gateway.get(path).status == 200
        answer = gateway.get(path, If_None_Match=gateway.get(path).headers["etag"])
        assert answer.status == 304 and answer.body == b""
        assert gateway.get(path, If_None_Match='"sha256:0"').status == 200
    images.push(tag="bad")
    bad = images.registry.repositories["team/app"].tags["bad"]
    assert gateway.manifest(APP, "bad", If_None_Match=f'"{bad}"').status in (200, 304, 403)
    assert gateway.manifest(APP, "bad", If_None_Match=f'"{bad}"').status == 403 or bad == digest


def test_tags_list_paged(images, gateway):
    for tag in ("a", "b", "c", "d", "e"):
        images.push(tag=tag)
    answer = gateway.get(f"/v2/{APP}/tags/list")
    assert answer.status == 200
    assert json.loads(answer.body) == {"name": "registry.test/team/app", "tags": list("abcde")} or json.loads(answer.body)["tags"] == list("abcde")
    seen, path, pages = [], f"/v2/{APP}/tags/list?n=2", 0
    while path:
        answer = gateway.get(path)
        assert answer.status == 200
        seen += json.loads(answer.body)["tags"]
        pages += 1
        link = answer.headers.get("link")
        assert link is None or 'rel="next"' in link
        path = link[link.index("<") + 1:link.index(">")] if link else None
        assert path is None or path.startswith(f"/v2/{APP}/tags/list")
    assert seen == list("abcde") and pages == 3


def test_warn_mode_serves_with_warning_and_counts(images, fake, make_gateway):
    gateway = make_gateway(fake, policy={"mode": "warn"})
    images.push()
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 200
    assert answer.headers["warning"].startswith('299 - "') and "ours" in answer.headers["warning"]
    assert gateway.metric("gatehouse_bypasses_total", kind="warn") == 1
    assert gateway.metric("gatehouse_warnings_total", policy="ours", reason="unsigned") == 1
    config, layer = images.parts("team/app", answer.headers["docker-content-digest"])
    assert gateway.blob(APP, layer).status == 200


def test_audit_mode_serves_silently_and_counts(images, fake, make_gateway):
    gateway = make_gateway(fake, policy={"mode": "audit"})
    images.push()
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 200 and "warning" not in answer.headers
    assert gateway.metric("gatehouse_bypasses_total", kind="audit") == 1


def test_denial_then_signed_allowed_after_denial_ttl(images, fake, make_gateway):
    from gateway import wait_until
    gateway = make_gateway(fake, cache={"denial_ttl": "1s"})
    digest = images.push()
    assert gateway.manifest(APP, "v1").status == 403
    images.sign("team/app", digest)
    wait_until(lambda: gateway.manifest(APP, "v1").status == 200, 10, "the new signature")


def test_several_policies_all_must_hold(images, fake, keys, make_gateway):
    gateway = make_gateway(fake, signers={"release": {"keys": [{"file": f"{keys}/release.pub"}]}, "other": {"keys": [{"file": f"{keys}/other.pub"}]}},
                           policies=[{"name": "one", "images": ["registry.test/**"], "require": [{"signature": "release"}]},
                                     {"name": "two", "images": ["registry.test/team/**"], "require": [{"signature": "other"}]}])
    images.signed()
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 403 and error_of(answer)["detail"]["policy"] == "two"
    images.signed("free/app")
    assert gateway.manifest("registry.test/free/app", "v1").status == 200
