"""Trust roots from TUF: fetched at the start, refreshed, stale, changed; nothing is fetched when offline."""
import json
import pathlib
import shutil
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from trust_case import Gateway, file_server, fixture_registry, fixtures, keyless_config, run, wait_until  # noqa: E402
from tuf_repository import TufRepository  # noqa: E402

IMAGE = "registry.test/keyless/email-bundle"


@pytest.fixture(scope="module")
def shared():
    return fixtures()


@pytest.fixture(scope="module")
def registry(shared):
    with fixture_registry(shared) as url:
        yield url


@pytest.fixture
def good(shared):
    return (shared / "trust/sigstore/trusted_root.json").read_bytes()


@pytest.fixture
def other(shared):
    return (shared / "trust/sigstore/trusted_root-other.json").read_bytes()


@pytest.fixture
def repository(tmp_path, good):
    return TufRepository(tmp_path / "tuf", good)


def tuf_root(repository, url=None, **more):
    return {"tuf": url or repository.url, "initial_root": str(repository.anchor), **more}


def held_folder(gateway):
    folders = [f for f in (gateway.storage / "tuf").iterdir() if f.is_dir()]
    assert len(folders) == 1, folders
    return folders[0]


def misses(gateway):
    return gateway.metric("gatehouse_verdict_cache_requests_total", result="miss")


def age(gateway, seconds):
    """As if the last refresh was that long ago."""
    file = held_folder(gateway) / "refreshed"
    file.write_text(f"{int(file.read_text()) - seconds}\n")


def test_first_start_fetches_before_it_listens(tmp_path, registry, repository):
    with Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository))) as gateway:
        assert gateway.pull(IMAGE, "v1")[:2] == (200, None)
        assert gateway.metric("gatehouse_trust_root_refresh_timestamp_seconds", root="acme") > 1.7e9
        end = gateway.metric("gatehouse_trust_root_expiry_timestamp_seconds", root="acme")
        assert end == gateway.metric("gatehouse_trust_root_refresh_timestamp_seconds", root="acme") + 7 * 86400
        assert gateway.ready()["notes"] == []
        assert [r["root"] for r in gateway.audit("trust")] == ["acme"]


def test_http_repository_is_used_and_rewrite_leads_to_a_mirror(tmp_path, registry, repository):
    with file_server(repository.served) as server:
        root = tuf_root(repository, server.url)
        with Gateway(tmp_path / "g", keyless_config(registry, root)) as gateway:
            assert gateway.pull(IMAGE, "v1")[0] == 200
        asked = len(server.asked)
        assert asked > 0
        mirror = {"fetch": {"rewrite": {server.url + "/": repository.url + "/"}}, "offline": True}
        with Gateway(tmp_path / "h", keyless_config(registry, root, **mirror)) as gateway:
            assert gateway.pull(IMAGE, "v1")[0] == 200
        assert len(server.asked) == asked


def test_offline_with_a_repository_beyond_is_refused_at_load(tmp_path, registry, repository):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository, "http://127.0.0.1:1"), offline=True))
    checked = run("check", "-c", gateway.file)
    assert checked.returncode == 2 and "offline" in checked.stderr


def test_repository_gone_serves_what_is_held_across_a_restart(tmp_path, registry, repository):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository)))
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
    shutil.rmtree(repository.served)
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
        assert gateway.pull("registry.test/keyless/email-legacy", "v1")[0] == 200
        wait_until(lambda: gateway.metric("gatehouse_trust_root_refreshes_total", result="failure"), what="a failure")


def test_stale_root_is_undecided_and_serves_again_after_update(tmp_path, registry, repository):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository, max_age="1d")))
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
    repository.served.rename(repository.folder / "away")
    age(gateway, 86401)
    with gateway:
        assert gateway.pull(IMAGE, "v1")[:2] == (503, "trust_root_stale")  # a stored verdict rests on it
        assert gateway.pull("registry.test/keyless/email-legacy", "v1")[:2] == (503, "trust_root_stale")
        assert any("past its max_age" in note for note in gateway.ready()["notes"])
        (repository.folder / "away").rename(repository.served)
        updated = run("trust", "update", "-c", gateway.file)
        assert updated.returncode == 0, updated.stderr
        wait_until(lambda: gateway.pull(IMAGE, "v1")[0] == 200, what="the update")
        assert gateway.ready()["notes"] == []


