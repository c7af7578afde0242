"""The log entries that a verdict rests on: index, log and time, in the audit record and in `verify`, for both kinds of Rekor."""
import base64
import datetime
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from trust_case import Gateway, fixture_registry, fixtures, keyless_config, run  # noqa: E402

EMAIL = {"issuer": "https://accounts.example.test", "subject": "release@example.test"}
GITHUB = {"issuer": "https://token.actions.githubusercontent.com",
          "subject": "https://github.com/example-org/app/.github/workflows/release.yml@refs/tags/v1.2.3"}
IMAGES = {"email-bundle": EMAIL, "email-legacy": EMAIL, "rekor2-bundle": EMAIL, "rekor1-only-bundle": GITHUB, "attest-rekor2": GITHUB,
          "keyed-with-tlog-bundle": None, "keyed-with-tlog-legacy": None}


@pytest.fixture(scope="module")
def shared():
    return fixtures()


@pytest.fixture(scope="module")
def registry(shared):
    with fixture_registry(shared) as url:
        yield url


def blob(shared, digest):
    return json.loads((shared / "registry/blobs/sha256" / digest[7:]).read_bytes())


def moment(seconds):
    if not int(seconds):
        return None
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def entries(shared, name):
    """What the evidence in the registry says of itself."""
    repository = json.loads((shared / "registry/repos.json").read_text())["repositories"][f"keyless/{name}"]
    found = []
    for tag, digest in repository["tags"].items():
        for layer in blob(shared, digest).get("layers", []) if tag.endswith(".sig") else []:
            payload = json.loads(layer["annotations"]["dev.sigstore.cosign/bundle"])["Payload"]
            found.append({"log_id": payload["logID"], "index": payload["logIndex"], "time": moment(payload["integratedTime"])})
    for descriptors in repository["referrers"].values():
        for descriptor in descriptors:
            for layer in blob(shared, descriptor["digest"])["layers"]:
                for entry in blob(shared, layer["digest"])["verificationMaterial"]["tlogEntries"]:
                    found.append({"log_id": base64.b64decode(entry["logId"]["keyId"]).hex(), "index": int(entry["logIndex"]),
                                  "time": moment(entry.get("integratedTime", 0) if "inclusionPromise" in entry else 0)})
    return found


def config(shared, registry, name):
    root = {"trusted_root": str(shared / "trust/sigstore/trusted_root.json")}
    made = keyless_config(registry, root, IMAGES[name] or EMAIL)
    if IMAGES[name] is None:
        made["signers"] = {"ci": {"keys": [{"file": str(shared / "trust/cosign/p256.pub")}], "tlog": "required", "root": "acme"}}
    if name.startswith("attest"):
        made["policies"][0]["require"] = [{"attestation": "cyclonedx", "signer": "ci"}]
    return made


@pytest.mark.parametrize("name", IMAGES)
def test_entries_are_told(tmp_path, shared, registry, name):
    wanted = entries(shared, name)
    assert wanted
    with Gateway(tmp_path / "g", config(shared, registry, name)) as gateway:
        assert gateway.pull(f"registry.test/keyless/{name}", "v1")[:2] == (200, None)
        [record] = gateway.audit("verdict")
        assert record["log_entries"] == wanted
        shown = run("verify", "-c", gateway.file, "--output", "json", f"registry.test/keyless/{name}:v1")
        assert json.loads(shown.stdout)["requirements"][0]["log_entries"] == wanted
        shown = run("verify", "-c", gateway.file, f"registry.test/keyless/{name}:v1").stdout
        for entry in wanted:
            assert f"log entry {entry['index']} of log {entry['log_id']}, " in shown
            assert (f"logged at {entry['time']}" if entry["time"] else "vouches for no time") in shown
    if "rekor2" in name:
        assert [e["time"] for e in wanted] == [None] * len(wanted)


def test_what_does_not_verify_tells_no_entries(tmp_path, shared, registry):
    made = config(shared, registry, "email-bundle")
    made["signers"]["ci"]["keyless"]["subject"] = "somebody@example.test"
    with Gateway(tmp_path / "g", made) as gateway:
        assert gateway.pull("registry.test/keyless/email-bundle", "v1")[0] == 403
        [record] = gateway.audit("verdict")
        assert record["log_entries"] == []
        shown = run("verify", "-c", gateway.file, "registry.test/keyless/email-bundle:v1")
        assert shown.returncode == 1 and "log entry" not in shown.stdout
