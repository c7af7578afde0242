"""Signatures and attestations freshly made by the real cosign, 2 and 3, under a private Sigstore (Fulcio, Rekor 1 and 2, CT
log, time stamps): the gateway serves what the policy's identity made and refuses anybody else's, in both formats."""
import hashlib
import json
import subprocess

import demo_image
import pytest

pytest.importorskip("cryptography", reason="python3-cryptography is not installed")

from cosign_case import (config, cosign, cosign3, environment, judge, make_pair, push, registry,  # noqa: E402, F401
                         run_cosign)
from private_sigstore import PrivateSigstore, token  # noqa: E402
from trust_case import Gateway, run  # noqa: E402

ISSUER, EMAIL = "https://issuer.test", "release@acme.test"
WORKFLOW = "https://ci.acme.test/acme/app/.github/workflows/release.yml@refs/tags/v1"
OCI = [f"application/vnd.oci.image.{kind}.v1+json" for kind in ("manifest", "index")]
REVIEW = "https://acme.test/review/v1"

# How the image is signed: cosign's version, the log's, with a time stamp, as a bundle.
FORMS = {"v3-rekor1": (3, 1, False, True), "v3-rekor1-stamped": (3, 1, True, True), "v3-rekor2": (3, 2, True, True),
         "v2-bundle": (2, 1, False, True), "v2-legacy": (2, 1, False, False), "v2-legacy-stamped": (2, 1, True, False)}


