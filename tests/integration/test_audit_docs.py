"""docs/audit.md shows one record of each type: its members are those that the gateway writes.
GATEHOUSE_WRITE_DOCS=1 puts the records of this run in."""
import json
import os
import pathlib
import re

import pytest
from gateway import wait_until

APP = "registry.test/team/app"
DOCUMENT = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "audit.md"
# These come from events of the disk, the net or the clock; other tests make most of them.
ELSEWHERE = {"undecided", "pass", "rotated", "repair", "gap", "log_alarm", "sink_gap", "checkpoint", "trust"}


def scenario(images, keys, fake, make_gateway):
    gateway = make_gateway(fake)
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for tag in ("v1", "bad", "bad"):
        gateway.manifest(APP, tag)
    release = gateway.config["signers"]
    gateway.write_config(signers={"release": {"keys": [{"file": f"{keys}/other.pub"}]}})
    gateway.reload()
    wait_until(lambda: any(record["type"] == "reevaluation" for record in gateway.audit()), what="the pass in the background")
    gateway.write_config(signers=release, policies=[{**gateway.config["policies"][0], "mode": "warn"}])
    gateway.reload()
    gateway.manifest(APP, "bad")
    gateway.restart()
    for _ in range(2):
        gateway.manifest(APP, "bad")
    gateway.stop()
    return gateway.audit()


def sections():
    text = DOCUMENT.read_text(encoding="utf-8")
    return text, re.findall(r"^### `(\w+)`\n.*?^```json\n(.*?)^```\n", text, re.M | re.S)


def test_every_type_is_documented_with_its_members(images, keys, fake, make_gateway):
    by_type = {}
    for record in scenario(images, keys, fake, make_gateway):
        if len(json.dumps(record)) > len(json.dumps(by_type.get(record["type"], {}))):
            by_type[record["type"]] = record
    text, found = sections()
    if os.environ.get("GATEHOUSE_WRITE_DOCS"):
        for name, old in found:
            if name in by_type:
                text = text.replace(old, json.dumps(by_type[name], indent=1, ensure_ascii=False) + "\n")
        DOCUMENT.write_text(text, encoding="utf-8")
        pytest.skip("the document was written")
    documented = {name: json.loads(example) for name, example in found}
    assert set(by_type) | ELSEWHERE == set(documented)
    for name, record in by_type.items():
        assert set(documented[name]) == set(record), name
