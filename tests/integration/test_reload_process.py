"""What a reload changes beside decisions: certificates, connection limits, the second audit sink; and what it names as waiting for a restart."""
import contextlib
import datetime
import json
import pathlib
import ssl
import subprocess

import pytest
from gateway import RawConnection, free_port, wait_until
from test_audit_sink import Collector

APP = "registry.test/team/app"


def make_certificate(folder, name):
    folder = pathlib.Path(folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"], check=True, capture_output=True)
    (folder / f"{name}.key").chmod(0o600)
    return {"certificate": f"{folder}/{name}.crt", "key": f"{folder}/{name}.key"}


def day(after):
    return str(datetime.date.today() + datetime.timedelta(days=after))


def served(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


@pytest.fixture
def tls(fake, make_gateway, tmp_path):
    """A gateway with a second, TLS listener whose certificate is `one`."""
    port = free_port()
    one = make_certificate(tmp_path, "one")
    made = make_gateway(fake, ready=False)
    made.write_config(listen=[made.config["listen"], {"address": f"127.0.0.1:{port}", "tls": one}])
    made.start()
    made.tls_port = port
    assert served(port) == pathlib.Path(one["certificate"]).read_text()
    return made


def with_tls(gateway, files):
    gateway.write_config(listen=[gateway.config["listen"][0], {"address": f"127.0.0.1:{gateway.tls_port}", "tls": files}])


def test_reload_serves_the_certificate_of_the_new_configuration(tls, tmp_path):
    two = make_certificate(tmp_path, "two")
    with_tls(tls, two)
    answer = tls.reload()
    assert answer.status == 200 and json.loads(answer.body)["restart"] == []
    assert served(tls.tls_port) == pathlib.Path(two["certificate"]).read_text()


@pytest.mark.parametrize("how", ["absent", "garbage", "other_key"])
def test_certificate_that_cannot_be_used_fails_the_reload(tls, images, tmp_path, how):
    images.push()
    assert tls.manifest(APP, "v1").status == 403
    before = served(tls.tls_port)
    two = make_certificate(tmp_path, "two")
    if how == "absent":
        pathlib.Path(two["certificate"]).unlink()
    elif how == "garbage":
        pathlib.Path(two["certificate"]).write_text("no certificate")
    else:
        two["key"] = make_certificate(tmp_path, "three")["key"]
    with_tls(tls, two)
    tls.write_config(policies=[{**tls.config["policies"][0], "mode": "warn"}])
    answer = tls.reload()
    said = json.loads(answer.body)
    assert answer.status == 422 and not said["ok"], said
    assert two["certificate"] in said["place"] + said["message"]
    assert served(tls.tls_port) == before
    assert tls.manifest(APP, "v1").status == 403  # nothing of the file is in force
    assert tls.metric("gatehouse_config_last_reload_successful") == 0
    assert "reload failed, nothing changed" in tls.log_text()


def test_settings_that_need_a_restart_are_named(fake, make_gateway, tmp_path):
    gateway = make_gateway(fake)
    gateway.write_config(workers=1, storage={**gateway.config["storage"], "max_size": "2GiB"},
                         audit={"path": f"{tmp_path}/other.jsonl"}, listen=[gateway.config["listen"], f"127.0.0.1:{free_port()}"])
    answer = json.loads(gateway.reload().body)
    assert answer["ok"] and answer["restart"] == ["listen", "workers", "storage.max_size", "audit.path"]
    named = [line for line in gateway.log_lines() if line.get("reason") == "restart_needed"]
    assert len(named) == 4 and "listen was changed" in named[0]["message"]
    gateway.write_config(audit={})
    assert [r["restart"] for r in gateway.audit() if r["type"] == "reload"] == [answer["restart"]]


def served_at_once(gateway, count):
    """How many of so many connections are answered while all stay open."""
    held = [RawConnection(gateway.port) for _ in range(count)]
    answered = 0
    for connection in held:
        with contextlib.suppress(AssertionError, OSError):
            connection.get("/v2/")
            answered += connection.read_head().startswith("HTTP/1.1 200")
    for connection in held:
        connection.close()
    return answered


def test_connection_limit_follows_a_reload(fake, make_gateway):
    gateway = make_gateway(fake)
    assert served_at_once(gateway, 8) == 8
    gateway.write_config(limits={"connections_per_address": 3})
    wait_until(lambda: gateway.reload().status == 200, what="the admin listener")
    wait_until(lambda: 1 <= served_at_once(gateway, 8) <= 3, what="the limit")


def test_sink_follows_a_reload_without_loss(fake, make_gateway):
    first, second = Collector(), Collector()
    try:
        gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{first.port}/"}})
        wait_until(lambda: first.records, what="the first record")
        gateway.write_config(audit={"sink": {"url": f"http://127.0.0.1:{second.port}/"}})
        assert gateway.reload().status == 200
        gateway.reload()
        wait_until(lambda: second.records and second.records[-1] == gateway.audit()[-1], what="the second collector")
        got = first.records + second.records
        assert [r["seq"] for r in got] == [r["seq"] for r in gateway.audit()][len(gateway.audit()) - len(got):]
        gateway.write_config(audit={})
        assert gateway.reload().status == 200
        count = len(second.records)
        gateway.reload()
        assert gateway.stop() == 0 and len(second.records) in (count, count + 1)
    finally:
        first.close()
        second.close()


def test_commands_reach_an_admin_listener_with_tls(fake, images, keys, make_gateway, tmp_path):
    digest = images.push()
    register = tmp_path / "exceptions.yaml"
    register.write_text(json.dumps({"exceptions": [{"id": "EXC-1", "images": [f"{APP}@{digest}"], "policies": ["ours"], "owner": "a@x.test",
                                                    "approved_by": "b@x.test", "justification": "j", "compensating_control": "c",
                                                    "created": day(-1), "expires": day(20)}]}))
    plain = make_gateway(fake, exceptions=str(register), exceptions_approvers=["b@x.test"], ready=False)
    token = tmp_path / "token"
    token.write_text("secret-token\n")
    token.chmod(0o600)
    plain.write_config(admin={"address": plain.config["admin"]["address"], "token_file": str(token), "tls": make_certificate(tmp_path, "admin")})
    plain.is_up = lambda: "listening on" in plain.log_text()
    plain.start()
    wait_until(lambda: plain.get("/v2/").status == 200, what="the gateway")
    assert plain.manifest(APP, "v1").status == 200
    listed = json.loads(plain.run("exceptions", "list", "-c", plain.file, "--output", "json").stdout)
    assert listed["exceptions"][0]["uses"] == 1
    # another certificate answers there: nobody is told the token, and nothing is known
    plain.write_config(admin={**plain.config["admin"], "tls": make_certificate(tmp_path, "impostor")})
    listed = json.loads(plain.run("exceptions", "list", "-c", plain.file, "--output", "json").stdout)
    assert "uses" not in listed["exceptions"][0]
