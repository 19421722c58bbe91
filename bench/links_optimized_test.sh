#!/usr/bin/env bash
# Is a program optimized across the library's files where it is said to be? Of its functions those
# that nobody else calls are then local, whichever compiler it was; else they are global.
#   links_optimized_test.sh yes|no PROGRAM PROGRAM_WITHOUT_LTO
set -euo pipefail

# count KINDS PROGRAM: its functions of weir, by the letters of nm(1).
count() {
  nm -C "$2" | grep -c " [$1] weir::" || true
}

check() {
  local global local_ones
  global=$(count TW "$2")
  local_ones=$(count tw "$2")
  echo "$2: $global functions are global, $local_ones local"
  ((global + local_ones > 100)) || { echo "FAILED: $2 has no names"; exit 1; }
  case $1 in
    yes) ((local_ones > global)) || { echo "FAILED: it is not optimized across files"; exit 1; } ;;
    no) ((global > local_ones)) || { echo "FAILED: it is optimized across files"; exit 1; } ;;
    *) echo "FAILED: not yes or no: $1"; exit 2 ;;
  esac
}

check "$1" "$2"
check no "$3"
