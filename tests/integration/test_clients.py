"""Real clients through the gateway: skopeo, podman, containerd (ctr with a hosts.toml mirror), curl.

The registry behind is Debian's docker-registry, the corpus's fixture registry (where it is present) or a fake with the
committed images. What each client shows of a denial is written in docs/clients.md."""
import json
import os
import shutil
import subprocess

import pytest
from fake_registry import FakeRegistry
from gateway import wait_until
from registries import IMAGES, DockerRegistry, FixtureRegistry, copy_images, load_images

NAME = "registry.test"
SIGNED, INDEX, UNSIGNED, OTHERS = "cosign/keyed-p256-legacy", "cosign/index-recursive-bundle", "cosign/unsigned", "cosign/wrong-key-legacy"
# The last words of the message: who sees them sees all of it.
HELP = "Sign the image by digest with the signer that the policy names"


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def run(*command, timeout=60, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


@pytest.fixture(scope="module", params=["docker-registry", "fixture-registry", "fake"])
def registry(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    if request.param == "docker-registry":
        need("docker-registry")
        made = DockerRegistry(folder)
        copy_images(made.url)
    elif request.param == "fixture-registry":
        from conftest import TOP
        shared = next((p / "shared" / "fixtures" for p in TOP.parents if (p / "shared" / "fixtures" / "serve.py").exists()), None)
        if shared is None:
            pytest.skip("../shared/fixtures is absent")
        made = FixtureRegistry(shared, folder)
    else:
        made = FakeRegistry()
        load_images(made)
    made.kind = request.param
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(registry, tmp_path_factory):
    from gateway import Gateway
    made = Gateway(tmp_path_factory.mktemp("gateway"), {
        "upstreams": {NAME: {"url": registry.url}}, "signers": {"release": {"keys": [{"file": str(IMAGES / "p256.pub")}]}},
        "policies": [{"name": "ours", "images": [f"{NAME}/**"], "require": [{"signature": "release"}]}]})
    yield made
    made.stop()


@pytest.fixture(scope="module")
def containerd(tmp_path_factory):
    """A daemon of our own on a private socket; skipped by name where it cannot run."""
    need("containerd", "ctr")
    folder = tmp_path_factory.mktemp("ctd")
    (folder / "config.toml").write_text(f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/c.sock"
[ttrpc]
  address = "{folder}/t.sock"
""")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(["containerd", "-c", str(folder / "config.toml")], stdout=log, stderr=log)
    wait_until(lambda: process.poll() is not None or (folder / "c.sock").exists(), what="containerd")
    if process.poll() is not None or run("ctr", "-a", str(folder / "c.sock"), "version").returncode != 0:
        process.kill()
        pytest.skip("containerd cannot run here: " + (folder / "log").read_text(errors="replace").strip().splitlines()[-1][-200:])
    yield folder
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    need("podman")
    folder = tmp_path_factory.mktemp("podman")
    (folder / "tmp").mkdir()
    (folder / "auth.json").write_text("{}")
    command = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs", "--cgroup-manager=cgroupfs",
               "--events-backend=none"]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "REGISTRY_AUTH_FILE": str(folder / "auth.json")}
    result = run(*command, "info", env=environment)
    if result.returncode != 0:
        pytest.skip("podman cannot run here: " + result.stderr.strip()[-200:])
    return lambda *arguments: run(*command, *arguments, env=environment)


def test_skopeo_copies_signed_image_and_index(gateway, tmp_path):
    need("skopeo")
    for name, more in ((SIGNED, []), (INDEX, ["--all"])):
        result = run("skopeo", "copy", "--src-tls-verify=false", *more, f"docker://127.0.0.1:{gateway.port}/{NAME}/{name}:v1", f"dir:{tmp_path}/{name.split('/')[1]}")
        assert result.returncode == 0, result.stderr
    assert (tmp_path / SIGNED.split("/")[1] / "manifest.json").exists()


def test_skopeo_shows_the_whole_denial(gateway, tmp_path):
    need("skopeo")
    for name in (UNSIGNED, OTHERS):
        for verb in (["copy", "--src-tls-verify=false"], ["inspect", "--tls-verify=false"]):
            target = [f"dir:{tmp_path}/x"] if verb[0] == "copy" else []
            result = run("skopeo", *verb, f"docker://127.0.0.1:{gateway.port}/{NAME}/{name}:v1", *target)
            assert result.returncode == 1
            assert "denied: " in result.stderr and "policy ours" in result.stderr and "Decision " in result.stderr
    assert HELP in run("skopeo", "inspect", "--tls-verify=false", f"docker://127.0.0.1:{gateway.port}/{NAME}/{UNSIGNED}:v1").stderr


def test_podman_pulls_signed_and_shows_the_denial(gateway, podman):
    result = podman("pull", "--tls-verify=false", f"127.0.0.1:{gateway.port}/{NAME}/{SIGNED}:v1")
    assert result.returncode == 0, result.stderr
    result = podman("pull", "--tls-verify=false", f"127.0.0.1:{gateway.port}/{NAME}/{UNSIGNED}:v1")
    assert result.returncode == 125
    assert "denied: " in result.stderr and HELP in result.stderr and "Decision " in result.stderr


def test_registries_conf_location_leaves_no_way_round(gateway, tmp_path):
    """registries.conf: `location` on the prefix itself, so that the origin is not asked after a denial."""
    conf = tmp_path / "registries.conf"
    conf.write_text(f'[[registry]]\nprefix = "{NAME}"\nlocation = "127.0.0.1:{gateway.port}/{NAME}"\ninsecure = true\n')
    need("skopeo")
    inspect = ["skopeo", "--registries-conf", str(conf), "inspect", "--no-tags"]
    good = run(*inspect, f"docker://{NAME}/{SIGNED}:v1")
    bad = run(*inspect, f"docker://{NAME}/{UNSIGNED}:v1")
    assert good.returncode == 0, good.stderr
    assert bad.returncode == 1 and HELP in bad.stderr


def hosts(folder, gateway, server):
    place = folder / "certs.d" / NAME
    place.mkdir(parents=True, exist_ok=True)
    (place / "hosts.toml").write_text(f'server = "{server}"\n\n[host."http://127.0.0.1:{gateway.port}"]\n  capabilities = ["pull", "resolve"]\n')
    return ["--hosts-dir", str(folder / "certs.d"), "--snapshotter", "native"]


def test_ctr_pulls_through_hosts_toml(gateway, containerd, tmp_path):
    options = hosts(tmp_path, gateway, f"http://127.0.0.1:{gateway.port}")
    for name in (SIGNED, INDEX):
        result = run("ctr", "-a", str(containerd / "c.sock"), "content", "fetch", *options[:2], f"{NAME}/{name}:v1")
        assert result.returncode == 0, result.stderr
    result = run("ctr", "-a", str(containerd / "c.sock"), "image", "pull", *options, f"{NAME}/{UNSIGNED}:v1")
    assert result.returncode == 1
    # containerd before 2.4 shows the status of its HEAD alone; the reason stands in the gateway's log and audit log.
    assert "403 Forbidden" in result.stderr or "denied" in result.stderr
    assert UNSIGNED not in run("ctr", "-a", str(containerd / "c.sock"), "image", "list").stdout


def test_ctr_with_the_origin_as_server_goes_round(gateway, containerd, tmp_path, registry):
    """Why docs/clients.md insists on `server`: with the origin there, a denial is followed by a pull from it."""
    options = hosts(tmp_path, gateway, registry.url)
    result = run("ctr", "-a", str(containerd / "c.sock"), "content", "fetch", *options[:2], f"{NAME}/{UNSIGNED}:v1")
    assert result.returncode == 0, result.stderr
    run("ctr", "-a", str(containerd / "c.sock"), "image", "remove", f"{NAME}/{UNSIGNED}:v1")


def test_curl_shows_status_and_message(gateway):
    need("curl")
    base = f"http://127.0.0.1:{gateway.port}/v2/{NAME}"
    result = run("curl", "-sS", "--fail-with-body", f"{base}/{SIGNED}/manifests/v1")
    assert result.returncode == 0 and json.loads(result.stdout)["schemaVersion"] == 2
    layer = json.loads(result.stdout)["layers"][0]
    assert run("curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}", f"{base}/{SIGNED}/blobs/{layer['digest']}").stdout == str(layer["size"])
    result = run("curl", "-sS", "--fail-with-body", f"{base}/{UNSIGNED}/manifests/v1")
    assert result.returncode == 22
    assert HELP in json.loads(result.stdout)["errors"][0]["message"]


def test_second_pull_asks_upstream_for_nothing(fake, make_gateway, tmp_path):
    need("skopeo")
    load_images(fake)
    gateway = make_gateway(fake, signers={"release": {"keys": [{"file": str(IMAGES / "p256.pub")}]}}, policy={"images": [f"{NAME}/**"]})
    pull = ["skopeo", "copy", "--src-tls-verify=false", f"docker://127.0.0.1:{gateway.port}/{NAME}/{SIGNED}:v1"]
    assert run(*pull, f"dir:{tmp_path}/one").returncode == 0
    fake.forget()
    assert run(*pull, f"dir:{tmp_path}/two").returncode == 0
    assert fake.asked() == []
