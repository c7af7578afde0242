"""Makes a TUF repository that distributes trusted_root.json, with openssl. Ed25519; one key for each role."""
import datetime
import hashlib
import json
import os
import pathlib
import subprocess

YEAR = 365 * 86400


def canonical(value):
    """OLPC canonical JSON of what stands here: no floats, no control bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def moment(seconds):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Key:
    def __init__(self, folder, name):
        self.path = pathlib.Path(folder) / f"{name}.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.path], check=True, capture_output=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.path, "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.document = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": der[-32:].hex()}}
        self.id = hashlib.sha256(canonical(self.document)).hexdigest()

    def sign(self, message):
        source = self.path.with_suffix(".message")
        source.write_bytes(message)
        made = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", source], check=True,
                              capture_output=True)
        return {"keyid": self.id, "sig": made.stdout.hex()}


class TufRepository:
    """Below FOLDER: anchor.json (where trust starts) and repo/ (what is served)."""

    def __init__(self, folder, content, **ends):
        self.folder = pathlib.Path(folder)
        self.served = self.folder / "repo"
        os.makedirs(self.served / "targets", exist_ok=True)
        self.keys = {role: Key(self.folder, role) for role in ("root", "timestamp", "snapshot", "targets")}
        self.root_version = self.version = 0
        self.anchor = self.folder / "anchor.json"
        self.publish_root()
        self.anchor.write_bytes((self.served / "1.root.json").read_bytes())
        self.publish(content, **ends)

    @property
    def url(self):
        return f"file://{self.served}"

    def write(self, name, signed, signers):
        data = json.dumps({"signatures": [k.sign(canonical(signed)) for k in signers], "signed": signed}).encode()
        new = self.served / (name + ".new")
        new.write_bytes(data)
        os.replace(new, self.served / name)
        return data

    def publish_root(self, new_key=False, ends=10 * YEAR):
        signers = [self.keys["root"]]
        self.root_version += 1
        if new_key:
            self.keys["root"] = Key(self.folder, f"root{self.root_version}")
            signers.append(self.keys["root"])
        signed = {"_type": "root", "spec_version": "1.0.31", "version": self.root_version, "expires": moment(ends),
                  "consistent_snapshot": True, "keys": {k.id: k.document for k in self.keys.values()},
                  "roles": {role: {"keyids": [k.id], "threshold": 1} for role, k in self.keys.items()}}
        self.write(f"{self.root_version}.root.json", signed, signers)

    def publish(self, content, timestamp_ends=7 * 86400):
        """A new version of everything below root with CONTENT as trusted_root.json."""
        self.version += 1
        digest = hashlib.sha256(content).hexdigest()
        (self.served / "targets" / f"{digest}.trusted_root.json").write_bytes(content)
        common = {"spec_version": "1.0.31", "version": self.version}
        targets = self.write(f"{self.version}.targets.json", {
            "_type": "targets", **common, "expires": moment(YEAR),
            "targets": {"trusted_root.json": {"length": len(content), "hashes": {"sha256": digest}}}}, [self.keys["targets"]])
        snapshot = self.write(f"{self.version}.snapshot.json", {
            "_type": "snapshot", **common, "expires": moment(YEAR),
            "meta": {"targets.json": self.meta(targets)}}, [self.keys["snapshot"]])
        self.write("timestamp.json", {
            "_type": "timestamp", **common, "expires": moment(timestamp_ends),
            "meta": {"snapshot.json": self.meta(snapshot)}}, [self.keys["timestamp"]])

    def meta(self, data):
        return {"version": self.version, "length": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
