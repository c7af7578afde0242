#!/usr/bin/env python3
"""Validates the sample configurations, and the documented example of the whole language, against the shipped JSON Schema."""
import pathlib
import re
import sys

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Loader(yaml.SafeLoader):
    """YAML 1.2: `off`, `no` and dates are words."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, rx) for tag, rx in rows if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def main():
    import json

    schema = json.loads((ROOT / "deploy/gatehouse.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    register = dict(schema, **{"$ref": "#/$defs/register"})
    faults = 0
    texts = [(str(path.relative_to(ROOT)), path.read_text()) for path in sorted((ROOT / "deploy/config").glob("*.yaml"))]
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/interface.md").read_text(), re.S)
    texts += [(f"docs/interface.md, example {number}", block) for number, block in enumerate(blocks, 1)]
    for name, text in texts:
        document = yaml.load(text, Loader)
        is_register = isinstance(document.get("exceptions"), list)
        validator = jsonschema.Draft202012Validator(register if is_register else schema)
        for error in validator.iter_errors(document):
            print(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}")
            faults += 1
    broken = yaml.load("upstreams: {ghcr.io: {url: https://ghcr.io}}\npolicis: []\n", Loader)
    if jsonschema.Draft202012Validator(schema).is_valid(broken):
        print("the schema accepts an unknown key")
        faults += 1
    print(f"{len(texts)} documents, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
