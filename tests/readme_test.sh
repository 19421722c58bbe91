#!/usr/bin/env bash
# The echo server of the README is, to the letter, the one that is built and run.
#   readme_test.sh README.md net/examples/echo.cc
set -euo pipefail
sed -n '/^```cpp$/,/^```$/p' "$1" | sed '1d;$d' | diff - "$2" || {
  echo "FAILED: the README shows another program than $2" >&2
  exit 1
}
