#!/bin/sh
# The public TUF client conformance suite (theupdateframework/tuf-conformance), run against a built gateway. Usage:
#     tests/interop/tuf_conformance.sh [BINARY] [options of pytest]
# Wants a checkout of the suite in $GH_TUF_CONFORMANCE, ../shared/suites/tuf-conformance or ../tuf-conformance beside the
# project, a Python with its dependencies ($GH_TUF_PYTHON, env/bin/python or venv/bin/python in the checkout, or python3)
# and faketime. Exits 77, a named skip, where one of them is not here. No expected failures: every case counts.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-$top/build/gatehouse}
[ $# -eq 0 ] || shift
skip() {
    echo "skipped: $1"
    exit 77
}
suite=
for folder in "${GH_TUF_CONFORMANCE:-}" "$top/../shared/suites/tuf-conformance" "$top/../../shared/suites/tuf-conformance" \
    "$top/../tuf-conformance"; do
    if [ -n "$folder" ] && [ -f "$folder/tuf_conformance/conftest.py" ]; then
        suite=$(cd "$folder" && pwd)
        break
    fi
done
[ -n "$suite" ] || skip "the TUF conformance suite is not here (GH_TUF_CONFORMANCE names its checkout)"
command -v faketime >/dev/null || skip "faketime is not installed"
python=
for candidate in "${GH_TUF_PYTHON:-}" "$suite/env/bin/python" "$suite/venv/bin/python" python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import pytest, securesystemslib, tuf' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || skip "no Python here has the suite's dependencies (GH_TUF_PYTHON names one)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The suite calls one program with the client's arguments, and would look for expected failures beside it.
printf '#!/bin/sh\nexec "%s" tuf "$@"\n' "$(realpath "$binary")" >"$work/client"
chmod +x "$work/client"
"$python" -m pytest -q -p no:cacheprovider -c /dev/null --rootdir "$suite" "$suite/tuf_conformance" --entrypoint "$work/client" "$@"
