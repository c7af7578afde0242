"""The program in tests/interop/notation: built outside of the tree where Go and its modules can be had, run against Debian's
docker-registry. For the cases of notation; the fixtures skip them by name where something is missing."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from registries import DockerRegistry

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "interop" / "notation"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gatehouse-interop"


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


def sign(program, registry, folder, *options):
    """Signs images into the registry; certificates are in FOLDER. Gives the cases by tag."""
    made = subprocess.run([program, "-registry", registry.url.removeprefix("http://"), "-out", folder, *options],
                          capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    return {c["tag"]: c for c in json.loads((pathlib.Path(folder) / "cases.json").read_text())}
