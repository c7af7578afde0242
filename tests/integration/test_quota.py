"""Quotas of tenants: what is over is told 429 and when to come back, and one tenant's load is not another's."""
import concurrent.futures
import json
import threading
import time

import pytest
from fake_registry import Fault
from gateway import error_of, request, wait_until

APP = "registry.test/team/app"
LABS = f"labs/{APP}"


@pytest.fixture
def make_tenants(fake, images, keys, make_gateway, tmp_path):
    """make_tenants(quota of labs, quota of the main file): two tenants in front of one registry, each with an image pulled once."""

    def make(labs=None, own=None):
        (tmp_path / "labs.yaml").write_text(json.dumps(
            {"upstreams": {"registry.test": {"url": fake.url}}, "signers": {"release": {"keys": [{"file": f"{keys}/release.pub"}]}},
             "policies": [{"name": "labs", "images": ["registry.test/**"], "require": [{"signature": "release"}]}]}))
        tenant = {"name": "labs", "prefix": "labs", "config": str(tmp_path / "labs.yaml"), **({"quota": labs} if labs else {})}
        gateway = make_gateway(fake, tenants=[tenant], **({"quota": own} if own else {}))
        gateway.digest = images.signed()
        return gateway

    return make


def refused(answer, which):
    """That it is a refusal by quota; gives how long to wait."""
    error = error_of(answer)
    assert (answer.status, error["code"], error["detail"]["cause"]) == (429, "TOOMANYREQUESTS", "quota_exceeded"), answer
    assert "tenant labs" in error["message"] and f"({which})" in error["message"]
    return int(answer.headers["retry-after"])


def test_rate_of_one_tenant_leaves_the_other_alone(make_tenants):
    gateway = make_tenants({"requests_per_second": 5})
    statuses = [gateway.manifest(LABS, "v1").status for _ in range(40)]
    assert statuses[0] == 200 and statuses.count(429) >= 20 and set(statuses) == {200, 429}
    assert refused(next(a for a in iter(lambda: gateway.manifest(LABS, "v1"), None) if a.status == 429), "requests") == 1
    assert all(gateway.manifest(APP, "v1").status == 200 for _ in range(40))
    assert gateway.metric("gatehouse_quota_refusals_total", tenant="labs", quota="requests") >= 20
    assert gateway.metric("gatehouse_quota_refusals_total", tenant="default") == 0
    assert gateway.metric("gatehouse_tenant_requests_total", tenant="default") == 40
    wait_until(lambda: gateway.manifest(LABS, "v1").status == 200, what="the rate to allow one more")


def test_requests_that_hang_do_not_starve_the_other_tenant(make_tenants, fake):
    gateway = make_tenants({"concurrent_requests": 3})
    assert gateway.manifest(LABS, "v1").status == 200 and gateway.manifest(APP, "v1").status == 200
    gate = threading.Event()
    fake.on["slow"] = Fault(gate=gate)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        hanging = [pool.submit(gateway.manifest, LABS, "slow") for _ in range(12)]
        done = wait_until(lambda: [h for h in hanging if h.done()] if sum(h.done() for h in hanging) >= 9 else None, what="nine refusals")
        assert [refused(h.result(), "concurrent") for h in done] == [1] * 9
        began = time.monotonic()
        assert all(gateway.manifest(APP, "v1").status == 200 for _ in range(20))
        assert time.monotonic() - began < 5
        assert gateway.manifest(LABS, "v1").status == 429
        gate.set()
        assert sorted(h.result().status for h in hanging) == [404] * 3 + [429] * 9
    wait_until(lambda: gateway.manifest(LABS, "v1").status == 200, what="room for one more")
    assert gateway.metric("gatehouse_quota_refusals_total", tenant="labs", quota="concurrent") >= 10


def test_bytes_of_a_day_are_kept_over_a_reload(make_tenants):
    gateway = make_tenants({"bytes_per_day": "2KiB"})
    statuses = []
    while 429 not in statuses and len(statuses) < 50:
        statuses.append(gateway.manifest(LABS, "v1").status)
    assert statuses.count(200) >= 2 and statuses[-1] == 429
    gateway.write_config(limits={"idle_timeout": "50s"})
    assert gateway.reload().status == 200
    assert 1 <= refused(gateway.manifest(LABS, "v1"), "bytes") <= 86400
    assert gateway.metric("gatehouse_tenant_sent_bytes_total", tenant="labs") >= 2048
    assert gateway.manifest(APP, "v1").status == 200
    gateway.config["tenants"][0].pop("quota")
    gateway.write_config()
    assert gateway.reload().status == 200 and gateway.manifest(LABS, "v1").status == 200


def test_main_file_has_a_quota_of_its_own_and_tokens_count(make_tenants):
    gateway = make_tenants(own={"requests_per_second": 1})
    statuses = [request(gateway.port, "GET", "/token?service=default").status for _ in range(8)]
    assert statuses.count(429) >= 5
    assert all(gateway.manifest(LABS, "v1").status == 200 for _ in range(10))


def test_quota_in_a_tenants_own_file_is_an_error(make_tenants, tmp_path):
    gateway = make_tenants()
    labs = tmp_path / "labs.yaml"
    labs.write_text(json.dumps({**json.loads(labs.read_text()), "quota": {"requests_per_second": 1000000}}))
    answer = gateway.reload()
    assert answer.status == 422 and "quota: concerns the whole process" in json.loads(answer.body)["message"]
