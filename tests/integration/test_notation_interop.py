"""Images signed by notation-go and notation-core-go in a running registry, judged as clients see it: by pulling through the
gateway. The program is built outside of the tree; the cases are skipped where Go or the module proxy is missing."""
import urllib.parse

import pytest

from gateway import Gateway, error_of, wait_until
from notation_program import program, registry, sign  # noqa: F401 (fixtures)
from notation_services import StampAuthority, serving

IDENTITY = ["x509.subject: C=SE, ST=Test, O=Interop"]
PROFILE = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/release"
FORMS, KEYS = ("jws", "cose"), ("rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521")


@pytest.fixture(scope="module")
def stamps(tmp_path_factory):
    return StampAuthority(tmp_path_factory.mktemp("stamps"))


@pytest.fixture(scope="module")
def signed(program, registry, stamps, tmp_path_factory):  # noqa: F811
    """Folder with certificates, and the cases by tag."""
    folder = tmp_path_factory.mktemp("signed")
    with serving(stamps.answer) as (address, _):
        return folder, sign(program, registry, folder, "-tsa", address, "-tsa-root", stamps.root)


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
def gateway(registry, signed, stamps, tmp_path_factory):  # noqa: F811
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


# ---- vendors ----

AWS = "https://data-signer.eu-west-1.amazonaws.com/"


def aws_gateway(make_gateway, registry, signed, stamps, identities=(PROFILE,), **more):  # noqa: F811
    config = configuration(registry, signed[0], stamps)
    config["signers"]["aws"]["notation"] = {"root": "authority", "identities": list(identities), **more.pop("signer", {})}
    return make_gateway({}, **config, **more, name=f"aws{len(str(identities)) + len(more)}")


@pytest.mark.parametrize("form", FORMS)
def test_aws_signature_asks_for_the_vendor_unless_its_revocation_is_only_logged(registry, signed, stamps, form, make_gateway):  # noqa: F811
    case = signed[1][f"{form}-aws"]
    assert judge(aws_gateway(make_gateway, registry, signed, stamps), case) == (403, "notation_plugin_required")
    gateway = aws_gateway(make_gateway, registry, signed, stamps, signer={"override": {"revocation": "log"}}, workers=1)
    answer = gateway.manifest("aws.test/interop/notation", case["digest"])
    assert answer.status == 200 and "notation_plugin_required" in answer.headers["warning"]


@pytest.mark.parametrize("said,status,cause", [
    ((200, b'{"revokedEntities":[]}'), 200, None),
    ((200, b'{"revokedEntities":["arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0b1f2e3d"]}'), 403, "revocation_revoked"),
    ((200, b'{}'), 403, "notation_plugin_failed"), ((200, b"<html>"), 403, "notation_plugin_failed"),
    ((403, b'{"message":"no"}'), 503, "revocation_unavailable")])
def test_aws_revocation_answer_counts(registry, signed, stamps, make_gateway, said, status, cause):  # noqa: F811
    with serving(lambda *_: (said[0], "application/json", said[1])) as (vendor, asked):
        gateway = aws_gateway(make_gateway, registry, signed, stamps, fetch={"rewrite": {AWS: vendor + "/"}})
        assert judge(gateway, signed[1]["jws-aws"]) == (status, cause)
    path, _, query = asked[0].partition("?")
    fields = urllib.parse.parse_qs(query)
    assert path == "/revocations" and fields["profileVersionArn"] == [PROFILE + "/AbCdEfGh12"]
    assert fields["jobArn"] == ["arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0b1f2e3d"]
    assert len(fields["certificateHashes"]) == 2 and "signatureTimestamp" in fields


def test_aws_revocation_is_learned_in_the_background(registry, signed, stamps, make_gateway):  # noqa: F811
    said = [b'{"revokedEntities":[]}']
    with serving(lambda *_: (200, "application/json", said[0])) as (vendor, _):
        gateway = aws_gateway(make_gateway, registry, signed, stamps, fetch={"rewrite": {AWS: vendor + "/"}},
                              cache={"revocation_refresh": "1s"})
        assert judge(gateway, signed[1]["cose-aws"]) == (200, None)
        said[0] = b'{"revokedEntities":["the profile"]}'
        wait_until(lambda: judge(gateway, signed[1]["cose-aws"]) == (403, "revocation_revoked"), what="the refusal")


@pytest.mark.parametrize("identity,status", [
    (PROFILE + "/AbCdEfGh12", 200), (PROFILE + "/OtherVersion", 403), (PROFILE + "2", 403), (PROFILE.upper().replace(
        "ARN:AWS:SIGNER", "arn:aws:signer").replace("/SIGNING-PROFILES/", "/signing-profiles/"), 200), ("*", 403), (IDENTITY[0], 403)])
def test_aws_identity_is_the_signing_profile(registry, signed, stamps, make_gateway, identity, status):  # noqa: F811
    gateway = aws_gateway(make_gateway, registry, signed, stamps, [identity], signer={"override": {"revocation": "skip"}})
    assert judge(gateway, signed[1]["jws-aws"]) == (status, None if status == 200 else "notation_identity_mismatch")


def test_short_lived_leaf_needs_its_time_stamp(program, registry, stamps, make_gateway, tmp_path):  # noqa: F811
    """As Azure Trusted Signing works: the certificate has ended when the image is pulled."""
    with serving(stamps.answer) as (address, _):
        cases = sign(program, registry, tmp_path, "-repository", "interop/short", "-keys", "p256", "-life", "6s", "-tsa", address,
                     "-tsa-root", stamps.root)
    config = configuration(registry, tmp_path, stamps)
    config["signers"]["authority"] = {"notation": {"root": "tsa", "identities": IDENTITY, "verify_timestamp": "after_cert_expiry"}}
    gateway = make_gateway({}, **config)

    def pull(kind, tag):
        answer = gateway.manifest(f"{kind}.test/interop/short", cases[tag]["digest"])
        return answer.status, None if answer.status == 200 else error_of(answer)["detail"]["cause"]

    assert pull("tsa", "cose-p256") == (403, "notation_timestamp_required")
    wait_until(lambda: pull("ca", "cose-p256") == (403, "cert_not_valid_at_time"), what="the end of the certificate")
    for form in FORMS:
        assert pull("ca", f"{form}-p256-stamped") == (403, "cert_not_valid_at_time")
        assert pull("tsa", f"{form}-p256-stamped") == (200, None)
        assert pull("authority", f"{form}-p256-stamped") == (200, None)
        assert pull("authority", f"{form}-p256") == (403, "notation_timestamp_required")
