#!/usr/bin/env python3
"""Checks that every cmocka case asserts in its own body (a helper that asserts says so in its name), that each file of
cases runs all it defines, and that files of tests are no longer than other files."""
import pathlib
import re
import sys

MAX_LINES = 800
CASE = re.compile(r"^static void (\w+)\(void \*\*state\)\n\{\n(.*?)\n\}\n", re.M | re.S)


def main():
    faults = []
    for path in sorted(pathlib.Path("tests").rglob("*.[ch]")):
        text = path.read_text()
        if text.count("\n") > MAX_LINES:
            faults.append(f"{path}: {text.count(chr(10))} lines, at most {MAX_LINES}: split it by concept")
        if not path.name.startswith("test_"):
            continue
        listed = text[text.index("int main("):]
        for name, body in CASE.findall(text):
            if not re.search(r"\bassert_\w+\(|\bfail_msg\(|\bfail\(", body):
                faults.append(f"{path}: {name}() asserts nothing")
            if not re.search(rf"\b{name}\b", listed):
                faults.append(f"{path}: {name}() is never run")
    print("\n".join(faults) if faults else "cases: clean")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
