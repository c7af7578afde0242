"""The real cosign against a registry of our own: fixtures that build it once, outside of the tree (skipped where Go or the
module proxy is missing), and what a gateway answers for an image that it signed."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import demo_image
import pytest
from trust_case import Gateway, free_port, request, run, wait_until

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gatehouse-interop"
MODULES = {2: "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5", 3: "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"}


def is_version(binary, major):
    with contextlib.suppress(OSError):
        told = subprocess.run([binary, "version"], capture_output=True, text=True).stdout
        return f"GitVersion:    v{major}." in told
    return False


def built(major):
    """The binary; installed, from an earlier run, or built now."""
    folder = CACHE if major == 2 else CACHE / f"v{major}"
    for binary in (shutil.which("cosign"), folder / "cosign"):
        if binary is not None and is_version(binary, major):
            return str(binary)
    if shutil.which("go") is None:
        pytest.skip(f"neither cosign {major} nor Go is installed")
    try:
        made = subprocess.run(["nice", "-n", "19", "go", "install", MODULES[major]], capture_output=True, text=True,
                              timeout=900, env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-p=2"})
    except subprocess.TimeoutExpired:
        pytest.skip(f"cosign {major} did not build in 15 minutes")
    if made.returncode != 0:
        pytest.skip(f"cosign {major} could not be built: " + made.stderr.strip().splitlines()[-1])
    return str(folder / "cosign")


@pytest.fixture(scope="session")
def cosign():
    return built(2)


@pytest.fixture(scope="session")
def cosign3():
    return built(3)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    (folder / "config.yml").write_text(json.dumps({
        "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}}, "http": {"addr": f"127.0.0.1:{port}"}}))
    process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)

    def is_up():
        with contextlib.suppress(OSError):
            return request(port, "GET", "/v2/")[0] == 200

    wait_until(is_up, what="the registry")
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


def environment(folder, **more):
    """Nothing of the user's, and no root but what is named."""
    return {**os.environ, "COSIGN_PASSWORD": "", "HOME": str(folder), "TUF_ROOT": str(folder / "tuf"), "NO_PROXY": "127.0.0.1",
            **more}


def make_pair(binary, folder):
    """A key pair made by cosign."""
    made = subprocess.run([binary, "generate-key-pair"], cwd=folder, capture_output=True, text=True, env=environment(folder))
    assert made.returncode == 0, made.stderr
    return folder / "cosign.key", folder / "cosign.pub"


def run_cosign(binary, verb, folder, *arguments, **more):
    """Signs, attests or saves against a registry without TLS."""
    made = subprocess.run([binary, verb, *(["--yes"] if verb != "save" else []), "--allow-http-registry",
                           *map(str, arguments)], capture_output=True, text=True, timeout=120, env=environment(folder, **more))
    assert made.returncode == 0, made.stderr


def config(registry, signer, trusted_root=None, require=None):
    return {"upstreams": {"registry.test": {"url": f"http://{registry}"}}, "workers": 1,
            "roots": {"acme": {"trusted_root": str(trusted_root)}} if trusted_root else {},
            "signers": {"release": signer},
            "policies": [{"name": "ours", "images": ["registry.test/**"], "require": [require or {"signature": "release"}]}]}


def judge(folder, registry, signer, repository, digest, trusted_root=None, require=None):
    """What the gateway answers for the digest; the command line says the same."""
    with Gateway(folder, config(registry, signer, trusted_root, require)) as gateway:
        verified = run("verify", "-c", gateway.file, f"registry.test/{repository}@{digest}")
        status, cause, _ = gateway.pull(f"registry.test/{repository}", digest)
        assert verified.returncode == {200: 0, 403: 1}[status], verified.stdout
        return status, cause


def push(registry, repository, **options):
    return demo_image.push_image(f"http://{registry}", repository, "v1", **options)[0]
