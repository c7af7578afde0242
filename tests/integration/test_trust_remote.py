"""`verify --remote` asks a running gateway; `replay` weighs a proposed policy against what was recorded."""
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from trust_case import Gateway, fixture_registry, fixtures, free_port, keyless_config, run  # noqa: E402

GOOD = "registry.test/keyless/email-bundle"
LEGACY = "registry.test/keyless/email-legacy"


@pytest.fixture(scope="module")
def shared():
    return fixtures()


@pytest.fixture(scope="module")
def registry(shared):
    with fixture_registry(shared) as url:
        yield url


@pytest.fixture
def root(shared):
    return {"trusted_root": str(shared / "trust/sigstore/trusted_root.json")}


def test_remote_verify_gives_what_the_gateway_decides(tmp_path, registry, root):
    (tmp_path / "token").write_text("a-token-that-is-long-enough\n")
    (tmp_path / "token").chmod(0o600)
    gateway = Gateway(tmp_path / "g", keyless_config(registry, root))
    gateway.config["admin"]["token_file"] = str(tmp_path / "token")
    gateway.write()
    url = f"http://127.0.0.1:{gateway.admin}"
    with gateway:
        shown = run("verify", "-c", gateway.file, "--remote", url, "--output", "json", GOOD + ":v1")
        assert shown.returncode == 0 and json.loads(shown.stdout)["verdict"] == "allow"
        shown = run("verify", "-c", gateway.file, "--remote", url + "/", "registry.test/other/app:v1")
        assert shown.returncode in (1, 3) and "registry.test/other/app" in shown.stdout
        refused = run("verify", "--remote", url, GOOD + ":v1")
        assert refused.returncode == 3 and "token" in refused.stderr
        assert run("verify", "--remote", url, "--at", "2026-01-01", GOOD + ":v1").returncode == 2
    assert run("verify", "--remote", f"http://127.0.0.1:{free_port()}", GOOD + ":v1").returncode == 3


def test_replay_lists_what_a_new_policy_changes(tmp_path, registry, root):
    config = keyless_config(registry, root)
    config["policies"][0].update(images=[GOOD], owner="platform@acme.test")
    config["signers"]["nobody"] = {"keyless": {**config["signers"]["ci"]["keyless"], "subject": "nobody@example.test"}}
    config["policies"].append({"name": "strict", "owner": "security@acme.test", "images": [LEGACY],
                               "require": [{"signature": "nobody"}]})
    with Gateway(tmp_path / "g", config) as gateway:
        assert gateway.pull(GOOD, "v1")[0] == 200
        assert gateway.pull(LEGACY, "v1")[0] == 403
        same = run("replay", "-c", gateway.file, "--output", "json")
        assert same.returncode == 0, same.stdout + same.stderr
        assert json.loads(same.stdout)["unchanged"] == 2
        new = tmp_path / "new.yaml"
        config["policies"][0]["require"] = [{"signature": "nobody"}]
        config["policies"][1]["require"] = [{"signature": "ci"}]
        new.write_text(json.dumps({**gateway.config, **config}))
        log = gateway.storage / "audit.jsonl"
        changed = run("replay", "-c", new, "--log", log, "--since", "7d", "--output", "json")
        assert changed.returncode == 1, changed.stdout + changed.stderr
        document = json.loads(changed.stdout)
        assert [(c["image"].split(":")[0], c["owner"], c["change"]) for c in document["changes"]] == [
            (GOOD, "platform@acme.test", "denied"), (LEGACY, "security@acme.test", "allowed")]
        assert document["changes"][0]["cause"] == "identity_mismatch"
        text = run("replay", "-c", new, "--log", log)
        assert text.returncode == 1 and "newly denied" in text.stdout and "newly allowed" in text.stdout
        none = run("replay", "-c", new, "--log", log, "--since", "2036-01-01")
        assert none.returncode == 0 and "nothing" in none.stdout
    assert run("replay").returncode == 2 and run("replay", "--help").returncode == 0
