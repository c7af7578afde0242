"""Exit status of `gatehouse verify` (interface.md): 0 allowed, 1 denied, 2 wrong usage or configuration, 3 could not
decide. What is absent is neither allowed nor denied by a policy."""
import json
import threading

import pytest
from fake_registry import Fault
from gateway import free_port

APP = "registry.test/team/app"
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def config(images, fake, make_gateway):
    """A configuration that nothing serves."""
    return make_gateway(fake, ready=False)


def ask(gateway, *arguments):
    done = gateway.run("verify", "-c", gateway.file, "--output", "json", *arguments)
    return done.returncode, json.loads(done.stdout)


def test_allowed_is_0(images, config):
    digest = images.signed()
    status, answer = ask(config, APP + ":v1")
    assert (status, answer["verdict"], answer["digest"]) == (0, "allow", digest)
    assert ask(config, f"{APP}@{digest}")[0] == 0


@pytest.mark.parametrize("make, cause", [
    (lambda images: images.push(), "no_signature_found"),
    (lambda images: images.sign("team/app", images.push(), key="other"), "sig_invalid"),
])
def test_denied_is_1(images, config, make, cause):
    make(images)
    status, answer = ask(config, APP + ":v1")
    assert (status, answer["verdict"], answer["cause"]) == (1, "deny", cause)


def test_uncovered_is_1(images, config):
    images.push("free/app")
    status, answer = ask(config, "registry.test/free/app:v1")
    assert (status, answer["verdict"], answer["reason"]) == (1, "deny", "not_covered")


def test_broken_bytes_are_1(images, fake, config):
    digest = images.signed()
    fake.on[digest] = Fault(status=200, body=b"{}", headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    status, answer = ask(config, f"{APP}@{digest}")
    assert (status, answer["verdict"], answer["cause"]) == (1, "deny", "digest_mismatch")


@pytest.mark.parametrize("name", [APP + ":v9", f"{APP}@{NOWHERE}", "registry.test/team/none:v1", "registry.test/team/none"])
def test_absent_is_3(images, config, name):
    images.signed()
    status, answer = ask(config, name)
    assert (status, answer["verdict"], answer["cause"], answer["reason"]) == (3, "error", "manifest_unknown", "not_found")


def test_registry_down_is_3(images, fake, config):
    images.signed()
    fake.close()
    status, answer = ask(config, APP + ":v1")
    assert (status, answer["verdict"], answer["reason"]) == (3, "error", "upstream_unavailable")


def test_evidence_that_cannot_be_had_is_3(images, fake, config):
    digest = images.signed()
    fake.on[digest.replace(":", "-") + ".sig"] = Fault(status=500)
    status, answer = ask(config, APP + ":v1")
    assert (status, answer["verdict"], answer["cause"]) == (3, "error", "discovery_unavailable")


def test_evidence_that_never_comes_is_3(images, fake, make_gateway):
    gateway = make_gateway(fake, ready=False, limits={"verification_time": "1s"})
    digest = images.signed()
    gate = threading.Event()
    fake.on[digest.replace(":", "-") + ".sig"] = Fault(gate=gate)
    status, answer = ask(gateway, APP + ":v1")
    assert (status, answer["cause"]) == (3, "time_budget_exceeded")
    gate.set()


def test_wrong_usage_is_2(config, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("upstreams: {a: {url: 'http://127.0.0.1:1'}}\nodd: true\n")
    for arguments in ([], ["-c", config.file], ["-c", config.file, APP, APP], [APP + ":v1"],
                      ["-c", config.file, "--odd", APP], ["-c", config.file, "--at", "noon", APP],
                      ["-c", config.file, "--output", "xml", APP], ["-c", config.file, "--tenant", "none", APP],
                      ["-c", str(tmp_path / "absent.yaml"), APP], ["-c", str(broken), APP],
                      ["-c", config.file, APP + "@sha256:short"], ["-c", config.file, "Registry.test/UPPER"],
                      ["-c", config.file, "unqualified"], ["-c", config.file, "elsewhere.test/team/app:v1"],
                      ["-c", config.file, "--layout", str(tmp_path), "--as", "elsewhere.test/team/app:v1"], ["-c", config.file, ""],
                      ["-c", config.file, "--layout", str(tmp_path)], ["-c", config.file, "--as", APP],
                      ["-c", config.file, "--layout", str(tmp_path), "--as", APP],
                      ["-c", config.file, "--layout", str(tmp_path), "--as", APP, APP],
                      ["--remote", "http://127.0.0.1:1", "--layout", str(tmp_path), "--as", APP]):
        done = config.run("verify", *arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stderr and not done.stdout, (arguments, done)


def test_remote_tells_the_same(images, fake, make_gateway):
    gateway = make_gateway(fake)
    images.signed()
    images.push(tag="bare", files={"b": b"unsigned"})
    url = f"http://127.0.0.1:{gateway.admin_port}"
    for name, status in ((APP + ":v1", 0), (APP + ":bare", 1), (APP + ":v9", 3)):
        assert gateway.run("verify", "--remote", url, name).returncode == status, name
    assert gateway.run("verify", "--remote", f"http://127.0.0.1:{free_port()}", APP + ":v1").returncode == 3
