#!/usr/bin/env python3
"""Compares Gatehouse with nginx's proxy_cache and, where it is given, the distribution registry's pull-through cache: all on
loopback, one worker each, in front of the same registry (nginx with files), in alternating rounds.

    tests/bench/run.py [--gatehouse build-release/gatehouse] [--registry BINARY] [--rounds 10] [--write docs/benchmarks.md]

Gatehouse should be built for speed: meson setup build-release --buildtype=release -Dtests=false && ninja -C build-release
The registry: GOBIN=FOLDER go install github.com/distribution/distribution/v3/cmd/registry@latest

Wall time is what a client sees and suffers from other load on the machine; CPU time (of the server's processes and threads)
suffers less. Both are printed. Needs nginx, wrk and openssl; what is missing is a named skip (exit code 77).
"""
import argparse
import contextlib
import datetime
import http.client
import os
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import servers
from registry_data import BLOB_MIB, MIB, Data

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ACCEPT = ", ".join(["application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
                    "application/vnd.docker.distribution.manifest.list.v2+json",
                    "application/vnd.docker.distribution.manifest.v2+json"])
GOALS = {"manifest": 1.2, "blob": 1.0, "cold": 1.0, "first": 0.2}
TITLES = {"manifest": ("hot manifest by tag", "requests/s", "µs/request"),
          "blob": ("hot blob of 64 MiB", "MiB/s", "µs/MiB"),
          "cold": ("cold blob of 512 MiB", "MiB/s", "µs/MiB"),
          "first": ("first pull of {images} signed images", "images/s", "µs/image")}


class Figure:
    """What one server did in one round: SPEED as a client sees it, CPU seconds per unit of work."""

    def __init__(self, speed, cpu_s):
        self.speed = speed
        self.cpu_s = cpu_s


def get(port, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"GET {path}: {answer.status} {body[:300]}")
        return body
    finally:
        connection.close()


def manifest_path(repository, reference="v1"):
    return f"/v2/bench/{repository}/manifests/{reference}"


def wrk(port, path, seconds, connections, extra=()):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Accept: {ACCEPT}",
               f"http://127.0.0.1:{port}{path}", *extra]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def measure_manifest(server, data, args):
    path = manifest_path("hot")
    get(server.port, path, {"Accept": ACCEPT})
    before = server.cpu_s()
    out = wrk(server.port, path, args.seconds, args.connections)
    cpu = server.cpu_s() - before
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"{server.name}: {out}")
    count = int(re.search(r"(\d+) requests in", out).group(1))
    return Figure(float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), cpu / count)


class Reader:
    """One client of a blob that throws the bytes away in the kernel (MSG_TRUNC), so as not to be the limit itself."""

    def __init__(self, port, path):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self.left = 0

    def ask(self):
        self.sock.sendall(self.request)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.sock.recv(1)
            if not piece:
                raise SystemExit("the server closed a connection")
            head += piece
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a blob was refused: {head[:200]}")
        self.left = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))

    def read(self):
        count = self.sock.recv_into(BUFFER, min(len(BUFFER), self.left), socket.MSG_TRUNC)
        if count == 0:
            raise SystemExit("the server closed a connection within a blob")
        self.left -= count
        return count


BUFFER = bytearray(4 * MIB)


def read_blobs(port, path, connections, seconds):
    """Read again and again for SECONDS; gives bytes and time."""
    done = 0
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for _ in range(connections):
            reader = Reader(port, path)
            stack.callback(reader.sock.close)
            reader.ask()
            selector.register(reader.sock, selectors.EVENT_READ, reader)
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            for key, _ in selector.select(10):
                done += key.data.read()
                if key.data.left == 0:
                    key.data.ask()
        return done, time.monotonic() - start


