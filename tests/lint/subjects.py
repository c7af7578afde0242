#!/usr/bin/env python3
"""Checks commit subjects: `area: imperative subject`, at most 72 columns, no full stop."""
import re
import subprocess
import sys

RULE = re.compile(r"^[a-z0-9][a-z0-9_/., -]*: [a-z].*[^.]$")


def main(args):
    span = args[0] if args else "HEAD"
    log = subprocess.run(["git", "log", "--no-merges", "--format=%h %s", span], capture_output=True, text=True, check=True).stdout
    bad = [line for line in log.splitlines() if not RULE.match(line.split(" ", 1)[1]) or len(line.split(" ", 1)[1]) > 72]
    for line in bad:
        print(f"subject: {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
