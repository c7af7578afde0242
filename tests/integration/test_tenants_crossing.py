#!/usr/bin/env python3
"""Tenants: who is asked decides, and nothing that one tenant learnt, cached or may use serves another."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from live import HEAD, Gateway, Registry, keys, run  # noqa: E402

TENANT = """upstreams: {registry.test.internal: {url: "%s"%s}}
signers: {ours: {keys: [{file: %s.pub}]}}
policies: [{name: %s-images, images: ["registry.test.internal/**"], require: [{signature: ours}]}]
"""
NAME = "registry.test.internal/team/app"


def files(url_a, url_b, credentials_a="", main=""):
    return {"g.yaml": HEAD + main + "tenants:\n- {name: pay, hosts: [pay.test.internal], config: tenants/pay.yaml}\n"
                      "- {name: labs, prefix: labs, config: tenants/labs.yaml}\n",
            "tenants/pay.yaml": TENANT % (url_a, credentials_a, "a", "pay"),
            "tenants/labs.yaml": TENANT % (url_b, "", "b", "labs")}


PAY = {"Host": "pay.test.internal"}


def test_same_digest_under_two_tenants_is_judged_by_each():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    key_a, _ = keys(folder + "/tenants", "a", "b")
    with Registry() as registry:
        digest = registry.push("team/app", "v1", key_a)
        with Gateway(files(registry.url, registry.url), folder) as gateway:
            assert gateway.manifest(NAME, "v1", PAY).status == 200
            refused = gateway.manifest("labs/" + NAME, "v1")
            assert refused.status == 403 and "labs-images" in refused.message, refused.body
            assert gateway.manifest("labs/" + NAME, digest).status == 403
            # once more, from what is stored now
            assert gateway.manifest(NAME, digest, PAY).status == 200
            assert gateway.manifest("labs/" + NAME, digest).status == 403
            assert gateway.metric("gatehouse_denials_total", tenant="labs", policy="labs-images") == 3
            assert gateway.metric("gatehouse_denials_total", tenant="pay") == 0
            assert gateway.metric("gatehouse_decisions_total", tenant="pay", verdict="allow") == 2
            tenants = {r.get("tenant") for r in gateway.audit() if r.get("type") in ("allow", "denial")}
            assert {"pay", "labs"} <= tenants, tenants


def test_cached_blob_of_one_tenant_is_not_served_in_another():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    key_a, _ = keys(folder + "/tenants", "a", "b")
    with Registry() as registry, Registry() as empty:
        digest = registry.push("team/app", "v1", key_a)
        layer = registry.layers("team/app", digest)[0]
        with Gateway(files(registry.url, empty.url), folder) as gateway:
            assert gateway.manifest(NAME, "v1", PAY).status == 200
            assert gateway.get(f"/v2/{NAME}/blobs/{layer}", headers=PAY).status == 200
            for path in (f"/v2/labs/{NAME}/blobs/{layer}", f"/v2/labs/{NAME}/manifests/{digest}",
                         f"/v2/labs/{NAME}/blobs/{digest}"):
                for method in ("GET", "HEAD"):
                    answer = gateway.get(path, method)
                    assert answer.status in (403, 404), (path, answer.status)
            # and the tenant itself still has it
            assert gateway.get(f"/v2/{NAME}/blobs/{layer}", headers=PAY).status == 200


def test_credential_of_one_tenant_is_never_used_for_another():
    for token in (False, True):
        folder = tempfile.mkdtemp(prefix="gatehouse-test.")
        key_a, _ = keys(folder + "/tenants", "a", "b")
        with Registry({"payer": ("secret", {"team/app"})}, token) as registry:
            registry.push("team/app", "v1", key_a)
            set_up = files(registry.url, registry.url, ", credentials: {username: payer, password_file: pw}")
            with Gateway(set_up | {"tenants/pw": "secret\n"}, folder) as gateway:
                assert gateway.manifest(NAME, "v1", PAY).status == 200
                seen = len(registry.log)
                refused = gateway.manifest("labs/" + NAME, "v1")
                assert refused.status == 403, refused.status
                assert len(registry.log) > seen
                assert all(user != "payer" for _, _, user in registry.log[seen:]), registry.log[seen:]
                assert "secret" not in gateway.log()


def test_unknown_host_is_the_main_files_or_not_found():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    key_a, key_b = keys(folder + "/tenants", "a", "b")
    keys(folder, "m")
    with Registry() as registry:
        registry.push("team/app", "v1", key_a)
        with Gateway(files(registry.url, registry.url), folder) as gateway:
            answer = gateway.manifest(NAME, "v1", {"Host": "other.test.internal"})
            assert answer.status == 404 and answer.json["errors"][0]["code"] == "NAME_UNKNOWN"
            assert gateway.get("/v2/", headers=PAY).status == 200
            assert gateway.get("/v2/").status == 200  # labs may be meant
            gateway.write({"g.yaml": files(registry.url, registry.url, main=TENANT % (registry.url, "", "m", "main"))["g.yaml"]})
            assert gateway.reload()
            answer = gateway.manifest(NAME, "v1", {"Host": "other.test.internal"})
            assert answer.status == 403 and "main" in answer.message
            # a host that is a tenant's is not asked for prefixes
            assert gateway.manifest("labs/" + NAME, "v1", PAY).status == 404


def test_commands_take_a_tenant():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    key_a, _ = keys(folder + "/tenants", "a", "b")
    with Registry() as registry:
        registry.push("team/app", "v1", key_a)
        gateway = Gateway(files(registry.url, registry.url), folder)
        config = str(gateway.folder / "g.yaml")
        done = gateway.run("check", "-c", config)
        assert done.returncode == 0 and "tenants/labs.yaml: valid" in done.stdout, done
        assert gateway.run("verify", "-c", config, "--tenant", "pay", NAME + ":v1").returncode == 0
        assert gateway.run("verify", "-c", config, "--tenant", "labs", NAME + ":v1").returncode == 1
        assert gateway.run("verify", "-c", config, "--tenant", "none", NAME + ":v1").returncode == 2
        assert "labs-images" in gateway.run("explain", "-c", config, "--tenant", "labs", NAME).stdout
        assert gateway.run("explain", "-c", config, NAME).returncode == 2
        gateway.write({"tenants/labs.yaml": "listen: 127.0.0.1:1\nsinger: {}\n"})
        done = gateway.run("check", "-c", config)
        assert done.returncode == 2 and "tenants/labs.yaml:1:1: error: listen: concerns the whole process" in done.stderr
        assert "tenants/labs.yaml:2:1: error: unknown key" in done.stderr, done.stderr


def test_reload_that_moves_tenants_keeps_them_apart():
    folder = tempfile.mkdtemp(prefix="gatehouse-test.")
    key_a, key_b = keys(folder + "/tenants", "a", "b")
    with Registry() as registry:
        registry.push("team/app", "v1", key_a)
        set_up = files(registry.url, registry.url)
        with Gateway(set_up, folder) as gateway:
            assert gateway.manifest(NAME, "v1", PAY).status == 200
            assert gateway.manifest("labs/" + NAME, "v1").status == 403
            head, pay, labs = set_up["g.yaml"].rpartition("tenants:\n")[0], *set_up["g.yaml"].splitlines()[-2:]
            gateway.write({"g.yaml": head + "tenants:\n" + labs + "\n" + pay + "\n"})
            assert gateway.reload()
            assert gateway.manifest(NAME, "v1", PAY).status == 200
            assert gateway.manifest("labs/" + NAME, "v1").status == 403


if __name__ == "__main__":
    sys.exit(run([test_same_digest_under_two_tenants_is_judged_by_each, test_cached_blob_of_one_tenant_is_not_served_in_another,
                  test_credential_of_one_tenant_is_never_used_for_another, test_unknown_host_is_the_main_files_or_not_found,
                  test_commands_take_a_tenant, test_reload_that_moves_tenants_keeps_them_apart]))
