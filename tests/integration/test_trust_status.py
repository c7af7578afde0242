"""`gatehouse trust`: what is trusted, until when, and what should be done about it."""
import datetime
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from trust_case import fixtures, run  # noqa: E402
from tuf_repository import TufRepository  # noqa: E402


def day(offset):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)).strftime("%Y-%m-%d")


def make_key(folder, name):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.key"], check=True)
    subprocess.run(["openssl", "pkey", "-in", folder / f"{name}.key", "-pubout", "-out", folder / f"{name}.pub"], check=True)
    return f"{name}.pub"


def write(folder, keys, roots=None):
    config = {"upstreams": {"registry.test": {"url": "http://127.0.0.1:1"}}, "storage": {"path": str(folder / "store")},
              "roots": roots or {}, "signers": {"release": {"keys": keys}},
              "policies": [{"name": "ours", "images": ["registry.test/**"], "require": [{"signature": "release"}]}]}
    file = folder / "gatehouse.yaml"
    file.write_text(json.dumps(config))
    return file


def status(file, *more):
    shown = run("trust", "status", "-c", file, "--output", "json", *more)
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def rules(document):
    return sorted(f["rule"] for f in document["findings"])


def test_status_of_good_keys_has_no_findings(tmp_path):
    file = write(tmp_path, [{"file": make_key(tmp_path, "a"), "not_before": day(-90), "not_after": day(40)},
                            {"file": make_key(tmp_path, "b"), "not_before": day(10), "not_after": day(300)}])
    document = status(file)
    assert rules(document) == []
    assert [k["state"] for k in document["keys"]] == ["good", "upcoming"]
    assert rules(status(file, "--cadence", "60d")) == ["key_cadence"]
    text = run("trust", "status", "-c", file)
    assert text.returncode == 0 and "a.pub of release" in text.stdout


def test_status_names_short_overlap_endless_and_missing_keys(tmp_path):
    file = write(tmp_path, [{"file": make_key(tmp_path, "a"), "not_before": day(-90), "not_after": day(10)},
                            {"file": make_key(tmp_path, "b"), "not_before": day(8), "not_after": day(20)},
                            {"file": make_key(tmp_path, "c"), "revoked": {"at": day(-1) + "T00:00:00Z"}}])
    assert rules(status(file)) == ["key_ahead", "key_overlap"]
    file = write(tmp_path, [{"file": "a.pub"}])
    assert rules(status(file)) == ["key_endless"]


def test_status_of_a_root_follows_its_refresh(tmp_path):
    content = (fixtures() / "trust/sigstore/trusted_root.json").read_bytes()
    repository = TufRepository(tmp_path / "tuf", content)
    keys = [{"file": make_key(tmp_path, "a"), "not_before": day(-90), "not_after": day(90)}]
    file = write(tmp_path, keys, {"acme": {"tuf": repository.url, "initial_root": str(repository.anchor)}})
    before = status(file)
    assert before["roots"][0]["state"] == "missing" and "root_missing" in rules(before)
    unknown = run("trust", "update", "-c", file, "acmee")
    assert unknown.returncode == 2 and "acmee" in unknown.stderr
    assert run("trust", "update", "-c", file, "acme").returncode == 0
    repository.publish_root(new_key=True)
    updated = json.loads(run("trust", "update", "-c", file, "--output", "json").stdout)
    assert updated["roots"][0]["refreshed"] is True and updated["roots"][0]["tuf"]["root_version"] == 2
    root = status(file)["roots"][0]
    assert (root["state"], root["kind"], root["tuf"]["root_version"]) == ("good", "tuf", 2)
    assert root["refreshed"] < root["stale_at"]


def test_usage_that_is_wrong_shows_the_help(tmp_path):
    assert run("trust").returncode == 2
    assert run("trust", "forget", "-c", "x").returncode == 2
    shown = run("trust", "--help")
    assert shown.returncode == 0 and "trust update" in shown.stdout
