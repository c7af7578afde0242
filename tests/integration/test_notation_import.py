"""notation's own configuration folder, imported as a user would: `policy import`, `check`, a pull."""
import json
import os
import re
import shutil
import subprocess

import pytest

from gateway import BINARY, Gateway, error_of
from notation_program import program, registry, sign  # noqa: F401 (fixtures)
from notation_services import StampAuthority, serving

HOST = "registry.example.test"


def statement(name, scopes, stores, level="strict", **more):
    return {"name": name, "registryScopes": scopes, "signatureVerification": {"level": level, **more},
            "trustStores": stores, "trustedIdentities": ["x509.subject: C=SE, ST=Test, O=Interop"]}


def run_import(*arguments):
    return subprocess.run([BINARY, "policy", "import", "--from", "notation", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.fixture
def notation(tmp_path):
    """notation(statements, {store: [file…]}): a configuration folder."""
    def make(statements, stores):
        folder = tmp_path / "notation"
        folder.mkdir()
        for store, files in stores.items():
            kind, name = store.split(":")
            place = folder / "truststore" / "x509" / kind / name
            place.mkdir(parents=True)
            for file in files:
                shutil.copy(file, place)
        (folder / "trustpolicy.json").write_text(json.dumps({"version": "1.0", "trustPolicies": statements}))
        return folder
    return make


def test_imported_folder_serves_and_refuses(program, registry, notation, tmp_path):  # noqa: F811
    stamps = StampAuthority(tmp_path / "stamps")
    with serving(stamps.answer) as (address, _):
        cases = sign(program, registry, tmp_path, "-repository", "imported/app", "-keys", "p256", "-tsa", address, "-tsa-root",
                     stamps.root)
    folder = notation(
        [statement("app", [f"{HOST}/imported/app"], ["ca:corp", "tsa:stamps"], verifyTimestamp="afterCertExpiry"),
         statement("rest", ["*"], ["signingAuthority:vendor"], level="permissive", override={"expiry": "enforce"})],
        {"ca:corp": [tmp_path / "root.pem"], "tsa:stamps": [stamps.root], "signingAuthority:vendor": [tmp_path / "other-root.pem"],
         "ca:unused": [tmp_path / "other-root.pem"]})
    made = run_import(folder, "--out", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    file = tmp_path / "out" / "gatehouse.yaml"
    checked = subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout
    text = file.read_text()
    assert "verify_timestamp: after_cert_expiry" in text and "override: {expiry: enforce}" in text
    gateway = Gateway(tmp_path / "gateway", {}, ready=False)
    here = {"listen": gateway.config["listen"], "admin": gateway.config["admin"], "storage": gateway.config["storage"]}
    text = re.sub(r"https://registry.example.test", registry.url, text)
    (tmp_path / "out" / "here.yaml").write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in here.items()) + text)
    gateway.file = str(tmp_path / "out" / "here.yaml")
    gateway.start()
    try:
        for tag, cause in (("jws-p256", None), ("cose-p256-stamped", None), ("jws-untrusted", "cert_chain_untrusted"),
                           ("cose-expired", "notation_expired"), ("jws-authority", "notation_scheme_store_mismatch")):
            answer = gateway.manifest(f"{HOST}/imported/app", cases[tag]["digest"])
            assert (answer.status, None if cause is None else error_of(answer)["detail"]["cause"]) == (
                200 if cause is None else 403, cause), tag
    finally:
        gateway.stop()


def test_folder_forms_are_the_same(notation, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=t", "-keyout",
                    tmp_path / "k", "-out", tmp_path / "t.pem"], check=True, capture_output=True)
    folder = notation([statement("all", ["*"], ["ca:corp"])], {"ca:corp": [tmp_path / "t.pem"]})
    policy = folder / "trustpolicy.json"
    outcomes = {run_import(*arguments).stdout for arguments in (
        [folder], [policy, folder], [policy, folder / "truststore"], [policy, folder / "truststore" / "x509"],
        [policy, "--set", f"store:ca:corp={folder}/truststore/x509/ca/corp/t.pem"])}
    assert len(outcomes) == 1 and "roots:" in outcomes.pop()


def test_folder_that_is_not_as_it_should_be_is_refused(notation, tmp_path):
    (tmp_path / "t.pem").write_text("no certificate")
    folder = notation([statement("all", ["*"], ["ca:corp", "tsa:none"])], {"ca:corp": [tmp_path / "t.pem"]})
    store = folder / "truststore" / "x509" / "ca" / "corp"

    def refused(*arguments):
        made = run_import(*arguments)
        assert made.returncode == 2 and made.stdout == ""
        return made.stderr

    assert "give the trust store's folder, or --set store:tsa:none=FILE" in refused(folder)
    (store / "link.pem").symlink_to(tmp_path / "t.pem")
    assert "not a regular file" in refused(folder)
    (store / "link.pem").unlink()
    (store / "notes.txt").write_text("")
    assert "expected .pem, .crt or .cer" in refused(folder)
    assert "no trust store" in refused(tmp_path / "notation" / "truststore" / "x509" / "ca")
    (folder / "trustpolicy.json").unlink()
    (store / "notes.txt").unlink()
    assert "no trust policy was named" in refused(folder)


def test_paths_hold_where_the_configuration_is_written(notation, tmp_path, monkeypatch):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=t", "-addext",
                    "keyUsage=critical,keyCertSign", "-keyout", tmp_path / "k", "-out", tmp_path / "t.pem"], check=True, capture_output=True)
    folder = notation([statement("all", [f"{HOST}/app"], ["ca:corp"])], {})
    binary = os.path.abspath(BINARY)
    monkeypatch.chdir(tmp_path)
    made = subprocess.run([binary, "policy", "import", "--from", "notation", folder / "trustpolicy.json", "--set", "store:ca:corp=t.pem",
                           "--out", "elsewhere"], capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    checked = subprocess.run([binary, "check", "-c", "elsewhere/gatehouse.yaml"], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout


def test_level_that_takes_anybody_is_warned_of(notation, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=t", "-addext",
                    "keyUsage=critical,keyCertSign", "-keyout", tmp_path / "k", "-out", tmp_path / "t.pem"], check=True, capture_output=True)
    for level, warnings in (("audit", 1), ("permissive", 0)):
        folder = tmp_path / level
        folder.mkdir()
        (folder / "trustpolicy.json").write_text(json.dumps({"version": "1.0", "trustPolicies": [
            statement("all", [f"{HOST}/app"], ["ca:corp"], level=level)]}))
        made = run_import(folder / "trustpolicy.json", "--set", f"store:ca:corp={tmp_path}/t.pem", "--out", folder / "out")
        assert made.returncode == 0, made.stderr
        checked = subprocess.run([BINARY, "check", "-c", folder / "out" / "gatehouse.yaml"], capture_output=True, text=True, timeout=60,
                                 check=False)
        assert checked.returncode == 0
        assert (checked.stdout + checked.stderr).count("a signature of anybody satisfies this signer") == warnings
