#!/usr/bin/env bash
# The programs that the README shows are, to the letter, those that are built.
#   readme_test.sh README.md PROGRAM.cc...   in the README's order
set -euo pipefail
readme=$1
shift
sed -n '/^```cpp$/,/^```$/p' "$readme" | sed '/^```/d' | diff - <(cat "$@") || {
  echo "FAILED: the README shows other programs than $*" >&2
  exit 1
}
