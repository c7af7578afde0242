"""Images signed by notation-go and notation-core-go in a running registry, judged as clients see it: by pulling through the
gateway. The program is built outside of the tree; the cases are skipped where Go or the module proxy is missing."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from gateway import error_of
from notation_services import StampAuthority, serving
from registries import DockerRegistry

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "interop" / "notation"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gatehouse-interop"
IDENTITY = ["x509.subject: C=SE, ST=Test, O=Interop"]
PROFILE = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/release"
FORMS, KEYS = ("jws", "cose"), ("rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521")


@pytest.fixture(scope="module")
def program():
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    found = re.search(r"go1\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout)
    wanted = re.search(r"^go 1\.(\d+)", (SOURCE / "go.mod").read_text(), re.M)
    if not found or int(found[1]) < int(wanted[1]):
        pytest.skip(f"Go is too old: {wanted[0]} or newer is needed")
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        made = subprocess.run(["nice", "-n", "19", "go", "build", "-o", CACHE / "notation-interop", "."], cwd=SOURCE, text=True,
                              capture_output=True, timeout=900, env={**os.environ, "GOFLAGS": "-p=1"}, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the signing program did not build in 15 minutes")
    if made.returncode != 0:
        missing = re.search(r"dial tcp|no such host|proxyconnect|connection refused|i/o timeout", made.stderr)
        assert missing, made.stderr
        pytest.skip("Go's modules cannot be had: " + made.stderr.strip().splitlines()[-1])
    return CACHE / "notation-interop"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    if not DockerRegistry.is_installed():
        pytest.skip("docker-registry is not installed")
    registry = DockerRegistry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def stamps(tmp_path_factory):
    return StampAuthority(tmp_path_factory.mktemp("stamps"))


@pytest.fixture(scope="module")
def signed(program, registry, stamps, tmp_path_factory):
    """Folder with certificates, and the cases by tag."""
    folder = tmp_path_factory.mktemp("signed")
    with serving(stamps.answer) as (address, _):
        made = subprocess.run([program, "-registry", registry.url.removeprefix("http://"), "-out", folder, "-tsa", address,
                               "-tsa-root", stamps.root], capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    return folder, {c["tag"]: c for c in json.loads((folder / "cases.json").read_text())}


def configuration(registry, folder, stamps):
    """The registry under a name for each kind of trust, so that one gateway judges all of it."""
    root = str(folder / "root.pem")
    stamped = {"ca": [root], "tsa": [str(stamps.root)]}
    return {
        "upstreams": {f"{kind}.test": {"url": registry.url} for kind in ("ca", "tsa", "authority", "aws")},
        "roots": {"ca": {"ca": [root]}, "tsa": stamped, "authority": {"signing_authority": [root]}},
        "signers": {"ca": {"notation": {"root": "ca", "identities": IDENTITY}},
                    "tsa": {"notation": {"root": "tsa", "identities": IDENTITY}},
                    "authority": {"notation": {"root": "authority", "identities": IDENTITY}},
                    "aws": {"notation": {"root": "authority", "identities": [PROFILE], "override": {"revocation": "log"}}}},
        "policies": [{"name": kind, "images": [f"{kind}.test/**"], "require": [{"signature": kind}]}
                     for kind in ("ca", "tsa", "authority", "aws")]}


@pytest.fixture(scope="module")
def gateway(registry, signed, stamps, tmp_path_factory):
    from gateway import Gateway
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), {"workers": 2, **configuration(registry, signed[0], stamps)})
    yield gateway
    gateway.stop()


def judge(gateway, case, kind=None):
    """(status, cause) of a pull by digest; a refusal says the same everywhere."""
    answer = gateway.manifest(f"{kind or case['kind']}.test/interop/notation", case["digest"])
    if answer.status == 200:
        assert answer.headers["docker-content-digest"] == case["digest"]
        return 200, None
    error = error_of(answer)
    assert error["detail"]["digest"] == case["digest"]
    assert error["detail"]["id"] == answer.headers["x-gatehouse-decision"]
    return answer.status, error["detail"]["cause"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_good_signature_of_every_key_type_is_served(gateway, signed, form, key):
    assert judge(gateway, signed[1][f"{form}-{key}"]) == (200, None)
    assert judge(gateway, signed[1][f"{form}-{key}-stamped"]) == (200, None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["untrusted", "expired", "moved", "unsigned", "tampered", "wrong-key"])
def test_broken_signature_is_refused_with_its_cause(gateway, signed, form, case):
    case = signed[1][f"{form}-{case}"]
    assert case["cause"]
    assert judge(gateway, case) == (403, case["cause"])


@pytest.mark.parametrize("form", FORMS)
def test_time_stamp_is_required_where_an_authority_is_configured(gateway, signed, form):
    assert judge(gateway, signed[1][f"{form}-p256"], "tsa") == (403, "notation_timestamp_required")
    assert judge(gateway, signed[1][f"{form}-p256-stamped"], "ca") == (200, None)


@pytest.mark.parametrize("form", FORMS)
def test_time_stamp_of_another_authority_is_refused(registry, signed, form, tmp_path, make_gateway):
    other = StampAuthority(tmp_path / "other")
    gateway = make_gateway({}, **configuration(registry, signed[0], other))
    assert judge(gateway, signed[1][f"{form}-p256-stamped"]) == (403, "timestamp_untrusted")


@pytest.mark.parametrize("form", FORMS)
def test_stores_of_the_two_schemes_are_never_shared(gateway, signed, form):
    assert judge(gateway, signed[1][f"{form}-authority"]) == (200, None)
    assert judge(gateway, signed[1][f"{form}-authority"], "ca") == (403, "notation_scheme_store_mismatch")
    assert judge(gateway, signed[1][f"{form}-p256"], "authority") == (403, "notation_scheme_store_mismatch")


@pytest.mark.parametrize("form", FORMS)
def test_metadata_and_identity_are_compared(registry, signed, stamps, form, make_gateway):
    config = configuration(registry, signed[0], stamps)
    config["policies"][0]["require"] = [{"signature": "ca", "metadata": {"stage": "interop"}}]
    config["policies"][1]["require"] = [{"signature": "tsa", "metadata": {"stage": "prod"}}]
    config["signers"]["authority"]["notation"]["identities"] = ["x509.subject: C=SE, ST=Test, O=Other"]
    gateway = make_gateway({}, **config)
    assert judge(gateway, signed[1][f"{form}-p256"]) == (200, None)
    assert judge(gateway, signed[1][f"{form}-p256-stamped"]) == (403, "annotation_mismatch")
    assert judge(gateway, signed[1][f"{form}-authority"]) == (403, "notation_identity_mismatch")