def measure_blob(server, data, args):
    path = f"/v2/bench/hot/blobs/{data.blobs['hot']}"
    get(server.port, manifest_path("hot"), {"Accept": ACCEPT})
    if len(get(server.port, path)) != BLOB_MIB["hot"] * MIB:
        raise SystemExit("the blob is short")
    before = server.cpu_s()
    count, elapsed = read_blobs(server.port, path, 4, args.seconds)
    return Figure(count / MIB / elapsed, (server.cpu_s() - before) / (count / MIB))


def measure_cold(server, data, args):
    """The server was just started with an empty cache."""
    get(server.port, manifest_path("cold"), {"Accept": ACCEPT})
    before = server.cpu_s()
    start = time.monotonic()
    reader = Reader(server.port, f"/v2/bench/cold/blobs/{data.blobs['cold']}")
    reader.ask()
    while reader.left > 0:
        reader.read()
    elapsed = time.monotonic() - start
    cpu = server.cpu_s() - before
    reader.sock.close()
    return Figure(BLOB_MIB["cold"] / elapsed, cpu / BLOB_MIB["cold"])


def measure_first(server, data, args):
    before = server.cpu_s()
    out = wrk(server.port, "/", 120, args.connections,
              ("-s", os.path.join(HERE, "first_pulls.lua"), "--", str(args.images)))
    answered, refused, elapsed = re.search(r"first_pulls (\d+) (\d+) ([\d.]+)", out).groups()
    if int(answered) < args.images or int(refused) > 0:
        raise SystemExit(f"{server.name}: {answered} answers, {refused} refusals\n{out}")
    return Figure(args.images / float(elapsed), (server.cpu_s() - before) / args.images)


MEASURES = {"manifest": (measure_manifest, False), "blob": (measure_blob, False),
            "cold": (measure_cold, True), "first": (measure_first, True)}


def run_rounds(what, contestants, data, args):
    """Alternating rounds, the order turned round every time; gives name -> list of figures."""
    measure, is_fresh = MEASURES[what]
    figures = {server.name: [] for server in contestants}
    running = contextlib.ExitStack()
    with running:
        if not is_fresh:
            for server in contestants:
                server.start()
                running.callback(server.stop)
                measure(server, data, argparse.Namespace(**{**vars(args), "seconds": 1}))
        for number in range(args.rounds):
            for server in contestants if number % 2 == 0 else contestants[::-1]:
                if is_fresh:
                    server.start()
                try:
                    figures[server.name].append(measure(server, data, args))
                finally:
                    if is_fresh:
                        server.stop()
            print(f"  {what} round {number + 1}: " + ", ".join(
                f"{name} {rows[-1].speed:.0f} ({rows[-1].cpu_s * 1e6:.1f} µs)" for name, rows in figures.items()),
                  file=sys.stderr)
    return figures


def table_rows(what, figures, args):
    title, unit, cpu_unit = (text.format(images=args.images) for text in TITLES[what])
    base = figures["nginx"]
    base_cpu = statistics.median(row.cpu_s for row in base)
    for name, rows in figures.items():
        speeds = [row.speed for row in rows]
        cpu = statistics.median(row.cpu_s for row in rows)
        ratios = [row.speed / other.speed for row, other in zip(rows, base)]
        yield [title, name, f"{statistics.median(speeds):.0f} {unit}", f"{min(speeds):.0f}–{max(speeds):.0f}",
               f"{statistics.median(ratios):.2f}", f"{cpu * 1e6:.1f} {cpu_unit}", f"{base_cpu / cpu:.2f}",
               f"≥ {GOALS[what]}" if name == "gatehouse" else ""]


def make_certificate(folder):
    pair = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=localhost", "-days", "2", "-out", pair[0], "-keyout", pair[1]],
                   check=True, capture_output=True)
    return pair


