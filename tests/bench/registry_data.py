"""Makes the content of the benchmark's registry as plain files: small images signed in cosign's format by one key, and
two images with one large layer. Made once per folder; standard library and openssl only."""
import base64
import concurrent.futures
import hashlib
import json
import os
import subprocess

IMAGE = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
MIB = 1 << 20
BLOB_MIB = {"hot": 64, "cold": 512}
FORMAT = 1  # of the folder; another one is made anew


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Data:
    def __init__(self, folder, images):
        self.folder = folder
        self.images = images
        self.key = os.path.join(folder, "cosign.pub")
        self.digests = {}
        self.blobs = {}

    def make(self):
        done = os.path.join(self.folder, f"done-{FORMAT}-{self.images}")
        if not os.path.exists(done):
            os.makedirs(self.folder, exist_ok=True)
            self.make_keys()
            for name, size in BLOB_MIB.items():
                self.blobs[name] = self.make_image(name, "v1", self.put_large(name, size))
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda n: self.make_image("many", f"t{n}", self.small_layer(n)), range(self.images)))
            self.write("digests.map", "".join(f"{uri} {digest};\n" for uri, digest in sorted(self.digests.items())))
            with open(done, "w", encoding="ascii") as file:
                json.dump(self.blobs, file)
        with open(done, encoding="ascii") as file:
            self.blobs = json.load(file)
        return self

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())

    def make_keys(self):
        key = os.path.join(self.folder, "cosign.key")
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
        subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", self.key], check=True, capture_output=True)

    def put_blob(self, repository, data):
        digest = digest_of(data)
        self.write(f"root/v2/bench/{repository}/blobs/{digest}", data)
        return {"digest": digest, "size": len(data)}

    def put_large(self, repository, mib):
        block = os.urandom(MIB)
        hashed = hashlib.sha256()
        path = os.path.join(self.folder, f"root/v2/bench/{repository}/blobs/new")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            for n in range(mib):
                piece = n.to_bytes(8, "big") + block[8:]
                hashed.update(piece)
                file.write(piece)
        digest = "sha256:" + hashed.hexdigest()
        os.rename(path, os.path.join(os.path.dirname(path), digest))
        return {"digest": digest, "size": mib * MIB}

    def small_layer(self, number):
        return {"digest": digest_of(b"layer %d" % number), "size": len(b"layer %d" % number)}

    def put_manifest(self, repository, tag, manifest):
        data = json.dumps(manifest).encode()
        digest = digest_of(data)
        for reference in (tag, digest):
            uri = f"/v2/bench/{repository}/manifests/{reference}"
            self.write("root" + uri, data)
            self.digests[uri] = digest
        return digest

    def make_image(self, repository, tag, layer):
        """Signs it, too; gives the digest of the layer."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "of": tag}).encode()
        digest = self.put_manifest(repository, tag, {
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": {"mediaType": CONFIG, **self.put_blob(repository, config)},
            "layers": [{"mediaType": LAYER, **layer}]})
        payload = json.dumps({"critical": {"identity": {"docker-reference": repository},
                                           "image": {"docker-manifest-digest": digest},
                                           "type": "cosign container image signature"}, "optional": None}).encode()
        key = os.path.join(self.folder, "cosign.key")
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=payload, capture_output=True,
                                   check=True).stdout
        text = base64.b64encode(signature).decode()
        self.put_manifest(repository, digest.replace(":", "-") + ".sig", {
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": {"mediaType": CONFIG, **self.put_blob(repository, b"{}")},
            "layers": [{"mediaType": SIMPLE, **self.put_blob(repository, payload),
                        "annotations": {"dev.cosignproject.cosign/signature": text}}]})
        return layer["digest"]
