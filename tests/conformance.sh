#!/usr/bin/env bash
# Compares the rules of layers, their tests and their CONFORMANCE.md, or writes the latter.
#   conformance.sh CONFORMANCE_PY --check|--write (--layer NAME RULES DOCUMENT BINARY...)...
set -euo pipefail

checker=$1
shift
python3 "$(dirname -- "$checker")/conformance_test.py"
python3 "$checker" "$@"
