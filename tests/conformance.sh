#!/usr/bin/env bash
# Compares net's rules, its tests and net/CONFORMANCE.md, or writes the latter.
#   conformance.sh --check|--write CONFORMANCE_PY RULES DOCUMENT BINARY...
set -euo pipefail

mode=$1 checker=$2 rules=$3 document=$4
shift 4
python3 "$(dirname -- "$checker")/conformance_test.py"
python3 "$checker" --rules "$rules" --document "$document" "$mode" "$@"
