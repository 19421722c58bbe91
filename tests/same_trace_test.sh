#!/usr/bin/env bash
# The same seeds give byte-identical traces in two builds with different flags.
#   same_trace_test.sh PROGRAM THE_SAME_PROGRAM_BUILT_OTHERWISE
set -euo pipefail

work=$(mktemp -d /tmp/weir-test-XXXXXX)
trap 'rm -rf "$work"' EXIT

"$1" 1 40 >"$work/one"
"$2" 1 40 >"$work/other"
cmp "$work/one" "$work/other"
! cmp -s "$1" "$2" || { echo "FAILED: both are the same program" >&2; exit 1; }
lines=$(wc -l <"$work/one")
((lines > 10000)) || { echo "FAILED: a trace of $lines lines shows little" >&2; exit 1; }
echo "$lines lines, the same in both"