def test_root_that_is_not_refreshed_is_told_well_before_it_is_stale(tmp_path, registry, repository):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository, max_age="2d")))
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
    shutil.rmtree(repository.served)
    with gateway:  # a failure, but most of its age is left: a warning in the log, no more
        wait_until(lambda: gateway.metric("gatehouse_trust_root_refreshes_total", root="acme", result="failure"), what="a failure")
        assert gateway.ready()["notes"] == []
    age(gateway, 86400 + 3600)
    before = len(gateway.log())
    with gateway:
        wait_until(lambda: gateway.metric("gatehouse_trust_root_refreshes_total", root="acme", result="failure"), what="a failure")
        [note] = gateway.ready()["notes"]
        assert note.startswith("trust root acme is not being refreshed: it serves until ")
        assert gateway.ready()["ready"] is True
        left = gateway.metric("gatehouse_trust_root_expiry_timestamp_seconds", tenant="default", root="acme") - time.time()
        assert 22 * 3600 < left < 23 * 3600 + 60
        since = time.time() - gateway.metric("gatehouse_trust_root_refresh_timestamp_seconds", tenant="default", root="acme")
        assert 86400 + 3600 <= since < 86400 + 3660
        lines = [json.loads(line) for line in gateway.log()[before:].splitlines() if line.startswith("{")]
        assert [line["level"] for line in lines if "was not refreshed" in line["message"]] == ["error"]
        for image in (IMAGE, "registry.test/keyless/email-legacy"):  # stored, and new
            assert gateway.pull(image, "v1")[:2] == (200, None)


def test_root_that_ages_while_running_is_told_and_refused(tmp_path, registry, repository):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository, max_age="1d")))
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
    shutil.rmtree(repository.served)
    age(gateway, 86400 - 4)
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
        wait_until(lambda: gateway.pull(IMAGE, "v1")[:2] == (503, "trust_root_stale"), what="its age")
        assert gateway.pull("registry.test/keyless/email-legacy", "v1")[:2] == (503, "trust_root_stale")
        wait_until(lambda: "past its max_age" in gateway.log(), what="the log")


def test_changed_root_drops_just_the_verdicts_that_used_it(tmp_path, registry, repository, shared, other):
    config = keyless_config(registry, tuf_root(repository))
    config["roots"]["fixed"] = {"trusted_root": str(shared / "trust/sigstore/trusted_root.json")}
    config["signers"]["frozen"] = {"keyless": {**config["signers"]["ci"]["keyless"], "root": "fixed"}}
    config["policies"][0]["images"] = [IMAGE]
    config["policies"].append({"name": "frozen", "images": ["registry.test/keyless/email-legacy"],
                               "require": [{"signature": "frozen"}]})
    with Gateway(tmp_path / "g", config) as gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
        assert gateway.pull("registry.test/keyless/email-legacy", "v1")[0] == 200
        before = gateway.ready()
        gateway.file.write_text("this is being edited: [")  # must not matter to a refresh
        repository.publish_root(new_key=True)
        repository.publish(other)
        good_file = gateway.folder / "good.yaml"
        good_file.write_text(json.dumps(gateway.config))
        updated = run("trust", "update", "-c", good_file)
        assert updated.returncode == 0, updated.stderr
        count = misses(gateway)
        wait_until(lambda: gateway.pull(IMAGE, "v1")[0] == 403, what="the new root")
        made = misses(gateway)
        assert made > count
        assert gateway.pull("registry.test/keyless/email-legacy", "v1")[0] == 200
        assert misses(gateway) == made
        assert len(gateway.audit("trust")) == 2 and gateway.audit("trust")[-1]["previous"] != ""
        assert gateway.ready()["ready"] == before["ready"] is True