@pytest.fixture(scope="module")
def sigstore(tmp_path_factory):
    made = PrivateSigstore(tmp_path_factory.mktemp("sigstore"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def other_sigstore(tmp_path_factory):
    made = PrivateSigstore(tmp_path_factory.mktemp("other-sigstore"))
    yield made
    made.close()


def identity(**claims):
    return token(ISSUER, **(claims or {"sub": EMAIL, "email": EMAIL, "email_verified": True}))


class Signer:
    def __init__(self, request, registry, sigstore, folder):
        self.request, self.registry, self.sigstore, self.folder = request, registry, sigstore, folder

    def run(self, form, verb, repository, digest, *arguments, who=None, key=None):
        version, log, is_stamped, is_bundle = FORMS[form]
        binary = self.request.getfixturevalue("cosign" if version == 2 else "cosign3")
        private = self.sigstore
        options = [*arguments, *(["--key", key] if key else ["--identity-token", who or identity()])]
        if version == 3:
            options += ["--signing-config", private.signing_config(log, is_stamped), "--trusted-root", private.trusted_root]
        else:
            options += ["--fulcio-url", private.url + "/fulcio", "--rekor-url", private.url + "/rekor1"]
            options += ["--timestamp-server-url", private.url + "/tsa/api/v1/timestamp"] if is_stamped else []
            options += ["--new-bundle-format", "--trusted-root", private.trusted_root] if is_bundle else []
        run_cosign(binary, verb, self.folder, *options, f"{self.registry}/{repository}@{digest}",
                   SIGSTORE_ROOT_FILE=str(private.folder / "fulcio-chain.pem"),
                   SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=str(private.folder / "ct.pub"),
                   SIGSTORE_REKOR_PUBLIC_KEY=str(private.folder / "rekor1.pub"))

    def signed(self, form, repository, **how):
        digest = push(self.registry, repository)
        self.run(form, "sign", repository, digest, **how)
        return digest

    def attested(self, form, repository, predicate, kind=REVIEW, **how):
        digest = push(self.registry, repository)
        path = self.folder / "predicate.json"
        path.write_text(json.dumps(predicate))
        self.run(form, "attest", repository, digest, "--predicate", path, "--type", kind, **how)
        return digest


@pytest.fixture
def signer(request, registry, sigstore, tmp_path):  # noqa: F811
    return Signer(request, registry, sigstore, tmp_path)


def keyless(**changes):
    return {"keyless": {"root": "acme", "issuer": ISSUER, "subject": EMAIL, **changes}}


# ---- keyless signatures ----

@pytest.mark.parametrize("form", FORMS)
def test_keyless_signature_is_served_to_its_identity_alone(tmp_path, registry, sigstore, other_sigstore, signer, form):  # noqa: F811
    digest = signer.signed(form, "team/" + form)
    stamped = {"timestamp": "required"}

    def told(name, trust=keyless(), root=sigstore):
        return judge(tmp_path / name, registry, trust, "team/" + form, digest, root.trusted_root)

    assert told("right") == (200, None)
    assert told("pattern", keyless(subject="*@acme.test")) == (200, None)
    assert told("subject", keyless(subject="other@acme.test")) == (403, "identity_mismatch")
    assert told("issuer", keyless(issuer="https://other.test")) == (403, "issuer_mismatch")
    assert told("root", root=other_sigstore)[0] == 403
    assert told("stamp", keyless(**stamped))[0] == (200 if FORMS[form][2] else 403)


def test_keyless_legacy_signature_as_a_referrer(tmp_path, registry, sigstore, cosign, signer):  # noqa: F811
    """cosign 2's experimental form: a simple signing layer, hung on the image by its subject."""
    digest = push(registry, "team/referrer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSIGN_EXPERIMENTAL", "1")
        signer.run("v2-legacy", "sign", "team/referrer", digest, "--registry-referrers-mode", "oci-1-1")
    tags = json.loads(demo_image.call("GET", f"http://{registry}/v2/team/referrer/tags/list")[2])["tags"]
    assert digest.replace(":", "-") in tags and digest.replace(":", "-") + ".sig" not in tags, tags
    for name, trust, wanted in (("right", keyless(), (200, None)),
                                ("wrong", keyless(subject="other@acme.test"), (403, "identity_mismatch"))):
        assert judge(tmp_path / name, registry, trust, "team/referrer", digest, sigstore.trusted_root) == wanted


@pytest.mark.parametrize("form", ["v3-rekor1", "v3-rekor2", "v2-legacy"])
def test_keyless_workflow_uri_and_claims(tmp_path, registry, sigstore, signer, form):  # noqa: F811
    digest = signer.signed(form, "flow/" + form, who=identity(sub=WORKFLOW))
    tags = "https://ci.acme.test/acme/*/.github/workflows/release.yml@refs/tags/*"
    for name, changes, wanted in (("right", {"subject": tags}, (200, None)),
                                  ("branch", {"subject": tags.replace("tags", "heads")}, (403, "identity_mismatch")),
                                  ("claim", {"subject": tags, "claims": {"source_repository_uri": "https://ci.acme.test/x"}},
                                   (403, "extension_mismatch"))):
        assert judge(tmp_path / name, registry, keyless(**changes), "flow/" + form, digest, sigstore.trusted_root) == wanted


@pytest.mark.parametrize("form, suffix, cause", [("v3-rekor1", "", "referrer_subject_mismatch"),
                                                ("v2-legacy", ".sig", "payload_digest_mismatch")])
def test_keyless_signature_of_another_image_is_refused(tmp_path, registry, sigstore, signer, form, suffix, cause):  # noqa: F811
    """The evidence of one image is put where the other's would be."""
    repository = "moved/" + form
    digest = signer.signed(form, repository)
    bare = push(registry, repository, files={"other": b"content"})
    url = f"http://{registry}/v2/{repository}/manifests/"
    _, headers, body = demo_image.call("GET", url + digest.replace(":", "-") + suffix, headers={"Accept": ", ".join(OCI)})
    demo_image.call("PUT", url + bare.replace(":", "-") + suffix, body, {"Content-Type": headers["Content-Type"]})
    assert judge(tmp_path / "g", registry, keyless(), repository, bare, sigstore.trusted_root) == (403, cause)


def test_trusted_root_made_by_cosign_is_read(tmp_path, registry, sigstore, signer, cosign3):  # noqa: F811
    folder, made = sigstore.folder, tmp_path / "trusted_root.json"
    done = subprocess.run(
        [cosign3, "trusted-root", "create", "--out", made,
         "--fulcio", f"url={sigstore.url}/fulcio,certificate-chain={folder}/fulcio-chain.pem",
         "--ctfe", f"url={sigstore.url}/ct,public-key={folder}/ct.pub,start-time=2024-01-01T00:00:00Z",
         "--rekor", f"url={sigstore.url}/rekor1,public-key={folder}/rekor1.pub,start-time=2024-01-01T00:00:00Z",
         "--rekor", f"url={sigstore.url}/rekor2,public-key={folder}/rekor2.pub,start-time=2024-01-01T00:00:00Z,origin=127.0.0.1",
         "--tsa", f"url={sigstore.url}/tsa,certificate-chain={folder}/tsa-chain.pem"],
        capture_output=True, text=True, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    for form in ("v3-rekor1-stamped", "v3-rekor2", "v2-legacy"):
        digest = signer.signed(form, "made/" + form)
        assert judge(tmp_path / form, registry, keyless(), "made/" + form, digest, made) == (200, None)
        assert judge(tmp_path / ("not-" + form), registry, keyless(subject="x@acme.test"), "made/" + form, digest,
                     made) == (403, "identity_mismatch")


# ---- attestations ----

def reviewed(**where):
    return {"attestation": REVIEW, "signer": "release", "where": [{"path": "/risk", **where}]}


@pytest.mark.parametrize("form", ["v3-rekor1", "v3-rekor2", "v2-legacy"])
def test_keyless_attestation_is_examined(tmp_path, registry, sigstore, signer, form):  # noqa: F811
    digest = signer.attested(form, "review/" + form, {"risk": "low"})

    def told(name, require, trust=keyless()):
        return judge(tmp_path / name, registry, trust, "review/" + form, digest, sigstore.trusted_root, require)

    assert told("right", reviewed(equals="low")) == (200, None)
    assert told("value", reviewed(equals="high"))[0] == 403
    assert told("subject", reviewed(equals="low"), keyless(subject="other@acme.test")) == (403, "identity_mismatch")
    assert told("type", {"attestation": "https://acme.test/other/v1", "signer": "release"})[0] == 403
    assert told("signature", {"signature": "release"})[0] == 403, "an attestation is no signature"


@pytest.mark.parametrize("form", ["v3-rekor1", "v2-legacy"])
def test_provenance_by_key_is_examined(request, tmp_path, registry, sigstore, signer, form):  # noqa: F811
    binary = request.getfixturevalue("cosign" if FORMS[form][0] == 2 else "cosign3")
    private, public = make_pair(binary, tmp_path)
    predicate = {"buildDefinition": {"buildType": "https://acme.test/build/v1", "externalParameters": {},
                                     "resolvedDependencies": []},
                 "runDetails": {"builder": {"id": "https://acme.test/builder"}, "metadata": {"invocationId": "1"}}}
    digest = signer.attested(form, "slsa/" + form, predicate, kind="slsaprovenance1", key=private)

    def told(name, builder):
        return judge(tmp_path / name, registry, {"keys": [{"file": str(public)}]}, "slsa/" + form, digest,
                     sigstore.trusted_root, {"attestation": "slsa-provenance", "signer": "release", "check": {"builder": builder}})

    assert told("right", "https://acme.test/builder") == (200, None)
    assert told("wrong", "https://acme.test/other") == (403, "builder_mismatch")


# ---- files ----

def sign_blob(cosign3, sigstore, folder, log, *options):  # noqa: F811
    """A file signed by cosign 3, and its bundle."""
    file, bundle = folder / "artifact", folder / "bundle.json"
    file.write_text("an artifact")
    made = subprocess.run([cosign3, "sign-blob", "--yes", "--bundle", bundle, "--signing-config",
                           sigstore.signing_config(log, log == 2), *options, file],
                          capture_output=True, text=True, timeout=120, env=environment(folder))
    assert made.returncode == 0, made.stderr
    return file, bundle


@pytest.mark.parametrize("log", [1, 2])
def test_bundle_of_a_file_verifies_to_its_identity_alone(tmp_path, sigstore, other_sigstore, cosign3, log):  # noqa: F811
    file, bundle = sign_blob(cosign3, sigstore, tmp_path, log, "--identity-token", identity(),
                             "--trusted-root", sigstore.trusted_root)
    (tmp_path / "other").write_text("another artifact")

    def told(artifact=file, who=EMAIL, issuer=ISSUER, root=sigstore):
        return run("verify-bundle", "--bundle", bundle, "--certificate-identity", who, "--certificate-oidc-issuer", issuer,
                   "--trusted-root", root.trusted_root, artifact).returncode

    assert told() == 0
    assert told(artifact="sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()) == 0
    assert told(artifact=tmp_path / "other") != 0
    assert told(who="other@acme.test") != 0
    assert told(issuer="https://other.test") != 0
    assert told(root=other_sigstore) != 0


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519"])
@pytest.mark.parametrize("log", [1, 2])
def test_bundle_of_a_file_by_key_verifies(tmp_path, sigstore, cosign3, log, kind):  # noqa: F811
    """Every kind of key that cosign takes. Ed25519 signs prehashed, which its own check after signing (done where it has a
    trusted root) does not expect."""
    algorithm = {"p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
                 "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ed25519": ["ED25519"]}[kind]
    subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm, "-out", tmp_path / "own.key"], check=True, capture_output=True)
    imported = subprocess.run([cosign3, "import-key-pair", "--key", tmp_path / "own.key"], cwd=tmp_path, capture_output=True,
                              text=True, env=environment(tmp_path))
    assert imported.returncode == 0, imported.stderr
    file, bundle = sign_blob(cosign3, sigstore, tmp_path, log, "--key", tmp_path / "import-cosign.key",
                             *(["--trusted-root", sigstore.trusted_root] if kind != "ed25519" else []))
    (tmp_path / "other").mkdir()
    _, other = make_pair(cosign3, tmp_path / "other")

    def told(key, artifact=file):
        return run("verify-bundle", "--bundle", bundle, "--key", key, "--trusted-root", sigstore.trusted_root, artifact)

    done = told(tmp_path / "import-cosign.pub")
    assert done.returncode == 0, done.stdout + done.stderr
    assert told(other).returncode != 0
    (tmp_path / "changed").write_text("another artifact")
    assert told(tmp_path / "import-cosign.pub", tmp_path / "changed").returncode != 0


# ---- keys, cosign 3 ----

@pytest.mark.parametrize("log", [None, 1, 2])
def test_signature_by_key_of_cosign_3(tmp_path, registry, sigstore, cosign3, log):  # noqa: F811
    private, public = make_pair(cosign3, tmp_path)
    repository = f"key/log-{log or 0}"
    digest = push(registry, repository)
    run_cosign(cosign3, "sign", tmp_path, "--key", private, "--signing-config", sigstore.signing_config(log, log == 2),
               "--trusted-root", sigstore.trusted_root, f"{registry}/{repository}@{digest}")
    (tmp_path / "other").mkdir()
    _, other = make_pair(cosign3, tmp_path / "other")

    def told(name, **signer):
        return judge(tmp_path / name, registry, signer, repository, digest, sigstore.trusted_root)

    assert told("right", keys=[{"file": str(public)}]) == (200, None)
    assert told("logged", keys=[{"file": str(public)}], root="acme", tlog="required") == (
        (403, "tlog_missing") if log is None else (200, None))
    status, cause = told("other", keys=[{"file": str(other)}])
    assert (status, cause) in ((403, "sig_invalid"), (403, "key_unknown"))


# ---- the tool itself behind the gateway ----

@pytest.mark.parametrize("form", ["v3-rekor1", "v3-rekor2", "v2-legacy"])
def test_cosign_verifies_through_the_gateway(request, tmp_path, registry, sigstore, signer, form):  # noqa: F811
    """Evidence can be read: what the gateway serves, the tool can judge for itself."""
    binary = request.getfixturevalue("cosign" if FORMS[form][0] == 2 else "cosign3")
    digest = signer.signed(form, "behind/" + form)
    trust = {"SIGSTORE_ROOT_FILE": str(sigstore.folder / "fulcio-chain.pem"),
             "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(sigstore.folder / "ct.pub"),
             "SIGSTORE_REKOR_PUBLIC_KEY": str(sigstore.folder / "rekor1.pub")}
    options = ["--trusted-root", sigstore.trusted_root] if FORMS[form][0] == 3 else []
    options += ["--use-signed-timestamps"] if FORMS[form][2] and FORMS[form][0] == 3 else []

    def told(gateway, who):
        name = f"127.0.0.1:{gateway.port}/registry.test/behind/{form}@{digest}"
        return subprocess.run([binary, "verify", "--allow-http-registry", *map(str, options), "--certificate-identity", who,
                               "--certificate-oidc-issuer", ISSUER, name], capture_output=True, text=True, timeout=120,
                              env=environment(tmp_path, **trust))

    with Gateway(tmp_path / "g", config(registry, keyless(), sigstore.trusted_root)) as gateway:
        done = told(gateway, EMAIL)
        assert done.returncode == 0 and "validated" in done.stderr, done.stderr
        assert told(gateway, "other@acme.test").returncode != 0


# ---- across an air gap ----

@pytest.mark.parametrize("form", ["v3-rekor1", "v3-rekor2", "v2-legacy"])
def test_saved_by_cosign_verifies_without_a_registry(request, tmp_path, registry, sigstore, signer, form):  # noqa: F811
    digest = signer.signed(form, "saved/" + form)
    binary = request.getfixturevalue("cosign" if FORMS[form][0] == 2 else "cosign3")
    run_cosign(binary, "save", tmp_path, "--dir", tmp_path / "layout", f"{registry}/saved/{form}@{digest}")
    for name, trust, status in (("right", keyless(), 0), ("wrong", keyless(subject="other@acme.test"), 1)):
        file = tmp_path / (name + ".yaml")
        file.write_text(json.dumps({**config("127.0.0.1:1", trust, sigstore.trusted_root),
                                    "storage": {"path": str(tmp_path / "store")}}))
        done = run("verify", "-c", file, "--layout", tmp_path / "layout", "--as", f"registry.test/saved/{form}:v1")
        assert done.returncode == status, done.stdout + done.stderr
