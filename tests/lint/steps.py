#!/usr/bin/env python3
"""Checks tests/lint/steps.tsv: every step of sections 2 to 6 of the verification rules has a row, every row a case that
exists, and the causes of the row are named where its cases stand."""
import pathlib
import re
import sys

# How many numbered steps a section has.
SECTIONS = {"2.1": 8, "2.2": 14, "2.3": 10, "2.4": 10, "2.5": 5, "2.6": 8, "3.1": 5, "3.2": 5, "3.3": 8, "3.4": 8, "3.5": 8,
            "3.6": 4, "3.7": 9, "4.2": 4, "4.3": 6, "4.4": 8, "4.5": 4, "4.6": 5, "5.3": 10, "5.5": 4, "5.6": 6,
            "6.1": 2, "6.2": 3, "6.3": 6, "6.4": 5, "6.5": 13, "6.6": 8, "6.7": 4}
TABLE = pathlib.Path("tests/lint/steps.tsv")


def faults_of(step, causes, tests, labels):
    if tests.startswith("-: "):
        if causes != "-":
            yield f"{step}: causes without a case"
        return
    texts = ""
    for test in tests.split(" "):
        file, _, case = test.partition("::")
        path = pathlib.Path("tests") / file
        text = path.read_text() if path.exists() else ""
        if not re.search(rf"\b{case}\(", text):
            yield f"{step}: there is no {test}"
        texts += text
    for cause in causes.split(" ") if causes != "-" else []:
        if cause not in labels:
            yield f"{step}: {cause} is no cause"
        elif not re.search(rf"\bGH_{labels[cause]}\b|\b{cause}\b", texts):
            yield f"{step}: no case of its names {cause}"


def main():
    found = re.findall(r'^GH_CAUSE\(([A-Z0-9_]+),\s*"([a-z0-9_]+)"', pathlib.Path("metrics/reason.def").read_text(), re.M)
    labels = {label: name for name, label in found}
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line and line[0] != "#"]
    wanted = [f"{section}.{n}" for section, count in SECTIONS.items() for n in range(1, count + 1)]
    steps = [row[0] for row in rows]
    faults = [f"{step}: no row" for step in wanted if step not in steps]
    faults += [f"{step}: no such step, or twice" for step in set(steps) if step not in wanted or steps.count(step) > 1]
    for row in rows:
        if len(row) != 4:
            faults.append(f"{row[0]}: not four columns")
        else:
            faults += faults_of(row[0], row[2], row[3], labels)
    for fault in faults:
        print(f"{TABLE}: {fault}")
    if not faults:
        print(f"steps: {len(rows)} rows, {sum(row[3].startswith('-: ') for row in rows)} without a case on purpose")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
