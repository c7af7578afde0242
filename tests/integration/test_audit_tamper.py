"""Every way to change an audit log that was written by a gateway is found, and shown where."""
import random
import re

import pytest

APP = "registry.test/team/app"
BYTES_TRIED = 60


@pytest.fixture
def log(images, fake, make_gateway, tmp_path):
    """(gateway, lines of its log, head of it)"""
    gateway = make_gateway(fake)
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for tag in ("v1", "bad"):
        gateway.manifest(APP, tag)
    gateway.reload()
    gateway.stop()
    with open(gateway.audit_file(), "rb") as file:
        lines = file.read().splitlines(keepends=True)
    good = verify(gateway, tmp_path, lines)
    assert good.returncode == 0, good
    return gateway, lines, re.search(r"^head (\S+)$", good.stdout, re.M)[1]


def verify(gateway, folder, lines, *options):
    path = folder / "changed.jsonl"
    path.write_bytes(b"".join(lines))
    return gateway.run("audit", "verify", *options, str(path))


def test_any_byte_changed_is_found_with_its_line(log, tmp_path):
    gateway, lines, head = log
    whole = b"".join(lines)
    chosen = random.Random(5)
    for _ in range(BYTES_TRIED):
        at = chosen.randrange(len(whole))
        changed = bytearray(whole)
        changed[at] ^= 1 << chosen.randrange(7)
        # A line feed at the very end made another byte leaves a torn line: only a known head tells that from a crash.
        result = verify(gateway, tmp_path, [bytes(changed)], "--expect", head)
        assert result.returncode == 1, f"byte {at} {result}"
        if at < len(whole) - len(lines[-1]):
            line = whole[:at].count(b"\n") + 1
            shown = int(re.search(r"changed\.jsonl:(\d+): record \d+:", result.stdout)[1])
            assert shown == line, f"byte {at} of line {line}: {result.stdout}"


def test_every_dropped_record_is_found(log, tmp_path):
    gateway, lines, _ = log
    for i in range(1, len(lines) - 1):
        result = verify(gateway, tmp_path, lines[:i] + lines[i + 1:])
        assert result.returncode == 1 and f"changed.jsonl:{i + 1}:" in result.stdout, result


def test_moved_and_repeated_records_are_found(log, tmp_path):
    gateway, lines, _ = log
    moved = [*lines[:1], lines[2], lines[1], *lines[3:]]
    result = verify(gateway, tmp_path, moved)
    assert result.returncode == 1 and "changed.jsonl:2:" in result.stdout, result
    result = verify(gateway, tmp_path, [*lines[:2], lines[1], *lines[2:]])
    assert result.returncode == 1 and "changed.jsonl:3:" in result.stdout, result


def test_cut_tail_shows_against_a_head_kept_elsewhere(log, tmp_path):
    gateway, lines, head = log
    assert verify(gateway, tmp_path, lines, "--expect", head).returncode == 0
    for kept in (1, len(lines) // 2, len(lines) - 1):
        assert verify(gateway, tmp_path, lines[:kept]).returncode == 0, "alone it cannot be told"
        result = verify(gateway, tmp_path, lines[:kept], "--expect", head)
        assert result.returncode == 1 and "head" in result.stdout, result


def test_cut_tail_is_recorded_as_a_gap_at_the_next_start(log):
    gateway, lines, _ = log
    with open(gateway.audit_file(), "wb") as file:
        file.write(b"".join(lines[:-2]))
    gateway.start()
    gap = [r for r in gateway.audit() if r["type"] == "gap"]
    assert len(gap) == 1, gateway.audit()
    result = gateway.run("audit", "verify", gateway.audit_file())
    assert "missing tails recorded" in result.stdout or result.returncode == 1, result


def test_whole_chain_made_anew_does_not_have_the_head(log, images, fake, make_gateway, tmp_path):
    gateway, _, head = log
    other = make_gateway(fake, name="other")
    other.manifest(APP, "v1")
    other.stop()
    result = gateway.run("audit", "verify", "--expect", head, other.audit_file())
    assert result.returncode == 1, result
