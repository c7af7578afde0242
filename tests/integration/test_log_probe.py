"""Watching transparency logs: they grow, fork, shrink, go away; pulls pass as before, whatever a log shows."""
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fake_log import FakeLog  # noqa: E402
from trust_case import Gateway, file_server, fixture_registry, fixtures, keyless_config, run, wait_until  # noqa: E402
from tuf_repository import TufRepository  # noqa: E402

IMAGES = ("email-bundle", "email-legacy")
KINDS = ("rekor1", "rekor2", "tiled")
CLIENTS = KINDS[:2]  # plain tiles differ by their addresses alone


@pytest.fixture(scope="module")
def shared():
    return fixtures()


@pytest.fixture(scope="module")
def registry(shared):
    with fixture_registry(shared) as url:
        yield url


@pytest.fixture
def make_log(tmp_path):
    made = []

    def make(kind, **options):
        made.append(FakeLog(tmp_path, kind, **options))
        return made[-1]

    yield make
    for log in made:
        log.close()


@pytest.fixture
def scene(tmp_path, shared, registry, make_log):
    """scene(kind): a log, and a gateway (not started) whose trust root names it beside the fixtures' own logs."""
    def make(kind, size=3, probe="1s", **more):
        log = make_log(kind, size=size)
        document = trusted_root(shared, log)
        file = tmp_path / "trusted_root.json"
        file.write_text(json.dumps(document))
        gateway = Gateway(tmp_path / "g", keyless_config(registry, {"trusted_root": str(file), "probe": probe}, **more))
        return log, gateway
    return make


def trusted_root(shared, *logs):
    document = json.loads((shared / "trust/sigstore/trusted_root.json").read_text())
    for log in document["tlogs"]:
        log.pop("baseUrl")  # they are nowhere: not watched
    document["tlogs"] += [log.entry() for log in logs]
    return document


def metric(gateway, log, name, **labels):
    return gateway.metric(f"gatehouse_log_{name}", tenant="default", root="acme", log=log.label, **labels)


def wait_size(gateway, log, size):
    wait_until(lambda: metric(gateway, log, "tree_size") == size, what=f"a tree of {size}")


def wait_alarm(gateway, log, cause, count=1):
    wait_until(lambda: metric(gateway, log, "alarms_total", cause=cause) == count, what=cause)


def pulls_pass(gateway):
    for image in IMAGES:
        assert gateway.pull(f"registry.test/keyless/{image}", "v1")[:2] == (200, None)
    assert gateway.ready()["ready"] is True


def notes(gateway, log):
    return [note for note in gateway.ready()["notes"] if log.label in note]


@pytest.mark.parametrize("kind", KINDS)
def test_log_that_grows_then_forks_then_goes_away(scene, kind):
    log, gateway = scene(kind)
    with gateway:
        wait_size(gateway, log, 3)
        assert metric(gateway, log, "up") == 1 and metric(gateway, log, "consistent") == 1
        seen = metric(gateway, log, "last_success_timestamp_seconds")
        assert seen > 1.7e9
        for size in (7, 300, 600):
            log.grow(size - len(log.leaves))
            wait_size(gateway, log, size)
        assert notes(gateway, log) == [] and gateway.audit("log_alarm") == []
        pulls_pass(gateway)

        good = log.note_now
        log.fork(at=100, extra=1)
        wait_alarm(gateway, log, "log_forked")
        assert metric(gateway, log, "consistent") == 0 and metric(gateway, log, "up") == 1
        assert metric(gateway, log, "tree_size") == 600
        [record] = gateway.audit("log_alarm")
        assert (record["state"], record["cause"], record["root"], record["log"]) == ("raised", "log_forked", "acme", log.url)
        assert record["known"] == good and record["shown"] == log.note_now
        assert record["message"] in notes(gateway, log)[0]
        assert "is not what it was" in gateway.log() and "log_forked" in gateway.log()
        pulls_pass(gateway)  # a new decision, and one from stored verdicts
        pulls_pass(gateway)
        assert len(gateway.audit("log_alarm")) == 1

        log.stop()
        wait_until(lambda: metric(gateway, log, "up") == 0, what="its absence")
        assert metric(gateway, log, "probes_total", result="failure") >= 1
        assert len(notes(gateway, log)) == 1  # the alarm stands
        pulls_pass(gateway)
    assert run("audit", "verify", gateway.storage / "audit.jsonl").returncode == 0


