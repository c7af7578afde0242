"""Air gap: everything is imported (images and evidence as OCI image layouts, trust material, CRLs and OCSP answers as
files), the network is cut, and no verdict changes. `gatehouse verify --layout` runs in a network namespace of its own,
where not even loopback is up."""
import concurrent.futures
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from gateway import BINARY, Gateway, free_port, request, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]

NO_NETWORK = ["unshare", "--net"]
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"


@pytest.fixture(scope="module")
def cut():
    if shutil.which("unshare") is None or subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode != 0:
        pytest.skip("no network namespaces here (unshare --net)")
    return NO_NETWORK


def corpus_module(folder):
    spec = importlib.util.spec_from_file_location("run_corpus", folder / "run_corpus.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digests_in(manifest):
    """Of everything a manifest leads to."""
    try:
        document = json.loads(manifest)
    except ValueError:
        return
    parts = [document.get("config"), *(document.get("layers") or []), *(document.get("manifests") or [])]
    for part in parts:
        if isinstance(part, dict) and re.fullmatch("sha256:[0-9a-f]{64}", str(part.get("digest"))):
            yield part["digest"]


class Layout:
    """A repository of the corpus as an OCI image layout. LISTED: index.json names every manifest (as oras writes it);
    else tags alone, and referrers hang on the fallback tag (as regctl does)."""

    def __init__(self, folder, blobs, repository, listed):
        self.folder, self.blobs, self.repository = folder, blobs, repository
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entries = [self.entry(digest, **{REF_NAME: tag}) for tag, digest in repository.get("tags", {}).items()]
        for digest in repository["manifests"]:
            self.take(digest)
            if listed:
                entries.append(self.entry(digest))
        for subject, descriptors in repository.get("referrers", {}).items():
            if descriptors and not listed:
                entries.append(self.fallback(subject, descriptors))
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    def path(self, digest):
        return self.folder / "blobs" / digest.replace(":", "/")

    def put(self, digest):
        source = self.blobs / digest.split(":")[1]
        if digest in self.repository.get("missingBlobs", []) or not source.exists() or self.path(digest).exists():
            return
        other = self.repository.get("blobContent", {}).get(digest)
        if other is not None:
            source = self.blobs / other.split(":")[1]
        self.path(digest).symlink_to(source)

    def take(self, digest):
        facts = self.repository["manifests"][digest]
        source = self.blobs / (facts.get("content") or digest).split(":")[1]
        if not source.exists():
            return
        if not self.path(digest).exists():
            self.path(digest).symlink_to(source)
        for part in digests_in(source.read_bytes()):
            self.put(part)

    def entry(self, digest, **annotations):
        facts = self.repository["manifests"][digest]
        return {"mediaType": facts["mediaType"], "digest": digest, "size": facts["size"],
                **({"annotations": annotations} if annotations else {})}

    def fallback(self, subject, descriptors):
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}).encode()
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self.path(digest).write_bytes(body)
        return {"mediaType": INDEX, "digest": digest, "size": len(body),
                "annotations": {REF_NAME: subject.replace(":", "-")}}




