#!/usr/bin/env python3
"""Counts test cases in JUnit files. Prints the skipped ones by name, the failed ones by name, then "N passed, N failed".

Exits 1 when one failed or none passed."""
import sys
import xml.etree.ElementTree as ET


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def main(paths):
    names = {"passed": [], "failed": [], "skipped": []}
    for path in paths:
        for suite in ET.parse(path).getroot().iter("testsuite"):
            for case in suite.findall("testcase"):
                label = f"{case.get('classname') or suite.get('name')} {case.get('name')}"
                skipped = case.find("skipped")
                if skipped is not None and skipped.get("message"):
                    label += f": {skipped.get('message')}"
                names[outcome(case)].append(label)
    for kind in ("skipped", "failed"):
        for label in names[kind]:
            print(f"{kind}: {label}")
    print(f"{len(names['passed'])} passed, {len(names['failed'])} failed")
    return 1 if names["failed"] or not names["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