def measure_memory(server, data, args):
    """Lines of idle_connections.py: plain ones, then TLS ones on a fresh process."""
    server.tls = make_certificate(os.path.dirname(server.folder))
    lines = []
    for is_tls, limit in ((False, 6), (True, 40)):
        server.start()
        try:
            port = server.tls_port if is_tls else server.port
            command = [sys.executable, os.path.join(HERE, "idle_connections.py"), f"127.0.0.1:{port}",
                       str(server.process.pid), "--count", str(args.idle)] + (["--tls"] if is_tls else [])
            out = subprocess.run(command, capture_output=True, text=True, check=False)
            lines.append(f"{(out.stdout or out.stderr).strip()} (goal ≤ {limit} KiB)")
        finally:
            server.stop()
    server.tls = None
    return lines


def table_text(rows):
    heads = ["what", "server", "median", "spread", "× nginx", "CPU, median", "CPU × nginx", "goal"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def report_text(rows, memory, versions, args):
    cores = len(os.sched_getaffinity(0))
    command = "tests/bench/run.py " + " ".join(args.shown)
    return f"""# Benchmarks

Made by `{command.strip()}` on {datetime.date.today().isoformat()}: loopback, one worker each (helper threads allowed),
{args.rounds} alternating rounds, {cores} cores shared by the load generator, the server and the registry behind it.
Versions: {", ".join(versions)}.

`× nginx` is the median of the rounds' ratios of wall-clock speed. Other work ran on the machine at the time, so the CPU time
that the server's processes and threads used for one unit of work stands beside it; `CPU × nginx` above 1 means less CPU time
than nginx. Goals are for wall clock. A first pull with verification asks the registry for five things (manifest, referrers
list, fallback tag, `.sig` manifest, payload) where nginx asks for one.

{table_text(rows)}

Memory, Gatehouse ({args.idle} kept-alive connections, one request made on each; goal for the process with 10,000 plain ones:
at most 100 MiB, file-backed pages aside):

""" + "\n".join(f"- {line}" for line in memory) + "\n"


def parse_arguments():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--gatehouse", default=os.path.join(TOP, "build-release", "gatehouse"))
    parser.add_argument("--registry", help="distribution v3's binary")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3, help="of one hot measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--idle", type=int, default=10000)
    parser.add_argument("--only", help="some of manifest,blob,cold,first,memory")
    parser.add_argument("--data", help="folder that keeps the registry's content between runs")
    parser.add_argument("--work", help="folder for the servers' caches; the temporary one by default")
    parser.add_argument("--write", help="file for the report")
    args = parser.parse_args()
    # paths of this machine are nobody's business in a report
    args.shown = [f"--rounds {args.rounds}", f"--seconds {args.seconds}"]
    return args


def main():
    args = parse_arguments()
    for tool, path in (("nginx", shutil.which(servers.Nginx.binary)), ("wrk", shutil.which("wrk")),
                       ("openssl", shutil.which("openssl")), ("gatehouse", shutil.which(args.gatehouse))):
        if path is None:
            print(f"skipped: {tool} is not there")
            return 77
    wanted = args.only.split(",") if args.only else [*MEASURES, "memory"]
    rows, memory = [], []
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench.", dir=args.work) as work, contextlib.ExitStack() as stack:
        data = Data(args.data or os.path.join(work, "data"), args.images).make()
        upstream = servers.Upstream(work, data.folder).start()
        stack.callback(upstream.stop)
        gatehouse = servers.Gatehouse(work, upstream, os.path.abspath(args.gatehouse), data.key)
        contestants = [servers.NginxCache(work, upstream), gatehouse, servers.Registry(work, upstream, args.registry)]
        if not contestants[2].is_available:
            print("skipped: the distribution registry (give --registry)", file=sys.stderr)
            contestants.pop()
        versions = [server.version() for server in contestants]
        for what in wanted:
            if what == "memory":
                memory = measure_memory(gatehouse, data, args)
            else:
                rows.extend(table_rows(what, run_rounds(what, contestants, data, args), args))
    report = report_text(rows, memory, versions, args)
    print(report)
    if args.write:
        with open(args.write, "w", encoding="utf-8") as file:
            file.write(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