class Corpus:
    def __init__(self, folder, work):
        self.folder, self.work = folder, work
        self.module = corpus_module(folder)
        self.types = set((TOP / "tests/support/corpus_types").read_text().strip().split(","))
        self.cases = [c for c in json.loads((folder / "expected.json").read_text())["cases"]
                      if self.module.types_of(c["policy"]) <= self.types]
        self.repositories = json.loads((folder / "registry" / "repos.json").read_text())["repositories"]
        (work / "ocsp").mkdir()
        for answer in (folder / "crl").glob("ocsp-*.der"):
            (work / "ocsp" / answer.stem.removeprefix("ocsp-")).symlink_to(answer)

    def config(self, cases, registry="http://127.0.0.1:1"):
        """Offline: beyond the registry only files are left."""
        made = self.module.Config(str(self.folder))
        for number, case in enumerate(cases):
            self.module.add_case(made, case, f"case-{number}")
        text = {"offline": True,
                "fetch": {"rewrite": {"http://crl.example.test/": f"file://{self.folder}/crl/",
                                      "http://ocsp.example.test/": f"file://{self.work}/ocsp/"}},
                "upstreams": {self.module.UP: {"url": registry}},
                "roots": made.roots, "signers": made.signers, "policies": made.policies}
        return {k: v for k, v in text.items() if v}

    def verify(self, cut, case, number, listed):
        """What is wrong with the verdict, or None."""
        name = f"{'listed' if listed else 'fallback'}-{number}"
        repository = re.split("[:@]", case["ref"])[0]
        layout = Layout(self.work / name, self.folder / "registry" / "blobs" / "sha256",
                        self.repositories[repository], listed)
        file = self.work / (name + ".yaml")
        file.write_text(json.dumps({"storage": {"path": str(self.work / "store")}, **self.config([case])}))
        at = case.get("verify_at") or case["policy"].get("verify_at")
        done = subprocess.run([*cut, BINARY, "verify", "-c", file, "--output", "json", "--layout",
                               layout.folder, "--as", f"{self.module.UP}/{case['ref']}", *(["--at", at] if at else [])],
                              capture_output=True, text=True, timeout=120)
        shutil.rmtree(layout.folder)
        return self.judge(case, done, {0: "allow", 1: "deny", 3: "deny"}.get(done.returncode))

    def tuf(self, cut, case, number):
        """The case's TUF repository from a mirror of files."""
        policy, folder = case["policy"], self.work / f"tuf-{number}"
        metadata, targets = folder / "metadata", folder / "targets"
        targets.mkdir(parents=True)
        at = case.get("verify_at")
        shift = ["faketime", "-f", "@" + at.replace("T", " ").rstrip("Z")] if at else []
        if shift and shutil.which("faketime") is None:
            return None

        # faketime is preloaded in front of a sanitizer's runtime, which would mind.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"

        def go(*arguments):
            return subprocess.run([*cut, *shift, BINARY, "tuf", "--metadata-dir", metadata, *arguments], capture_output=True,
                                  env={**os.environ, "TZ": "UTC", "ASAN_OPTIONS": sanitizer}, timeout=60).returncode

        if policy.get("client_state"):
            shutil.copytree(self.folder / policy["client_state"], metadata)
            status = 0
        else:
            metadata.mkdir()
            status = go("init", self.folder / policy["tuf_root"])
        if status == 0:
            status = go("--metadata-url", f"file://{self.folder}/{policy['metadata']}", "--target-name", policy["target"],
                        "--target-base-url", f"file://{self.folder}/{policy['targets']}", "--target-dir", targets, "download")
        verdict = {0: "allow", 1: "deny"}.get(status, f"exit {status}")
        return None if verdict == case["expected"]["verdict"] else f"{case['id']}: {verdict}"

    def judge(self, case, done, verdict):
        expected = case["expected"]
        try:
            reason = json.loads(done.stdout).get("reason")
        except ValueError:
            reason = None
        if verdict == expected["verdict"] or verdict in (expected.get("verdict_also_accepted") or []):
            accepted = [expected.get("reason"), *(expected.get("reason_also_accepted") or []), *(expected.get("also") or [])]
            coarser = self.module.COARSER.get(reason)
            if verdict == "allow" or reason in accepted or coarser in accepted:
                return None
            return f"{case['id']}: denied for {reason}, not {accepted}"
        return f"{case['id']}: {verdict} ({reason}), not {expected['verdict']}: {done.stderr or done.stdout}"[:400]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    for parent in TOP.parents:
        if (parent / "shared" / "fixtures" / "run_corpus.py").exists():
            return Corpus(parent / "shared" / "fixtures", tmp_path_factory.mktemp("offline"))
    pytest.skip("../shared/fixtures is absent")


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "fallback"])
def test_corpus_with_the_network_cut_keeps_every_verdict(corpus, cut, listed):
    cases = [c for c in corpus.cases if c["policy"]["type"] != "tuf"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [w for w in pool.map(lambda t: corpus.verify(cut, t[1], t[0], listed), enumerate(cases)) if w]
    assert len(cases) > 250
    assert wrong == []


def test_tuf_repositories_from_files_keep_every_verdict(corpus, cut):
    cases = [c for c in corpus.cases if c["policy"]["type"] == "tuf"]
    wrong = [w for w in (corpus.tuf(cut, c, i) for i, c in enumerate(cases)) if w]
    assert len(cases) > 10
    assert wrong == []


def test_gateway_whose_registry_is_gone_keeps_every_verdict(corpus, tmp_path):
    """What was pulled once is served again, after a restart too; nothing that was refused is."""
    port, cases = free_port(), {}
    for case in corpus.cases:
        if case["policy"]["type"] != "tuf" and not (case.get("verify_at") or case["policy"].get("verify_at")):
            cases.setdefault(re.split("[:@]", case["ref"])[0], case)
    registry = subprocess.Popen(
        [sys.executable, corpus.folder / "serve.py", "--root", corpus.folder / "registry", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    gateway = Gateway(tmp_path / "gateway", corpus.config(cases.values(), f"http://127.0.0.1:{port}"), ready=False)

    def is_up():
        try:
            return request(port, "GET", "/v2/").status == 200
        except OSError:
            return False

    def pull():
        accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*"
        return {c["id"]: gateway.manifest(f"{corpus.module.UP}/{repository}", re.split("[:@]", c["ref"], maxsplit=1)[1],
                                          Accept=accept).status for repository, c in cases.items()}

    try:
        wait_until(is_up, what="the registry")
        gateway.start()
        before = pull()
        registry.terminate()
        registry.wait()
        allowed = {i for i, status in before.items() if status == 200}
        assert len(allowed) > 80 and len(before) - len(allowed) > 120
        assert {i for i, status in pull().items() if status == 200} == allowed
        gateway.restart()
        after = pull()
        assert {i for i, status in after.items() if status == 200} == allowed
        assert set(after.values()) <= {200, 403, 404, 502, 503}
    finally:
        registry.kill()
        registry.wait()
        gateway.stop()


def test_layout_written_by_skopeo_verifies(images, fake, keys, tmp_path, cut):
    """An image and its signature, copied into one folder by their tags; another image beside them is not."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    digest = images.signed(tag="v1")
    images.push(tag="bare", files={"b": b"unsigned"})
    for tag in ("v1", "bare", digest.replace(":", "-") + ".sig"):
        subprocess.run(["skopeo", "copy", "--src-tls-verify=false", "--insecure-policy", f"docker://{fake.url[7:]}/team/app:{tag}",
                        f"oci:{tmp_path}/layout:{tag}"], check=True, capture_output=True)
    file = tmp_path / "gatehouse.yaml"
    file.write_text(json.dumps({
        "offline": True, "storage": {"path": str(tmp_path / "store")}, "upstreams": {"registry.test": {"url": fake.url}},
        "signers": {"release": {"keys": [{"file": f"{keys}/release.pub"}]}},
        "policies": [{"name": "ours", "images": ["registry.test/**"], "require": [{"signature": "release"}]}]}))

    def verify(name):
        return subprocess.run([*cut, BINARY, "verify", "-c", file, "--output", "json", "--layout", tmp_path / "layout", "--as",
                               "registry.test/" + name], capture_output=True, text=True, timeout=60)

    for name, status, cause in (("team/app:v1", 0, ""), (f"team/app@{digest}", 0, ""), ("team/app:bare", 1, "no_signature_found"),
                                ("team/app@sha256:" + "0" * 64, 3, "manifest_unknown")):
        done = verify(name)
        assert (done.returncode, json.loads(done.stdout)["cause"]) == (status, cause), (name, done)
    done = verify("team/app:other")
    assert done.returncode == 2 and "several images" in done.stderr, done