def test_unusable_root_leaves_the_old_one_in_force(tmp_path, registry, repository):
    with Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository))) as gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
        repository.publish(b'{"mediaType": "application/vnd.example.unknown"}')
        assert run("trust", "update", "-c", gateway.file).returncode != 2
        wait_until(lambda: "not put in force" in gateway.log(), what="the refusal")
        assert gateway.pull(IMAGE, "v1")[0] == 200
        assert gateway.pull("registry.test/keyless/email-legacy", "v1")[0] == 200
    with gateway:  # a gateway that knows nothing better starts, and refuses
        assert gateway.pull(IMAGE, "v1")[:2] == (503, "trust_root_missing")


def test_altered_held_state_is_not_used(tmp_path, registry, repository, other):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository)))
    with gateway:
        assert gateway.pull(IMAGE, "v1")[0] == 200
    shutil.rmtree(repository.served)
    (held_folder(gateway) / "trusted_root.json.target").write_bytes(other)
    with gateway:
        status, cause, _ = gateway.pull("registry.test/keyless/email-legacy", "v1")
        assert (status, cause) == (503, "trust_root_missing")


def test_verify_and_check_use_what_is_held(tmp_path, registry, repository):
    gateway = Gateway(tmp_path / "g", keyless_config(registry, tuf_root(repository)))
    assert "has not been fetched yet" in run("check", "-c", gateway.file).stderr
    assert run("verify", "-c", gateway.file, IMAGE + ":v1").returncode == 3
    assert not gateway.storage.exists()
    assert run("trust", "update", "-c", gateway.file).returncode == 0
    assert "has not been fetched yet" not in run("check", "-c", gateway.file).stderr
    assert run("verify", "-c", gateway.file, IMAGE + ":v1").returncode == 0


def test_repository_that_hangs_holds_neither_the_start_nor_the_end(tmp_path, registry, repository):
    with socket.create_server(("127.0.0.1", 0)) as hung:  # accepts, says nothing
        root = tuf_root(repository, f"http://127.0.0.1:{hung.getsockname()[1]}")
        gateway = Gateway(tmp_path / "g", keyless_config(registry, root))
        with gateway:  # after its ten seconds
            assert gateway.pull(IMAGE, "v1")[:2] == (503, "trust_root_missing")
            began = time.monotonic()
            gateway.stop()
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("variant,cause", [
    ("good", None), ("good-no-rotation", None), ("expired-root-v1", None),
    ("expired-timestamp", "tuf_freeze"), ("expired-snapshot", "tuf_freeze"), ("expired-targets", "tuf_freeze"),
    ("expired-root", "tuf_freeze"), ("rotation-not-signed-by-old-root", "tuf_signature_threshold"),
    ("rotation-below-new-threshold", "tuf_signature_threshold"), ("timestamp-wrong-key", "tuf_signature_threshold"),
    ("snapshot-signature-altered", None), ("target-altered", "tuf_target_mismatch"), ("mix-and-match", None)])
def test_fixture_repository_gives_its_verdict(tmp_path, registry, shared, variant, cause):
    source = shared / "tuf" / variant
    shutil.copytree(source / "metadata", tmp_path / "repo")
    shutil.copytree(source / "targets", tmp_path / "repo" / "targets")
    gateway = Gateway(tmp_path / "g", keyless_config(registry, {
        "tuf": f"file://{tmp_path}/repo", "initial_root": str(source / "anchor-root.json")}))
    case = next(c for c in json.loads((shared / "expected.json").read_text())["cases"] if c["id"] == f"tuf/{variant}")
    allowed = case["expected"]["verdict"] == "allow"
    updated = run("trust", "update", "-c", gateway.file, "--output", "json")
    assert updated.returncode == (0 if allowed else 3), updated.stdout + updated.stderr
    if cause is not None:
        assert json.loads(updated.stdout)["roots"][0]["cause"] == cause
    assert run("verify", "-c", gateway.file, IMAGE + ":v1").returncode == (0 if allowed else 3)