def test_fork_of_the_log_that_vouches_changes_no_verdict(tmp_path, shared, registry, make_log):
    log = make_log("rekor1", size=5, key=shared / "test-only-keys/sigstore-rekor1.pem")
    document = json.loads((shared / "trust/sigstore/trusted_root.json").read_text())
    document["tlogs"][0]["baseUrl"] = log.url
    document["tlogs"][1].pop("baseUrl")
    file = tmp_path / "trusted_root.json"
    file.write_text(json.dumps(document))
    gateway = Gateway(tmp_path / "g", keyless_config(registry, {"trusted_root": str(file), "probe": "1s"}))
    with gateway:
        wait_size(gateway, log, 5)
        log.fork(at=3, extra=4)
        wait_alarm(gateway, log, "log_forked")
        pulls_pass(gateway)
        found = json.loads(run("verify", "-c", gateway.file, "--output", "json", "registry.test/keyless/email-bundle:v1").stdout)
        [entry] = found["requirements"][0]["log_entries"]
        assert entry["log_id"] == log.key.id("").hex()  # the very log that is forked
        log.stop()
        wait_until(lambda: metric(gateway, log, "up") == 0, what="its absence")
        assert gateway.pull("registry.test/keyless/github-bundle", "v1")[1] == "issuer_mismatch"  # as before
        pulls_pass(gateway)


@pytest.mark.parametrize("kind", CLIENTS)
def test_equal_size_with_another_root_is_a_fork(scene, kind):
    log, gateway = scene(kind, size=5)
    with gateway:
        wait_size(gateway, log, 5)
        log.fork(at=4)
        wait_alarm(gateway, log, "log_forked")
        pulls_pass(gateway)


@pytest.mark.parametrize("kind", CLIENTS)
def test_alarm_outlasts_a_restart_and_ends_with_the_true_history(scene, kind):
    log, gateway = scene(kind, size=9)
    with gateway:
        wait_size(gateway, log, 9)
    true_leaves = log.leaves
    log.fork(at=2, extra=3)  # while nobody looks
    with gateway:
        wait_alarm(gateway, log, "log_forked")
    with gateway:  # the alarm is known, and not raised again
        wait_until(lambda: metric(gateway, log, "probes_total", result="alarm"), what="a probe")
        assert metric(gateway, log, "consistent") == 0 and metric(gateway, log, "alarms_total") == 0
        assert len(notes(gateway, log)) == 1
        log.show(true_leaves)
        log.grow(4)
        wait_size(gateway, log, 13)
        assert metric(gateway, log, "consistent") == 1 and notes(gateway, log) == []
    assert [r["state"] for r in gateway.audit("log_alarm")] == ["raised", "over"]


@pytest.mark.parametrize("kind", CLIENTS)
def test_smaller_tree_is_an_alarm(scene, kind):
    log, gateway = scene(kind, size=8)
    with gateway:
        wait_size(gateway, log, 8)
        log.shrink(2)
        wait_alarm(gateway, log, "log_shrunk")
        assert metric(gateway, log, "tree_size") == 8
        pulls_pass(gateway)
        log.grow(5)
        wait_size(gateway, log, 11)
        assert [r["state"] for r in gateway.audit("log_alarm")] == ["raised", "over"]


@pytest.mark.parametrize("kind", CLIENTS)
def test_proof_that_leads_nowhere_is_an_alarm(scene, kind):
    log, gateway = scene(kind, size=5)
    with gateway:
        wait_size(gateway, log, 5)
        log.corrupt = (lambda hashes: ["00" * 32] * len(hashes)) if kind == "rekor1" else (lambda body: bytes(len(body)))
        log.grow(6)
        wait_alarm(gateway, log, "log_proof_invalid")
        log.corrupt = None
        wait_size(gateway, log, 11)
        assert gateway.audit("log_alarm")[-1]["state"] == "over"


def test_tree_that_is_closed_and_followed_by_another(scene):
    log, gateway = scene("rekor1", size=6)
    with gateway:
        wait_size(gateway, log, 6)
        log.grow(3)
        log.rotate("2207", size=2)
        wait_size(gateway, log, 2)
        log.grow(3)
        wait_size(gateway, log, 5)
        assert gateway.audit("log_alarm") == []
        log.closed.clear()
        log.rotate("3301", size=40, keep=False)
        wait_alarm(gateway, log, "log_replaced")
        assert metric(gateway, log, "tree_size") == 5
        pulls_pass(gateway)


def test_closed_tree_that_lost_entries_is_an_alarm(scene):
    log, gateway = scene("rekor1", size=6)
    with gateway:
        wait_size(gateway, log, 6)
        shorter = log.leaves[:4]
        tree = log.tree
        log.rotate("2207", size=50, keep=False)
        log.closed.append((tree, shorter, log.note(shorter, tree)))
        wait_until(lambda: metric(gateway, log, "consistent") == 0, what="the alarm")
        assert {r["cause"] for r in gateway.audit("log_alarm")} <= {"log_shrunk", "log_replaced"}
        wait_alarm(gateway, log, "log_shrunk")


def test_part_of_a_tile_that_gave_way_to_the_whole(scene):
    log, gateway = scene("rekor2", size=250)
    with gateway:
        wait_size(gateway, log, 250)
        log.hide_parts = True
        log.grow(3)
        held = log.note_now
        log.grow(20)
        log.note_now = held  # a cached checkpoint over newer tiles
        wait_size(gateway, log, 253)
        assert "/api/v2/tile/0/000" in log.asked


