"""Real registries for a test: Debian's docker-registry, the corpus's fixture registry, and the committed images in a fake one."""
import json
import pathlib
import shutil
import subprocess
import sys

from gateway import free_port, request, wait_until

IMAGES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "images"


class _Process:
    def __init__(self, port, log, command):
        self.port, self.url, self.log = port, f"http://127.0.0.1:{port}", log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until(self.is_up, what=f"the registry; its log: {log}")

    def is_up(self):
        assert self.process.poll() is None, f"the registry ended: {open(self.log, errors='replace').read()}"
        try:
            return request(self.port, "GET", "/v2/").status in (200, 401)
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(20)


class DockerRegistry(_Process):
    """Debian's docker-registry; keeps its data in FOLDER."""

    def __init__(self, folder):
        port = free_port()
        file = pathlib.Path(folder) / "registry.json"
        file.write_text(json.dumps({"version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
                                    "storage": {"filesystem": {"rootdirectory": f"{folder}/data"}, "delete": {"enabled": True}},
                                    "http": {"addr": f"127.0.0.1:{port}"}}))
        super().__init__(port, f"{folder}/registry.log", ["docker-registry", "serve", str(file)])

    @staticmethod
    def is_installed():
        return shutil.which("docker-registry") is not None


class FixtureRegistry(_Process):
    """serve.py of the corpus at SHARED (../shared/fixtures)."""

    def __init__(self, shared, folder, *options):
        port = free_port()
        self.access_log = f"{folder}/access.jsonl"
        super().__init__(port, f"{folder}/serve.log", [sys.executable, f"{shared}/serve.py", "--root", f"{shared}/registry", "--port", str(port),
                                                       "--access-log", self.access_log, *options])


def load_images(fake, prefix=""):
    """The committed images into a fake registry."""
    for name, repository in json.loads((IMAGES / "repos.json").read_text()).items():
        for digest, entry in repository["manifests"].items():
            fake.put_manifest(prefix + name, (IMAGES / "blobs" / digest.split(":")[1]).read_bytes(), entry["mediaType"])
            document = json.loads(fake.repositories[prefix + name].manifests[digest][1])
            for part in [document.get("config"), *document.get("layers", [])]:
                if part and (IMAGES / "blobs" / part["digest"].split(":")[1]).exists():
                    fake.put_blob(prefix + name, (IMAGES / "blobs" / part["digest"].split(":")[1]).read_bytes())
        fake.repositories[prefix + name].tags.update(repository["tags"])
        fake.repositories[prefix + name].referrers.update({k: list(v) for k, v in repository["referrers"].items()})


def copy_images(url):
    """The committed images into a registry that takes pushes."""
    import demo_image

    for name, repository in json.loads((IMAGES / "repos.json").read_text()).items():
        tags = {}
        for tag, digest in repository["tags"].items():
            tags.setdefault(digest, []).append(tag)
        # Indexes last: the registry asks for their children first.
        for digest, entry in sorted(repository["manifests"].items(), key=lambda item: "index" in item[1]["mediaType"] or "list" in item[1]["mediaType"]):
            data = (IMAGES / "blobs" / digest.split(":")[1]).read_bytes()
            document = json.loads(data)
            for part in [document.get("config"), *document.get("layers", [])]:
                if part:
                    demo_image.push_blob(url, name, (IMAGES / "blobs" / part["digest"].split(":")[1]).read_bytes())
            for tag in tags.get(digest, [None]):
                demo_image.push_manifest(url, name, data, tag, entry["mediaType"])
        # Debian's registry has no referrers API: clients that attach to it keep an index under the fallback tag.
        for subject, list_of in repository["referrers"].items():
            demo_image.push_manifest(url, name, {"schemaVersion": 2, "mediaType": demo_image.INDEX, "manifests": list_of}, subject.replace(":", "-"))
