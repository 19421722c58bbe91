#!/usr/bin/env bash
# The programs that a page shows are, to the letter, those that are built; a program may be shown in
# pieces, between which blank lines do not count.
#   readme_test.sh PAGE.md PROGRAM.cc...   in the page's order
set -euo pipefail
page=$1
shift
sed -n '/^```cpp$/,/^```$/p' "$page" | sed '/^```/d' | diff -B - <(cat "$@") || {
  echo "FAILED: $page shows other programs than $*" >&2
  exit 1
}
