#!/usr/bin/env python3
"""Lists causes of metrics/reason.def that no test names.

Those of unreached_causes.tsv come apart, each with its reason. Anything else is a gap, and so is a row of the table that
a test has caught up with, or that says a cause is never given while the sources give it. --strict: gaps end in status 1.
"""
import pathlib
import re
import sys

FOLDERS = ("crypto", "policy", "proxy", "cache", "metrics")
TABLE = pathlib.Path("tests/lint/unreached_causes.tsv")
GIVEN_UNTESTED = {"memory_budget_exceeded"}  # listed, although the sources give it


def text_of(paths):
    return "\n".join(path.read_text(errors="replace") for path in paths)


def main(args):
    causes = re.findall(r'^GH_CAUSE\(([A-Z0-9_]+),\s*"([a-z0-9_]+)"', pathlib.Path("metrics/reason.def").read_text(), re.M)
    tests = text_of(p for p in pathlib.Path("tests").rglob("*") if p.suffix in (".c", ".py", ".h") and p.parent.name != "lint")
    sources = text_of(p for folder in FOLDERS for p in pathlib.Path(folder).glob("*.[ch]"))
    reasons = dict(line.split("\t", 1) for line in TABLE.read_text().splitlines() if line and line[0] != "#")
    named = {label for name, label in causes if re.search(rf"\bGH_{name}\b|\b{label}\b", tests)}
    given = {label for name, label in causes if re.search(rf"\bGH_{name}\b", sources)}
    gaps = [f"unreached: {label}{'' if label in given else ' (no source gives it)'}"
            for _, label in causes if label not in named and label not in reasons]
    gaps += [f"listed in {TABLE}, yet a test names it: {label}" for label in reasons if label in named]
    gaps += [f"listed in {TABLE}, yet no cause: {label}" for label in reasons if label not in {c[1] for c in causes}]
    gaps += [f"listed in {TABLE}, yet the sources give it: {label}" for label in reasons
             if label in given and label not in GIVEN_UNTESTED]
    print(f"{len(named)} of {len(causes)} causes are named by a test, {len(reasons)} are left out on purpose")
    for label, reason in reasons.items():
        print(f"left out: {label}: {reason}")
    for gap in gaps:
        print(gap)
    return 1 if gaps and "--strict" in args else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