def test_answer_that_the_log_did_not_sign_teaches_nothing(scene, make_log):
    log, gateway = scene("rekor2", size=5)
    stranger = make_log("tiled", name="stranger", size=9)
    with gateway:
        wait_size(gateway, log, 5)
        real = log.note_now
        log.note_now = real.replace("\n5\n", "\n4\n", 1)
        wait_until(lambda: metric(gateway, log, "up") == 0, what="the refusal")
        log.note_now = stranger.note_now
        failures = metric(gateway, log, "probes_total", result="failure")
        wait_until(lambda: metric(gateway, log, "probes_total", result="failure") > failures + 1, what="two more")
        assert metric(gateway, log, "consistent") == 1 and gateway.audit("log_alarm") == []
        wait_until(lambda: notes(gateway, log), what="the note")
        log.note_now = real
        wait_until(lambda: metric(gateway, log, "up") == 1, what="its return")
        assert notes(gateway, log) == [] and "answers again" in gateway.log()


def test_memory_that_is_damaged_is_told_and_begun_anew(scene):
    log, gateway = scene("rekor1", size=5)
    with gateway:
        wait_size(gateway, log, 5)
    [file] = (gateway.storage / "probe").iterdir()
    file.write_text(file.read_text()[:-40])
    log.shrink(2)
    with gateway:
        wait_size(gateway, log, 3)
        assert "is lost, watching begins anew" in gateway.log()


def test_logs_are_watched_only_where_asked_for(scene):
    log, gateway = scene("rekor1")
    gateway.config["roots"]["acme"].pop("probe")
    gateway.write()
    with gateway:
        pulls_pass(gateway)
        assert metric(gateway, log, "up") is None and log.asked == []
        assert not (gateway.storage / "probe").exists()
        gateway.config["roots"]["acme"]["probe"] = "1s"
        gateway.write()
        assert gateway.reload() == 200
        wait_size(gateway, log, 3)
        gateway.config["roots"]["acme"].pop("probe")
        gateway.write()
        assert gateway.reload() == 200
        wait_until(lambda: metric(gateway, log, "up") is None, what="the end of watching")


def test_address_that_cannot_be_used_is_told_and_harms_nothing(tmp_path, shared, registry):
    document = trusted_root(shared)
    document["tlogs"][0]["baseUrl"] = "ftp://logs.example.test"
    file = tmp_path / "trusted_root.json"
    file.write_text(json.dumps(document))
    with Gateway(tmp_path / "g", keyless_config(registry, {"trusted_root": str(file), "probe": "1s"})) as gateway:
        wait_until(lambda: gateway.metric("gatehouse_log_probes_total", log="logs.example.test", result="failure") >= 3
                   if gateway.metric("gatehouse_log_up") is not None else False, what="failures")
        assert gateway.metric("gatehouse_log_up", log="logs.example.test") == 0
        pulls_pass(gateway)


def test_rewrite_leads_to_a_mirror_of_the_log(scene, make_log):
    log, gateway = scene("rekor1")
    mirror = make_log("rekor1", name="mirror")
    mirror.key = log.key
    mirror.show(log.leaves)
    gateway.config["fetch"] = {"rewrite": {log.url + "/": mirror.url + "/"}}
    gateway.write()
    with gateway:
        wait_size(gateway, log, 3)
        assert log.asked == [] and mirror.asked != []


def test_repository_of_a_root_is_watched(tmp_path, shared, registry, make_log):
    log = make_log("rekor2", size=2)
    repository = TufRepository(tmp_path / "tuf", json.dumps(trusted_root(shared, log)).encode())
    with file_server(repository.served) as server:
        root = {"tuf": server.url, "initial_root": str(repository.anchor), "probe": "1s"}
        with Gateway(tmp_path / "g", keyless_config(registry, root)) as gateway:
            wait_size(gateway, log, 2)
            wait_until(lambda: gateway.metric("gatehouse_trust_root_up", root="acme") == 1, what="the repository")
            (repository.served / "timestamp.json").rename(repository.served / "away.json")
            wait_until(lambda: gateway.metric("gatehouse_trust_root_up", root="acme") == 0, what="its absence")
            wait_until(lambda: any("does not answer" in n for n in gateway.ready()["notes"]), what="the note")
            pulls_pass(gateway)


@pytest.mark.parametrize("change, words", [
    ({"offline": True}, "cannot be watched"),
    ({"roots": {"acme": {"ca": ["x.pem"], "probe": "1h"}}}, "certificates have no transparency log"),
    ({"roots": {"acme": {"trusted_root": "x.json", "probe": "8d"}}}, "probe"),
])
def test_configuration_without_sense_is_refused(scene, change, words):
    _, gateway = scene("rekor1")
    gateway.config.update(change)
    gateway.write()
    checked = run("check", "-c", gateway.file)
    assert checked.returncode == 2 and words in checked.stderr
