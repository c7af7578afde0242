#!/usr/bin/env python3
"""Lists causes of metrics/reason.def that no test names. Informational unless --strict."""
import pathlib
import re
import sys


def main(args):
    causes = re.findall(r'^GH_CAUSE\(([A-Z0-9_]+),\s*"([a-z0-9_]+)"', pathlib.Path("metrics/reason.def").read_text(), re.M)
    tests = "\n".join(p.read_text(errors="replace") for p in pathlib.Path("tests").rglob("*") if p.suffix in (".c", ".py", ".h"))
    unreached = [label for name, label in causes if not re.search(rf"\bGH_{name}\b|\b{label}\b", tests)]
    print(f"{len(causes) - len(unreached)} of {len(causes)} causes are named by a test")
    for label in unreached:
        print(f"unreached: {label}")
    return 1 if unreached and "--strict" in args else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
