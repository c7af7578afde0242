#!/bin/sh
# The Sigstore client conformance cases, run against a built gateway. Usage:
#     tests/interop/sigstore_conformance.sh [BINARY] [options of run.py]
# Looks for the suite in $GH_SUITES or ../shared/suites beside the project; exits 77, a named skip,
# where it is not.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-$top/build/gatehouse}
[ $# -eq 0 ] || shift
for folder in "${GH_SUITES:-}" "$top/../shared/suites" "$top/../../shared/suites"; do
    if [ -n "$folder" ] && [ -f "$folder/sigstore-conformance/run.py" ]; then
        exec python3 "$folder/sigstore-conformance/run.py" "$binary" "$@"
    fi
done
echo "skipped: the Sigstore conformance suite is not here"
exit 77
