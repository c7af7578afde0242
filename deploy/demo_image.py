#!/usr/bin/env python3
"""Makes small images, pushes them to a registry over HTTP and signs them in cosign's format. Standard library and openssl only.

    demo_image.py push http://127.0.0.1:5100 team/app:v1                 prints the digest
    demo_image.py sign http://127.0.0.1:5100 team/app@sha256:... KEY.pem  attaches sha256-<hex>.sig
    demo_image.py keys FOLDER                                             writes cosign.key and cosign.pub (ECDSA P-256)
"""
import base64
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def call(method, url, data=None, headers=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, dict(answer.headers), answer.read()


def push_blob(registry, repository, data):
    """registry: a URL, or an object with put_blob() and put_manifest() (the fakes of the tests)."""
    digest = digest_of(data)
    if not isinstance(registry, str):
        registry.put_blob(repository, data)
        return digest
    try:
        call("HEAD", f"{registry}/v2/{repository}/blobs/{digest}")
        return digest
    except urllib.error.HTTPError:
        pass
    _, headers, _ = call("POST", f"{registry}/v2/{repository}/blobs/uploads/", b"")
    where = urllib.parse.urljoin(f"{registry}/", headers["Location"])
    where += ("&" if "?" in where else "?") + "digest=" + digest
    call("PUT", where, data, {"Content-Type": "application/octet-stream"})
    return digest


def push_manifest(registry, repository, manifest, reference=None, media_type=None):
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    kind = media_type or json.loads(data)["mediaType"]
    digest = digest_of(data)
    if not isinstance(registry, str):
        registry.put_manifest(repository, data, kind, reference)
        return digest, len(data)
    call("PUT", f"{registry}/v2/{repository}/manifests/{reference or digest}", data, {"Content-Type": kind})
    return digest, len(data)


def layer_bytes(files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def push_image(registry, repository, tag=None, files=None, architecture="amd64", annotations=None, extra=None):
    """Pushes a one-layer image; gives digest and size of its manifest."""
    tar = layer_bytes(files or {"hello.txt": f"{repository}:{tag}\n".encode()})
    layer = gzip.compress(tar, compresslevel=1, mtime=0)
    config = json.dumps({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/hello"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]}}).encode()
    manifest = {"schemaVersion": 2, "mediaType": IMAGE,
                "config": {"mediaType": CONFIG, "digest": push_blob(registry, repository, config), "size": len(config)},
                "layers": [{"mediaType": LAYER, "digest": push_blob(registry, repository, layer), "size": len(layer)}]}
    if annotations:
        manifest["annotations"] = annotations
    manifest.update(extra or {})
    return push_manifest(registry, repository, manifest, tag)


def push_index(registry, repository, tag, children):
    """children: (digest, size, architecture)"""
    index = {"schemaVersion": 2, "mediaType": INDEX,
             "manifests": [{"mediaType": IMAGE, "digest": d, "size": s, "platform": {"os": "linux", "architecture": a}} for d, s, a in children]}
    return push_manifest(registry, repository, index, tag)


def make_keys(folder, name="cosign"):
    key, pub = f"{folder}/{name}.key", f"{folder}/{name}.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", pub], check=True, stderr=subprocess.DEVNULL)
    return key, pub


def simple_payload(reference, digest, optional=None):
    return json.dumps({"critical": {"identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest},
                                    "type": "cosign container image signature"}, "optional": optional}).encode()


def sign_bytes(key, data):
    return subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=data, capture_output=True, check=True).stdout


def sign(registry, repository, digest, key, payload=None, signature=None, optional=None):
    """Attaches a cosign signature under sha256-<hex>.sig; payload and signature can be replaced for tests of refusals."""
    payload = payload or simple_payload(repository, digest, optional)
    signature = sign_bytes(key, payload) if signature is None else signature
    config = b"{}"
    manifest = {"schemaVersion": 2, "mediaType": IMAGE,
                "config": {"mediaType": CONFIG, "digest": push_blob(registry, repository, config), "size": len(config)},
                "layers": [{"mediaType": SIMPLE, "digest": push_blob(registry, repository, payload), "size": len(payload),
                            "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(signature).decode()}}]}
    return push_manifest(registry, repository, manifest, digest.replace(":", "-") + ".sig")


def main(args):
    if len(args) == 3 and args[0] == "push":
        repository, _, tag = args[2].partition(":")
        print(push_image(args[1], repository, tag or "latest")[0])
    elif len(args) == 4 and args[0] == "sign":
        repository, _, digest = args[2].partition("@")
        sign(args[1], repository, digest, args[3])
    elif len(args) == 2 and args[0] == "keys":
        make_keys(args[1])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
