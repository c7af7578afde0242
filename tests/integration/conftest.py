"""Fixtures of the integration tests. A case gets a fake registry and a gateway in front of it; both end with it."""
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "support"), str(TOP / "deploy")]

import demo_image  # noqa: E402
from fake_registry import FakeRegistry  # noqa: E402
from gateway import BINARY, Gateway  # noqa: E402

UPSTREAM = "registry.test"


def pytest_configure(config):
    if not os.path.exists(BINARY):
        pytest.exit(f"there is no gateway at {BINARY}; set GATEHOUSE", returncode=2)


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Folder with release and other (.key and .pub), ECDSA P-256."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("release", "other"):
        demo_image.make_keys(folder, name)
    return folder


@pytest.fixture
def fake():
    registry = FakeRegistry()
    yield registry
    registry.close()


@pytest.fixture
def make_fake():
    made = []

    def make(**options):
        made.append(FakeRegistry(**options))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


@pytest.fixture
def make_gateway(tmp_path, keys):
    """make_gateway(upstreams or registry, **top level keys): a running gateway whose policy `ours` asks for the key
    `release` everywhere in registry.test/team."""
    made = []

    def make(registry, name="gateway", environment=None, ready=True, policy=None, **more):
        upstreams = registry if isinstance(registry, dict) else {UPSTREAM: {"url": registry.url}}
        config = {"upstreams": upstreams, "signers": {"release": {"keys": [{"file": f"{keys}/release.pub"}]}},
                  "workers": 2,
                  "policies": [{"name": "ours", "owner": "platform@registry.test", "images": [f"{UPSTREAM}/team/**"],
                                "require": [{"signature": "release"}], **(policy or {})}], **more}
        made.append(Gateway(tmp_path / name, config, environment, ready))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


class Images:
    """Images in a registry: signed, unsigned, signed by another."""

    def __init__(self, registry, keys):
        self.registry, self.keys = registry, keys

    def push(self, repository="team/app", tag="v1", **options):
        return demo_image.push_image(self.registry, repository, tag, **options)[0]

    def sign(self, repository, digest, key="release", **options):
        return demo_image.sign(self.registry, repository, digest, f"{self.keys}/{key}.key", **options)[0]

    def signed(self, repository="team/app", tag="v1", **options):
        digest = self.push(repository, tag, **options)
        self.sign(repository, digest)
        return digest

    def parts(self, repository, digest):
        """Configuration and layer digests."""
        import json
        document = json.loads(self.registry.repositories[repository].manifests[digest][1])
        return document["config"]["digest"], document["layers"][0]["digest"]


@pytest.fixture
def images(fake, keys):
    return Images(fake, keys)


@pytest.fixture
def images_of(keys):
    return lambda registry: Images(registry, keys)


@pytest.fixture
def shared():
    """../shared/fixtures; skipped where it is absent."""
    folder = TOP.parent / "shared" / "fixtures"
    for candidate in (folder, *(p / "shared" / "fixtures" for p in TOP.parents)):
        if (candidate / "serve.py").exists():
            return candidate
    pytest.skip("../shared/fixtures is absent")
