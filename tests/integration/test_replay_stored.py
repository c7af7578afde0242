"""`gatehouse replay --store`: a proposed policy against recorded decisions and stored evidence, while the gateway runs and no registry answers."""
import json

import pytest

from gateway import wait_until

APP = "registry.test/team/app"


@pytest.fixture
def gateway(images, fake, make_gateway, tmp_path):
    made = make_gateway(fake)
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    assert made.manifest(APP, "v1").status == 200
    assert made.manifest(APP, "bad").status == 403
    # Evidence reaches the disk with the next commit, which a pull does not wait for.
    wait_until(lambda: replay(made, tmp_path)[1]["unchanged"] == 2, what="the evidence of the pulls to be stored")
    fake.forget()
    return made


def replay(gateway, tmp_path, *more, **changes):
    proposed = tmp_path / "proposed.yaml"
    proposed.write_text(json.dumps({**gateway.config, **changes}))
    log = gateway.audit_file()
    result = gateway.run("replay", "-c", str(proposed), "--log", log, "--store", f"{gateway.folder}/store", "--output", "json", *more)
    assert result.stdout, result
    return result.returncode, json.loads(result.stdout)


def test_same_policy_changes_nothing_and_asks_nobody(gateway, fake, tmp_path):
    status, found = replay(gateway, tmp_path)
    assert (status, found["unchanged"], found["changes"]) == (0, 2, [])
    assert fake.asked() == []


def test_other_key_newly_denies_what_was_allowed(gateway, fake, keys, tmp_path):
    status, found = replay(gateway, tmp_path, signers={"release": {"keys": [{"file": f"{keys}/other.pub"}]}})
    assert status == 1 and found["unchanged"] == 1
    change = found["changes"][0]
    assert (change["change"], change["owner"], change["was"]) == ("denied", "platform@registry.test", "allow")
    assert change["image"].startswith(APP) and fake.asked() == []


def test_warn_newly_allows_what_was_denied(gateway, fake, tmp_path):
    status, found = replay(gateway, tmp_path, policies=[{**gateway.config["policies"][0], "mode": "warn"}])
    assert status == 0 and [c["change"] for c in found["changes"]] == ["allowed"]
    assert fake.asked() == []


def test_gateway_goes_on_while_its_store_is_read(gateway, images, tmp_path):
    replay(gateway, tmp_path)
    images.signed(tag="later", files={"f": b"later"})
    assert gateway.manifest(APP, "later").status == 200
    wait_until(lambda: replay(gateway, tmp_path)[0] == 0, what="the evidence of the last pull to be stored")
    assert replay(gateway, tmp_path)[1]["unchanged"] == 3
    gateway.restart()
    assert gateway.manifest(APP, "v1").status == 200


def test_since_leaves_older_decisions_out(gateway, tmp_path):
    status, found = replay(gateway, tmp_path, "--since", "2099-01-01")
    assert (status, found["unchanged"], found["changes"]) == (0, 0, [])


def test_what_is_not_stored_is_not_decided(gateway, fake, make_gateway, tmp_path):
    other = make_gateway(fake, name="empty")
    log = gateway.audit_file()
    result = gateway.run("replay", "-c", gateway.file, "--log", log, "--store", f"{other.folder}/store", "--output", "json")
    found = json.loads(result.stdout)
    assert result.returncode == 3 and {c["change"] for c in found["changes"]} == {"undecided"}


def test_folder_without_a_store_is_an_error(gateway, tmp_path):
    result = gateway.run("replay", "-c", gateway.file, "--store", str(tmp_path / "none"))
    assert result.returncode == 2 and "no store to read" in result.stderr
