#!/usr/bin/env bash
# How many instructions of user space an echo of 64 bytes takes, and a GET of 13 bytes, in lock
# step: see lock_step.h.
#
#   bazel run -c opt //bench:instructions              # weir, and libuv if it is installed
#   bazel run -c opt //bench:instructions -- --write   # what is counted now is what is expected
#   bazel test -c opt //bench:instructions_test        # is weir's count what instructions.txt says?
#
#   instructions.sh LOCK_STEP_WEIR LIBUV_SOURCE RECORD [--check | --write]
#
# A count belongs to a compiler: with another one than that of the record nothing is checked.
set -euo pipefail

weir=$1 libuv_source=$2 record=$3 mode=${4:-}
readonly kTimes=20000
readonly kWithin=2  # percent that a count may rise by
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# count NAME BATCH PROGRAM...: sets `counted` to the instructions of each of so many; false: it
# cannot run. What is not a whole batch is not done.
count() {
  local said total batches=$((kTimes / $2))
  if ! said=$(timeout 300 valgrind --tool=callgrind --toggle-collect=measured_turn \
    --callgrind-out-file=/dev/null "${@:3}" "$2" "$batches" 2>&1); then
    echo "$1 $2: ${said##*$'\n'}" >&2
    return 1
  fi
  total=$(sed -n 's/.*Collected *: *//p' <<< "$said")
  if ((total == 0)); then
    echo "$1 $2: nothing was counted" >&2
    return 1
  fi
  counted=$((total / (batches * $2)))
}

# check NAME BATCH: `counted` against the record.
check() {
  local expected
  expected=$(awk -v name="$1 $2" '$1 " " $2 " " $3 == name { print $4 }' "$record")
  if [[ -z $expected ]]; then
    echo "$record has no line for $1 $2" >&2
    return 1
  fi
  if ((counted * 100 > expected * (100 + kWithin))); then
    echo "$1 $2: $counted instructions, more than $kWithin % above the $expected in the record" >&2
    return 1
  fi
  if ((counted * 100 < expected * (100 - kWithin))); then
    echo "$1 $2: $counted instructions, $expected in the record. Please record them: --write"
  fi
}

# libuv_rows: the same echoes by libuv, and how weir's count compares.
libuv_rows() {
  local root batch backend ratio
  root=$(dirname -- "$libuv_source")/../..
  if ! "${CXX:-c++}" -std=c++20 -O3 -DNDEBUG -iquote "$root" "$libuv_source" -o "$work/libuv" \
    -luv 2> "$work/errors"; then
    echo "libuv: skipped: $(grep -m1 error "$work/errors") (apt install libuv1-dev)"
    return
  fi
  for batch in 1 32; do
    count libuv "$batch" "$work/libuv" || return 1
    echo "libuv echo, batches of $batch: $counted"
    for backend in epoll io_uring; do
      [[ -n ${of_weir["echo $backend $batch"]:-} ]] || continue
      ratio=$(awk "BEGIN { printf \"%.2f\", ${of_weir["echo $backend $batch"]} / $counted }")
      echo "  weir $backend has $ratio times as many"
    done
  done
}

if ! command -v valgrind > /dev/null; then
  echo "valgrind is not installed (apt install valgrind): nothing can be counted" >&2
  exit 1
fi
compiler=$("$weir" --compiler)
if [[ $mode == --check ]] && ! grep -qxF "compiler $compiler" "$record"; then
  echo "skipped: this is $compiler, the record is of $(sed -n 's/^compiler //p' "$record")"
  exit 0
fi

failed=0
lines=("compiler $compiler")
declare -A of_weir
for what in "echo epoll 1" "echo epoll 32" "echo io_uring 1" "echo io_uring 32" "http epoll 32" \
  "http io_uring 32" "pipeline epoll 16" "pipeline io_uring 16"; do
  read -r kind backend batch <<< "$what"
  # A sandbox may refuse io_uring.
  if [[ $backend == io_uring ]] && ! "$weir" "$kind" "$backend" 1 1 2> "$work/errors"; then
    echo "$what: skipped: $(< "$work/errors")"
    continue
  fi
  if ! count "$kind $backend" "$batch" "$weir" "$kind" "$backend"; then
    failed=1
    continue
  fi
  echo "weir $kind on $backend, batches of $batch: $counted"
  lines+=("$what $counted")
  of_weir[$what]=$counted
  if [[ $mode == --check ]]; then check "$kind $backend" "$batch" || failed=1; fi
done

if [[ $mode == --write ]]; then
  record=${BUILD_WORKSPACE_DIRECTORY:?is for bazel run}/bench/instructions.txt
  printf '%s\n' "${lines[@]}" > "$record"
elif [[ -z $mode ]]; then
  libuv_rows || failed=1
fi
exit "$failed"
