#!/usr/bin/env python3
"""Living with refusals: the owner's path from a refused pull to an exception and its end, and what the gateway reports."""
import datetime
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from live import HEAD, Gateway, Registry, ask, demo_image, keys, run  # noqa: E402

NAME = "registry.test.internal/team/app"
CONFIG = HEAD + """cache: {denial_ttl: 0s}
upstreams: {registry.test.internal: {url: "%s"}}
signers: {ours: {keys: [{file: a.pub}]}}
policies: [{name: acme-images, owner: platform@acme.example, images: ["registry.test.internal/team/**"], require: [{signature: ours}]}]
exceptions: exceptions.yaml
exceptions_approvers: [security@acme.example]
"""


def moment(after_s):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come to be")


def set_up():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    return folder, keys(folder, "a")[0]


def add(gateway, digest, expires, name="EXC-2026-001", created=None):
    done = gateway.run("exceptions", "add", "-c", str(gateway.folder / "g.yaml"), "--id", name, "--image", f"{NAME}@{digest}",
                       "--policy", "acme-images", "--owner", "jane@acme.example", "--approved-by", "security@acme.example",
                       "--justification", "vendor signs from release 4.2", "--expires", expires,
                       *(["--created", created] if created else []))
    assert done.returncode == 0, done.stderr


def listed(gateway, name="EXC-2026-001"):
    found = ask(gateway.admin_port, "GET", "/v1/exceptions").json["exceptions"]
    return next(e for e in found if e["id"] == name)


def test_owner_goes_from_refusal_to_exception_to_its_end():
    folder, _ = set_up()
    with Registry() as registry:
        digest = registry.push("team/app", "v1")
        with Gateway({"g.yaml": CONFIG % registry.url, "exceptions.yaml": "# kept by hand\nexceptions: []\n"}, folder) as gateway:
            refused = gateway.manifest(NAME, "v1")
            assert refused.status == 403 and "acme-images" in refused.message
            decision = refused.headers["x-gatehouse-decision"]
            assert decision in refused.message and refused.json["errors"][0]["detail"]["id"] == decision
            why = gateway.run("why", "-c", str(gateway.folder / "g.yaml"), decision)
            assert why.returncode == 0 and "acme-images" in why.stdout and "signature:ours" in why.stdout, why

            end = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(seconds=6)
            add(gateway, digest, end.strftime("%Y-%m-%dT%H:%M:%SZ"))
            assert gateway.manifest(NAME, "v1").status == 403  # not before a reload
            assert gateway.reload()
            served = gateway.manifest(NAME, "v1")
            assert served.status == 200
            assert "EXC-2026-001" in served.headers["warning"] and served.headers["warning"].startswith("299 - ")
            assert gateway.manifest(NAME, digest).headers["warning"]
            assert gateway.metric("gatehouse_exceptions_used_total", tenant="default", exception="EXC-2026-001") == 2
            assert gateway.metric("gatehouse_bypasses_total", tenant="default", kind="exception") == 2
            assert re.search(r"by exception EXC-2026-001, owner jane@acme.example, days left: 1", gateway.log())
            used = [r for r in gateway.audit() if r["type"] == "allow"]
            assert used and all(r["decision"]["exceptions"] == ["EXC-2026-001"] for r in used if "decision" in r)

            # at the very second, and without a reload
            while (now := datetime.datetime.now(datetime.timezone.utc)) < end:
                answer = gateway.manifest(NAME, "v1")
                if datetime.datetime.now(datetime.timezone.utc) < end:
                    assert answer.status == 200, now
                time.sleep(0.02)
            refused = gateway.manifest(NAME, "v1")
            assert refused.status == 403 and refused.json["errors"][0]["detail"]["cause"] == "exception_expired", refused.body
            assert "EXC-2026-001 expired" in refused.message
            assert gateway.manifest(NAME, digest).status == 403
            assert (gateway.folder / "exceptions.yaml").read_text().startswith("# kept by hand\n")
            assert wait_until(lambda: gateway.metric("gatehouse_bypasses_recent", kind="exception", window="1d") >= 2)


def test_exception_of_an_image_that_verifies_by_now_can_be_closed():
    folder, key = set_up()
    with Registry() as registry:
        digest = registry.push("team/app", "v1")
        with Gateway({"g.yaml": CONFIG % registry.url, "exceptions.yaml": "exceptions: []\n"}, folder) as gateway:
            add(gateway, digest, moment(86400))
            assert gateway.reload()
            assert gateway.manifest(NAME, "v1").status == 200
            wait_until(lambda: listed(gateway)["verifies"] is False)
            assert listed(gateway)["uses"] == 1 and listed(gateway)["last_used"]
            assert "can be closed" not in gateway.log()
            demo_image.sign(registry.url, "team/app", digest, key)
            assert gateway.reload()
            wait_until(lambda: listed(gateway)["verifies"] is True)
            wait_until(lambda: "exception EXC-2026-001 of tenant default can be closed" in gateway.log())
            assert wait_until(lambda: gateway.metric("gatehouse_exceptions", tenant="default", state="closable") == 1)
            answer = gateway.manifest(NAME, "v1")
            assert answer.status == 200 and "warning" not in answer.headers
            done = gateway.run("exceptions", "list", "-c", str(gateway.folder / "g.yaml"))
            assert "EXC-2026-001" in done.stdout and "can be closed" in done.stdout, done


def test_end_and_idleness_of_exceptions_are_reported():
    folder, _ = set_up()
    with Registry() as registry:
        digest = registry.push("team/app", "v1")
        with Gateway({"g.yaml": CONFIG % registry.url, "exceptions.yaml": "exceptions: []\n"}, folder) as gateway:
            for name, left in (("E-1", 0.9), ("E-7", 6.5), ("E-14", 13.5), ("E-30", 30)):
                add(gateway, digest, moment(left * 86400), name, moment(-20 * 86400))
            assert gateway.reload()
            wait_until(lambda: "exception E-14 of tenant default, owner jane@acme.example, ends in 14 days" in gateway.log())
            log = gateway.log()
            assert "exception E-1 of tenant default, owner jane@acme.example, ends in 1 day" in log
            assert "exception E-7 of tenant default, owner jane@acme.example, ends in 7 days" in log
            assert "exception E-30 of tenant default, owner jane@acme.example, was not used for 20 days" in log
            assert "exception E-30 of tenant default, owner jane@acme.example, ends" not in log
            assert gateway.metric("gatehouse_exceptions", tenant="default", state="unused") == 4
            assert gateway.metric("gatehouse_exceptions", tenant="default", state="expiring") == 3
            done = gateway.run("exceptions", "list", "-c", str(gateway.folder / "g.yaml"))
            assert "never used" in done.stdout, done.stdout


if __name__ == "__main__":
    sys.exit(run([value for name, value in list(globals().items()) if name.startswith("test_")]))
