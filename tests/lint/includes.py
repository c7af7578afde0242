#!/usr/bin/env python3
"""Checks that knowledge points one way, that files are named and sized as they should be, and that no banned call is used.

proxy -> policy -> crypto; proxy -> cache; proxy and cache may use crypto's ground headers; all may use metrics, which uses none."""
import pathlib
import re
import subprocess
import sys

GROUND = {"crypto/bytes.h", "crypto/digest.h", "crypto/sjson.h"}
# Formats that the shell itself reads or drives: manifests on the way through, the TUF client, verify-bundle, watched logs.
OPEN_TO_PROXY = GROUND | {"crypto/evidence.h", "crypto/manifest.h", "crypto/trustroot.h", "crypto/key.h", "crypto/signer.h"}
PROXY_PREFIXES = ("crypto/tuf", "crypto/bundle", "crypto/pattern", "crypto/checkpoint", "crypto/keyless", "crypto/merkle", "crypto/rekor_log",
                  "crypto/tile")
FOLDERS = ("metrics", "crypto", "policy", "cache", "proxy")
BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets|localtime|alloca|strncpy)\s*\(")
BAD_STEMS = {"util", "utils", "common", "misc", "helpers"}
MAX_LINES = 800


def may_include(folder, header):
    target = header.split("/")[0]
    if header == "gatehouse.h" or target in (folder, "metrics"):
        return True
    if folder == "policy":
        return target == "crypto"
    if folder == "cache":
        return header in GROUND
    if folder == "proxy":
        return target in ("policy", "cache") or header in OPEN_TO_PROXY or header.startswith(PROXY_PREFIXES)
    return False


def strip_comments(text):
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def check(path, faults):
    text = path.read_text()
    folder = path.parts[0]
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#include "([^"]+)"', line)
        if match and not may_include(folder, match.group(1)):
            faults.append(f"{path}:{number}: {folder} may not include {match.group(1)}")
    for number, line in enumerate(strip_comments(text).split("\n"), 1):
        match = BANNED.search(line)
        if match:
            faults.append(f"{path}:{number}: {match.group(1)}() is banned")
        if "//" in line:
            faults.append(f"{path}:{number}: comments are /* */")
    if path.stem in BAD_STEMS:
        faults.append(f"{path}: a concept without a name")
    if text.count("\n") > MAX_LINES:
        faults.append(f"{path}: {text.count(chr(10))} lines, at most {MAX_LINES}: split it by concept")


def check_folders(faults):
    known = {"proxy", "cache", "policy", "crypto", "metrics", "tests", "deploy", "docs"}
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    for name in {f.split("/")[0] for f in listed if "/" in f} - known:
        if not name.startswith("."):
            faults.append(f"{name}/: no such top-level folder in the layout")
    for folder in FOLDERS:
        if f"{folder}/README.md" not in listed:
            faults.append(f"{folder}/README.md is missing")


def main():
    faults = []
    for folder in FOLDERS:
        for path in sorted(pathlib.Path(folder).glob("*.[ch]")):
            check(path, faults)
    check_folders(faults)
    print("\n".join(faults) if faults else "includes, names and sizes: clean")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
