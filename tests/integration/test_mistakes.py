"""Known mistakes of other gateways that only a whole pull shows (verification.md section 2.11), and causes that need one."""
import base64
import random
import shutil
import subprocess
import threading

import demo_image
import pytest
from fake_registry import Fault
from gateway import error_of

APP = "registry.test/team/app"


class Alternating(dict):
    """Tags of a registry that answers one of them with another digest each time, by chance."""

    def __init__(self, tags, turns, seed):
        super().__init__(tags)
        self.turns, self.random, self.lock = turns, random.Random(seed), threading.Lock()

    def get(self, key, default=None):
        if key != "v1":
            return super().get(key, default)
        with self.lock:
            return self.random.choice(self.turns)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alternating_registry_serves_only_what_was_verified(images, fake, make_gateway, seed):
    """CVE-2022-47633, CVE-2023-47630: what is decided about and what is served are the same bytes."""
    gateway = make_gateway(fake, cache={"tag_ttl": "0s"})
    good = images.signed(tag="v1", files={"a": b"good"})
    bad = images.push(tag="v2", files={"a": b"bad"})
    repository = fake.repositories["team/app"]
    repository.tags = Alternating(repository.tags, [good, bad], seed)
    seen = {200: 0, 403: 0}
    for turn in range(24):
        answer = gateway.manifest(APP, "v1", "HEAD" if turn % 3 == 0 else "GET")
        assert answer.status in seen, answer
        seen[answer.status] += 1
        if answer.status == 200:
            assert answer.headers["docker-content-digest"] == good
            assert turn % 3 == 0 or demo_image.digest_of(answer.body) == good
        assert gateway.manifest(APP, bad).status == 403
    assert seen[200] > 0 and seen[403] > 0, seen


def test_evidence_that_never_comes_is_503(images, fake, make_gateway):
    gateway = make_gateway(fake, limits={"verification_time": "1s"})
    digest = images.signed()
    gate = threading.Event()
    fake.on[digest.replace(":", "-") + ".sig"] = Fault(gate=gate)
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 503, answer
    assert error_of(answer)["detail"]["cause"] == "time_budget_exceeded"
    fake.on.clear()
    gate.set()


def test_blob_of_no_allowed_manifest_named(images, fake, make_gateway):
    gateway = make_gateway(fake)
    digest = images.push()
    answer = gateway.blob(APP, images.parts("team/app", digest)[1])
    assert answer.status == 403
    assert error_of(answer)["detail"]["cause"] == "blob_not_reachable"


def test_credentials_refused_upstream_named(images_of, make_fake, make_gateway, tmp_path):
    fake = make_fake(basic="bot:right")
    images_of(fake).signed()
    secret = tmp_path / "password"
    secret.write_text("wrong")
    secret.chmod(0o600)
    gateway = make_gateway({"registry.test": {
        "url": fake.url, "credentials": {"username": "bot", "password_file": str(secret)}}})
    answer = gateway.manifest(APP, "v1")
    assert answer.status == 403, answer
    assert error_of(answer)["detail"]["cause"] == "client_not_permitted"


def test_unknown_client_named(images, fake, make_gateway, tmp_path):
    if not shutil.which("htpasswd"):
        pytest.skip("htpasswd is not installed")
    users = tmp_path / "users"
    subprocess.run(["htpasswd", "-cbBC", "4", str(users), "ann", "secret"], check=True, capture_output=True)
    users.chmod(0o600)
    gateway = make_gateway(fake, clients={"htpasswd": str(users)})
    images.signed()
    answer = gateway.get(f"/v2/{APP}/manifests/v1", Authorization="Basic " + base64.b64encode(b"ann:wrong").decode())
    assert answer.status == 401
    assert error_of(answer)["detail"]["cause"] == "client_unauthenticated"
