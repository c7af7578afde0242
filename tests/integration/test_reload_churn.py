"""A hundred clients pull without a break while the policy is reloaded a thousand times, good and bad files mixed, by signal and by call."""
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from gateway import wait_until

APP = "registry.test/team/app"
CLIENTS, PAUSE_S = 100, 0.08
STAY_S = 0.012  # of each policy, so that answers are made under one alone
RELOADS = int(os.environ.get("GATEHOUSE_RELOADS", "1000"))
FAULTS = ('{"upstreams": ', "signers: {release: {keys: []}}\n", 'policies: [{name: a, images: ["**"], require: [{signature: nobody}]}]\n', "\x00")
HELPER = pathlib.Path(__file__).resolve().parent.parent / "support" / "keep_alive_clients.py"


class Reloads:
    """What was in force when: a decision that began after `since` and ended before `until` is by `state` alone."""

    def __init__(self, gateway, keys):
        self.gateway, self.keys = gateway, keys
        self.periods, self.state, self.since = [], "release", time.monotonic()
        self.audit = open(gateway.audit_file(), encoding="utf-8")
        self.counted = 0

    def recorded(self):
        """How many reloads the audit log has."""
        while line := self.audit.readline():
            while not line.endswith("\n"):
                line += self.audit.readline()
            self.counted += '"type":"reload"' in line
        return self.counted

    def write(self, number):
        """Gives whether the file is good. Every good one differs from the one before."""
        if number % 3 == 2:
            pathlib.Path(self.gateway.file).write_text(FAULTS[number // 3 % len(FAULTS)])
            return False
        self.wanted = "other" if self.state == "release" else "release"
        self.gateway.write_config(signers={"release": {"keys": [{"file": f"{self.keys}/{self.wanted}.pub"}]}},
                                  cache={"denial_ttl": f"{60 + number}s"})
        return True

    def run(self, number):
        is_good = self.write(number)
        before = time.monotonic()
        if number % 4 == 3:
            count = self.recorded()
            self.gateway.process.send_signal(signal.SIGHUP)
            wait_until(lambda: self.recorded() > count, what=f"reload {number}")
        else:
            answer = self.gateway.reload()
            assert (answer.status, json.loads(answer.body)["ok"]) == ((200, True) if is_good else (422, False)), answer
        if is_good:
            self.periods.append((self.since, before, self.state))
            self.state, self.since = self.wanted, time.monotonic()
        return is_good

    def close(self):
        self.periods.append((self.since, time.monotonic(), self.state))
        self.audit.close()


def resident_bytes(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def pulled(images, fake, make_gateway):
    """A gateway, and by path whose signature it needs ("" for none that there is)."""
    made = make_gateway(fake)
    digests = {}
    for name, signers in (("first", ["release"]), ("second", ["other"]), ("both", ["release", "other"]), ("none", [])):
        digests[name] = images.push(tag=name, files={"f": name.encode() * 100})
        layers = []
        for key in signers:
            signature = json.loads(fake.repositories["team/app"].manifests[images.sign("team/app", digests[name], key)][1])
            layers += signature["layers"]
        if layers:
            fake.put_manifest("team/app", json.dumps({**signature, "layers": layers}).encode(), signature["mediaType"],
                              digests[name].replace(":", "-") + ".sig")
    paths = {f"/v2/{APP}/manifests/{name}": need for name, need in
             (("first", {"release"}), ("second", {"other"}), ("both", {"release", "other"}), ("none", set()), (digests["both"], {"release", "other"}))}
    for name, need in (("first", {"release"}), ("both", {"release", "other"})):
        paths[f"/v2/{APP}/blobs/{images.parts('team/app', digests[name])[1]}"] = need
    return made, paths


def period_of(periods, start, end):
    """The state in force from START to END; None where it changed meanwhile."""
    low, high = 0, len(periods)
    while low < high:
        middle = (low + high) // 2
        if periods[middle][1] < end:
            low = middle + 1
        else:
            high = middle
    return periods[low][2] if low < len(periods) and periods[low][0] <= start else None


def check_answers(lines, paths, periods):
    """Every answer is what the policy in force says. Gives how many were made under one that did not change meanwhile."""
    bodies, settled = collections.defaultdict(set), 0
    clients = set()
    for line in lines:
        assert not line.startswith("broken"), line
        start, end, number, path, status, body = line.split()
        clients.add(number)
        state = period_of(periods, float(start), float(end))
        expected = {"200" if state in paths[path] else "403"} if state else {"200", "403"} if 0 < len(paths[path]) < 2 else {"200" if paths[path] else "403"}
        settled += state is not None
        assert status in expected, (line, state)
        if status == "200":
            bodies[path].add(body)
    assert all(len(found) == 1 for found in bodies.values()) and len(bodies) == len(paths) - 1
    assert len(clients) == CLIENTS
    return settled


def test_hundred_clients_pull_while_policy_reloads_a_thousand_times(pulled, keys, tmp_path):
    gateway, paths = pulled
    for path in paths:
        gateway.get(path)
    reloads = Reloads(gateway, keys)
    answers = tmp_path / "answers"
    good = 0
    with open(answers, "wb") as out:
        clients = subprocess.Popen([sys.executable, str(HELPER), str(gateway.port), str(CLIENTS), str(PAUSE_S), *paths], stdin=subprocess.PIPE, stdout=out)
        try:
            wait_until(lambda: gateway.metric("gatehouse_connections") >= CLIENTS, what="the clients")
            for number in range(RELOADS):
                good += reloads.run(number)
                time.sleep(STAY_S)
                if number % 100 == 98 or number == RELOADS - 1:
                    assert gateway.metric("gatehouse_config_last_reload_successful") == (number % 3 != 2)
                if number == RELOADS // 5:
                    before = resident_bytes(gateway.process.pid), descriptors(gateway.process.pid)
            after = resident_bytes(gateway.process.pid), descriptors(gateway.process.pid)
        finally:
            reloads.close()
            clients.stdin.close()
            assert clients.wait(60) == 0
    lines = answers.read_text().splitlines()
    settled = check_answers(lines, paths, reloads.periods)
    assert good == RELOADS - RELOADS // 3 and reloads.counted >= 0
    assert settled > len(lines) / 20 and len(lines) > 5 * CLIENTS
    # a generation that stays would be seen: each holds its configuration, connections and contexts
    assert after[1] <= before[1] + 8, (before, after)
    if "ASAN_OPTIONS" not in os.environ:  # a sanitizer keeps what was freed
        assert after[0] - before[0] < 24 * 1024 * 1024, (before, after)
    records = collections.Counter(record["ok"] for record in gateway.audit() if record["type"] == "reload")
    assert records == {True: good, False: RELOADS - good}
    print(f"{len(lines)} answers, {settled} of them under one policy; memory {before[0] >> 20} then {after[0] >> 20} MiB")
