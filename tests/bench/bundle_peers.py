#!/usr/bin/env python3
"""The same keyless bundles verified by Gatehouse and by sigstore-go, in one run.

usage: bundle_peers.py BENCH_BUNDLE [--count N] [--seconds S] [--peer BINARY]

Makes N bundles v0.3 by N leaves of a P-256 stack, then runs both verifiers over
the same bytes with the same trusted root, three rounds in turn, and prints the
median of each. Without --peer the Go program of peers/sigstore is built into a
cache folder, at low priority.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

PEER = pathlib.Path(__file__).parent / "peers" / "sigstore"


def build_peer():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gatehouse-peers"
    cache.mkdir(parents=True, exist_ok=True)
    binary = cache / "sigstore"
    subprocess.run(["nice", "-n", "19", "go", "build", "-mod=readonly", "-p", "1", "-o", binary, "."],
                   cwd=PEER, check=True)
    return binary


def rows(command, env=None):
    out = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, env=env).stdout
    return {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines() if "\t" in line}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", type=pathlib.Path)
    args = parser.parse_args()
    peer = args.peer or build_peer()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([args.bench, "write", folder, str(args.count)], check=True)
        for _ in range(args.rounds):
            ours.append(rows([args.bench, "verify", folder, args.seconds]))
            theirs.append(rows([peer, folder, args.seconds]))
    print(f"{args.count} bundles, {args.rounds} rounds of {args.seconds:g} s, medians; "
          f"{', '.join(ours[0]['primitives'])}")
    print(f"{'':10} {'gatehouse':>12} {'sigstore-go':>12} {'ratio':>6} {'us':>8} {'allocations':>12} {'of sum':>7}")
    for name in ("distinct", "repeated"):
        mine = statistics.median(float(run[name][0]) for run in ours)
        peers = statistics.median(float(run[name][0]) for run in theirs)
        share = statistics.median(float(run[name][3]) for run in ours)
        print(f"{name:10} {mine:10.0f}/s {peers:10.0f}/s {mine / peers:6.2f} {1e6 / mine:8.1f} "
              f"{ours[0][name][2]:>5}/{theirs[0][name][2]:>6} {share:6.2f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
