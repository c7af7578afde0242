"""Revocation of notation's certificates in the running gateway: OpenSSL's own responder, and lists from a file server, at the
made-up addresses that the certificates name, through fetch.rewrite."""
import contextlib
import json
import os
import time
import types

import pytest

from gateway import error_of, wait_until
from notation_program import program, registry, sign  # noqa: F401 (fixtures)
from notation_services import Authority, StampAuthority, serving, utc

CRL, OCSP = "http://crl.interop.test/", "http://ocsp.interop.test/"
WHERE = {"ocsp": ["-ocsp", OCSP], "crl": ["-crl", CRL + "root.crl"], "both": ["-ocsp", OCSP, "-crl", CRL + "root.crl"]}


@pytest.fixture(scope="module")
def scenes(program, registry, tmp_path_factory):  # noqa: F811
    """By what the leaves name (ocsp, crl, both): folder with certificates and keys, cases, repository."""
    made = {}

    def get(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            cases = sign(program, registry, folder, "-repository", f"interop/{kind}", "-keys", "p256", *WHERE[kind])
            made[kind] = types.SimpleNamespace(kind=kind, folder=folder, cases=cases, repository=f"interop/{kind}")
        return made[kind]

    return get


class Case:
    """One image of a scene, an authority with a fresh index in which its leaf is known, and what serves its status."""

    def __init__(self, scene, tmp_path, make_gateway, registry, tag):  # noqa: F811
        self.scene, self.tmp_path, self.make_gateway, self.registry, self.tag = scene, tmp_path, make_gateway, registry, tag
        self.leaf = scene.folder / f"leaf-{tag}.pem"
        self.authority = Authority(tmp_path / "authority", scene.folder / "root.pem", scene.folder / "root.key")
        self.authority.known(self.leaf)
        self.lists, self.gateway = {}, None

    def serve_list(self, path, _):
        return (200, "application/pkix-crl", self.lists[path]) if path in self.lists else (404, "text/plain", b"none")

    def start(self, ocsp=None, crl=None, root=None, signer=None, **more):
        rewrite = {k: v for k, v in ((OCSP, ocsp), (CRL, crl and crl + "/")) if v}
        store = "signing_authority" if self.tag.endswith("authority") else "ca"
        self.gateway = self.make_gateway(
            {"registry.test": {"url": self.registry.url}}, name=f"gateway{len(os.listdir(self.tmp_path))}", fetch={"rewrite": rewrite},
            roots={"corp": {store: [str(self.scene.folder / "root.pem")], **(root or {})}},
            signers={"corp": {"notation": {"root": "corp", "identities": ["*"], **(signer or {})}}},
            policies=[{"name": "ours", "images": ["registry.test/**"], "require": [{"signature": "corp"}]}], **more)
        return self.gateway

    def pull(self):
        """(status, cause, message or the Warning)"""
        answer = self.gateway.manifest(f"registry.test/{self.scene.repository}", self.scene.cases[self.tag]["digest"])
        if answer.status == 200:
            return 200, None, answer.headers.get("warning")
        error = error_of(answer)
        return answer.status, error["detail"]["cause"], error["message"]

    def image(self):
        return f"registry.test/{self.scene.repository}@{self.scene.cases[self.tag]['digest']}"


@pytest.fixture
def case(scenes, tmp_path, make_gateway, registry):  # noqa: F811
    def make(kind, tag="jws-p256"):
        return Case(scenes(kind), tmp_path, make_gateway, registry, tag)
    return make


# ---- OCSP ----

@pytest.mark.parametrize("tag", ["jws-p256", "cose-p256"])
def test_ocsp_good_is_served_and_revoked_is_refused(case, tag):
    good, revoked = case("ocsp", tag), case("ocsp", tag)
    with good.authority.responding() as address:
        good.start(ocsp=address)
        assert good.pull() == (200, None, None)
    revoked.authority.revoke(revoked.leaf)
    with revoked.authority.responding() as address:
        revoked.start(ocsp=address)
        status, cause, message = revoked.pull()
        assert (status, cause) == (403, "revocation_revoked")
        assert "has been revoked" in message and f"leaf-{tag}" in message


@pytest.mark.parametrize("tag,since,expected", [
    ("jws-authority", 3600, 200),    # went bad after the time that the signing authority vouches for
    ("jws-authority", -86400, 403),  # before
    ("jws-authority", None, 403),    # nobody says when
    ("cose-authority", 3600, 200),
    ("jws-p256", 3600, 403),         # a signer's own word about the time counts for nothing
])
@pytest.mark.parametrize("kind", ["ocsp", "crl"])
def test_invalidity_date_spares_what_an_authority_signed_before(case, kind, tag, since, expected):
    case = case(kind, tag)
    case.authority.revoke(case.leaf, invalid_since_s=since)
    case.lists["/root.crl"] = case.authority.crl()
    with case.authority.responding() as ocsp, serving(case.serve_list) as (crl, _):
        case.start(ocsp=ocsp, crl=crl)
        assert case.pull()[:2] == (expected, None if expected == 200 else "revocation_revoked")


def test_certificate_the_responder_does_not_know_is_refused(case):
    case = case("ocsp")
    case.authority.rows.clear()
    case.authority.write()
    with case.authority.responding() as address:
        case.start(ocsp=address)
        status, cause, message = case.pull()
        assert (status, cause) == (503, "revocation_unavailable") and "does not know" in message


def test_responder_that_is_down_refuses_unless_the_signer_only_logs(case):
    case = case("ocsp")
    with case.authority.responding() as address:
        pass  # it was there once
    case.start(ocsp=address)
    assert case.pull()[:2] == (503, "revocation_unavailable")
    for signer in ({"override": {"revocation": "log"}}, {"level": "permissive"}):
        case.start(ocsp=address, signer=signer)
        status, _, warning = case.pull()
        assert status == 200 and "only logged failed" in warning and "revocation_unavailable" in warning
        assert [entry["cause"] for record in case.gateway.audit() if record["type"] == "verdict"
                for entry in record["logged"]] == ["revocation_unavailable"]
    case.start(ocsp=address, signer={"override": {"revocation": "skip"}})
    assert case.pull() == (200, None, None)


def test_logged_check_is_shown_by_verify_in_text_and_json(case):
    case = case("ocsp")
    case.authority.revoke(case.leaf)
    with case.authority.responding() as address:
        case.start(ocsp=address, signer={"level": "audit"})
        status, result = case.gateway.verify(case.image())
        assert status == 0
        assert [e["cause"] for e in result["requirements"][0]["logged"]] == ["revocation_revoked"]
        assert any("revocation_revoked" in w for w in result["warnings"])
        text = case.gateway.run("verify", "-c", case.gateway.file, case.image()).stdout
        assert "only logged: " in text and "(revocation_revoked)" in text
        assert "revocation_revoked" in case.pull()[2]


def test_answer_out_of_date_is_refused(case):
    case = case("ocsp")
    with case.authority.responding(minutes=60) as address:
        case.start(ocsp=address)
        in_two_hours = utc("%Y-%m-%dT%H:%M:%SZ", 7200)
        result = case.gateway.run("verify", "-c", case.gateway.file, "--at", in_two_hours, "--output", "json", case.image())
        assert json.loads(result.stdout)["cause"] == "ocsp_invalid"
        assert "out of date" in result.stdout


def test_answer_of_another_authority_is_refused(case, tmp_path):
    case = case("ocsp")
    other = Authority(tmp_path / "other", case.scene.folder / "other-root.pem", case.scene.folder / "other-root.key")
    other.rows = case.authority.rows
    other.write()
    other.cert = case.authority.cert  # it speaks for the right one, by its own key
    with other.responding(signer=(case.scene.folder / "other-root.pem", case.scene.folder / "other-root.key")) as address:
        case.start(ocsp=address)
        assert case.pull()[1] == "ocsp_invalid"


def test_delegated_responder_counts_where_its_own_status_is_known(case):
    case = case("ocsp")
    with case.authority.responding(signer=case.authority.responder_cert("noCheck = ignored")) as address:
        case.start(ocsp=address)
        assert case.pull() == (200, None, None)
    signer = case.authority.responder_cert(f"crlDistributionPoints = URI:{CRL}root.crl")
    with case.authority.responding(signer=signer) as ocsp, serving(case.serve_list) as (crl, _):
        case.start(ocsp=ocsp, crl=crl)
        assert case.pull()[:2] == (503, "revocation_unavailable")  # the list cannot be had
        case.lists["/root.crl"] = case.authority.crl()
        assert case.pull() == (200, None, None)
        case.authority.revoke(signer[0])
        case.lists["/root.crl"] = case.authority.crl()
        case.start(ocsp=ocsp, crl=crl)
        assert case.pull()[1] == "ocsp_invalid"


# ---- lists ----

def test_list_answers_good_and_revoked(case):
    case = case("crl")
    with serving(case.serve_list) as (crl, asked):
        case.lists["/root.crl"] = case.authority.crl()
        case.start(crl=crl)
        assert case.pull() == (200, None, None)
        assert case.pull() == (200, None, None)
        assert asked == ["/root.crl"]
        case.authority.revoke(case.leaf)
        case.lists["/root.crl"] = case.authority.crl()
        case.start(crl=crl)
        assert case.pull()[:2] == (403, "revocation_revoked")


@pytest.mark.parametrize("how,cause,says", [
    ("expired", "crl_invalid", "out of date"), ("future", "crl_invalid", "from the future"),
    ("other", "crl_invalid", "of another authority"), ("delta", "revocation_unavailable", "delta revocation lists"),
    ("garbage", "crl_invalid", ""), ("absent", "revocation_unavailable", "404")])
def test_list_that_cannot_be_used_is_refused(case, how, cause, says):
    case = case("crl")
    other = Authority(case.tmp_path / "other", case.scene.folder / "other-root.pem", case.scene.folder / "other-root.key")
    lists = {"expired": lambda: case.authority.crl(next_update_s=-10, last_update_s=-3600),
             "future": lambda: case.authority.crl(last_update_s=1800),
             "other": other.crl, "garbage": lambda: b"no list", "absent": lambda: None,
             "delta": lambda: case.authority.crl(extensions=f"freshestCRL = URI:{CRL}delta.crl")}
    made = lists[how]()
    if made is not None:
        case.lists["/root.crl"] = made
    with serving(case.serve_list) as (crl, _):
        case.start(crl=crl)
        status, found, message = case.pull()
        assert (status, found) == (403 if cause == "crl_invalid" else 503, cause) and says in message


@pytest.mark.parametrize("ocsp", ["down", "unknown", "stranger"])
def test_list_answers_where_ocsp_does_not(case, ocsp):
    case = case("both")
    responder = Authority(case.tmp_path / "responder", case.authority.cert, case.authority.key)
    signer = (case.scene.folder / "other-root.pem", case.scene.folder / "other-root.key") if ocsp == "stranger" else None
    with contextlib.ExitStack() as stack:
        address = "http://127.0.0.1:9/"
        if ocsp != "down":
            address = stack.enter_context(responder.responding(signer=signer))
        crl, asked = stack.enter_context(serving(case.serve_list))
        case.lists["/root.crl"] = case.authority.crl()
        case.start(ocsp=address, crl=crl)
        assert case.pull() == (200, None, None)
        assert asked == ["/root.crl"]
        case.authority.revoke(case.leaf)
        case.lists["/root.crl"] = case.authority.crl()
        case.start(ocsp=address, crl=crl)
        assert case.pull()[:2] == (403, "revocation_revoked")


def test_ocsp_is_asked_first_and_no_list_where_it_answers(case):
    case = case("both")
    with case.authority.responding() as ocsp, serving(case.serve_list) as (crl, asked):
        case.start(ocsp=ocsp, crl=crl)
        assert case.pull() == (200, None, None)
        assert asked == []


def test_addresses_follow_the_rules_for_addresses(case):
    case = case("crl")
    case.lists["/root.crl"] = case.authority.crl()
    case.start()  # no rewrite: the name does not exist
    assert case.pull()[:2] == (503, "revocation_unavailable")
    mirror = case.tmp_path / "mirror"
    mirror.mkdir()
    case.start(crl=f"file://{mirror}", offline=True)
    assert case.pull()[:2] == (503, "revocation_unavailable")
    (mirror / "root.crl").write_bytes(case.authority.crl())
    assert case.pull() == (200, None, None)
    with serving(case.serve_list) as (crl, asked):
        with pytest.raises(AssertionError, match="offline: revocation of .* needs the network"):
            case.start(crl=crl, offline=True)
        assert not asked


def test_private_address_in_a_certificate_is_not_asked(program, registry, make_gateway, tmp_path):  # noqa: F811
    with serving(lambda *_: (200, "application/pkix-crl", b"")) as (inside, asked):
        cases = sign(program, registry, tmp_path, "-repository", "interop/inside", "-keys", "p256", "-crl", f"{inside}/root.crl")
        gateway = make_gateway(
            {"registry.test": {"url": registry.url}}, roots={"corp": {"ca": [str(tmp_path / "root.pem")]}},
            signers={"corp": {"notation": {"root": "corp", "identities": ["*"]}}},
            policies=[{"name": "ours", "images": ["registry.test/**"], "require": [{"signature": "corp"}]}])
        error = error_of(gateway.manifest("registry.test/interop/inside", cases["jws-p256"]["digest"]))
        assert error["detail"]["cause"] == "revocation_unavailable"
        assert not asked, "a certificate made the gateway ask a service on its own host"


# ---- lists from files ----

def test_list_from_a_file_answers_without_network(case):
    case = case("both")
    file = case.tmp_path / "corp.crl"
    file.write_bytes(case.authority.crl())
    case.start(root={"crl": [str(file)]}, offline=True)
    assert case.pull() == (200, None, None)
    case.authority.revoke(case.leaf)
    file.write_bytes(case.authority.crl())
    assert case.gateway.reload().status == 200
    assert case.pull()[:2] == (403, "revocation_revoked")
    file.write_bytes(case.authority.crl(next_update_s=-10, last_update_s=-3600))
    assert case.gateway.reload().status == 200
    assert case.pull()[:2] == (403, "revocation_revoked")  # revoked stays revoked, however old the list


def test_stale_list_from_a_file_is_no_answer(case):
    case = case("crl")
    file = case.tmp_path / "corp.crl"
    file.write_bytes(case.authority.crl(next_update_s=-10, last_update_s=-3600))
    case.start(root={"crl": [str(file)]}, offline=True)
    assert case.pull()[:2] == (503, "revocation_unavailable")  # what it names instead cannot be asked


# ---- while it runs ----

@pytest.mark.parametrize("kind", ["ocsp", "crl", "file"])
def test_revocation_ends_the_verdict_in_the_background(case, kind):
    case = case("ocsp" if kind == "ocsp" else "crl")
    case.lists["/root.crl"] = case.authority.crl()
    mirror = case.tmp_path / "mirror"
    mirror.mkdir()

    def publish():
        case.lists["/root.crl"] = case.authority.crl()
        (mirror / "root.new").write_bytes(case.lists["/root.crl"])
        os.replace(mirror / "root.new", mirror / "root.crl")

    publish()
    with case.authority.responding() as ocsp, serving(case.serve_list) as (crl, _):
        case.start(ocsp=ocsp, crl=f"file://{mirror}" if kind == "file" else crl, cache={"revocation_refresh": "1s"})
        assert case.pull() == (200, None, None)
        case.authority.revoke(case.leaf)
        publish()
        wait_until(lambda: case.pull()[:2] == (403, "revocation_revoked"), what="the refusal")
        assert "made anew" in case.gateway.log_text()


def test_kept_answers_are_shown_by_trust_status(case):
    case = case("both")
    responder = Authority(case.tmp_path / "responder", case.authority.cert, case.authority.key)  # knows nobody
    case.lists["/root.crl"] = case.authority.crl()
    with responder.responding() as ocsp, serving(case.serve_list) as (crl, _):
        case.start(ocsp=ocsp, crl=crl)
        assert case.pull() == (200, None, None)

        def status():
            shown = json.loads(case.gateway.run("trust", "status", "-c", case.gateway.file, "--output", "json").stdout)["answers"]
            return len(shown) == 2 and sorted((a["kind"], a["url"], a["state"]) for a in shown)

        assert wait_until(status, what="the answers") == [("crl", CRL + "root.crl", "good"), ("ocsp", OCSP, "good")]
        text = case.gateway.run("trust", "status", "-c", case.gateway.file).stdout
        assert f"good crl {CRL}root.crl: {len(case.lists['/root.crl'])} bytes  fetched" in text


def test_revocation_ends_a_verdict_made_before_a_restart(case):
    case = case("crl")
    case.lists["/root.crl"] = case.authority.crl()
    with serving(case.serve_list) as (crl, asked):
        case.start(crl=crl, cache={"revocation_refresh": "2s"})
        assert case.pull() == (200, None, None)
        case.gateway.stop()
        case.authority.revoke(case.leaf)
        case.lists["/root.crl"] = case.authority.crl()
        case.gateway.start()
        wait_until(lambda: case.pull()[:2] == (403, "revocation_revoked"), what="the refusal")


def test_answer_kept_bridges_a_responder_that_went_down(case):
    case = case("ocsp")
    with case.authority.responding() as address:
        case.start(ocsp=address, cache={"revocation_refresh": "1s", "verdict_ttl": "1s"})
        assert case.pull() == (200, None, None)
    for _ in range(3):  # verdicts end after a second, the answer only after an hour
        time.sleep(1.1)
        assert case.pull() == (200, None, None)


def test_older_list_played_back_does_not_undo_a_revocation(case):
    case = case("crl")
    case.lists["/root.crl"] = good = case.authority.crl(last_update_s=-120)
    with serving(case.serve_list) as (crl, asked):
        case.start(crl=crl, cache={"revocation_refresh": "1s", "denial_ttl": "0s"})
        assert case.pull() == (200, None, None)
        case.authority.revoke(case.leaf)
        case.lists["/root.crl"] = case.authority.crl()
        wait_until(lambda: case.pull()[:2] == (403, "revocation_revoked"), what="the refusal")
        case.lists["/root.crl"] = good
        seen = len(asked)
        wait_until(lambda: case.pull()[0] and len(asked) >= seen + 3, what="the old list to be fetched")
        assert case.pull()[:2] == (403, "revocation_revoked")


# ---- time-stamp authorities ----

def test_revoked_time_stamp_authority_is_refused(program, registry, make_gateway, tmp_path):  # noqa: F811
    stamps = StampAuthority(tmp_path / "stamps", extensions=f"crlDistributionPoints = URI:{CRL}stamps.crl")
    authority = Authority(tmp_path / "authority", stamps.root, stamps.folder / "ca.key")
    authority.known(stamps.folder / "stamp.pem")
    lists = {"/stamps.crl": authority.crl()}
    with serving(stamps.answer) as (address, _):
        cases = sign(program, registry, tmp_path, "-repository", "interop/stamped", "-keys", "p256", "-tsa", address, "-tsa-root",
                     stamps.root)
    with serving(lambda path, _: (200, "application/pkix-crl", lists[path])) as (crl, asked):
        gateway = make_gateway(
            {"registry.test": {"url": registry.url}}, fetch={"rewrite": {CRL: crl + "/"}}, cache={"revocation_refresh": "1s"},
            roots={"corp": {"ca": [str(tmp_path / "root.pem")], "tsa": [str(stamps.root)]}},
            signers={"corp": {"notation": {"root": "corp", "identities": ["*"]}}},
            policies=[{"name": "ours", "images": ["registry.test/**"], "require": [{"signature": "corp"}]}])
        image = ("registry.test/interop/stamped", cases["jws-p256-stamped"]["digest"])
        assert gateway.manifest(*image).status == 200 and asked
        authority.revoke(stamps.folder / "stamp.pem")
        lists["/stamps.crl"] = authority.crl()
        answer = wait_until(lambda: (a := gateway.manifest(*image)).status != 200 and a, what="the refusal")
        assert error_of(answer)["detail"]["cause"] == "revocation_revoked"
