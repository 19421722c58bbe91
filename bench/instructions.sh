#!/usr/bin/env bash
# How many instructions of user space an echo of 64 bytes takes, in lock step: see lock_step.h.
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
readonly kEchoes=20000
readonly kWithin=2  # percent that a count may rise by
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# count NAME BATCH PROGRAM...: sets `counted` to the instructions of an echo; false: it cannot run.
count() {
  local said
  if ! said=$(timeout 300 valgrind --tool=callgrind --toggle-collect=measured_turn \
    --callgrind-out-file=/dev/null "${@:3}" "$2" $((kEchoes / $2)) 2>&1); then
    echo "$1 x $2: ${said##*$'\n'}" >&2
    return 1
  fi
  local total
  total=$(sed -n 's/.*Collected *: *//p' <<< "$said")
  ((total > 0)) || { echo "$1 x $2: nothing was counted" >&2; return 1; }
  # 20 000 are so many whole batches, and the warm-up is not collected.
  counted=$((total / (kEchoes / $2 * $2)))
}

expected_of() { awk -v name="$1" -v batch="$2" '$1 == name && $2 == batch { print $3 }' "$record"; }

# check NAME BATCH: `counted` against the record.
check() {
  local expected
  expected=$(expected_of "$1" "$2")
  [[ -n $expected ]] || { echo "instructions.txt has no line for $1 $2" >&2; return 1; }
  if ((counted * 100 > expected * (100 + kWithin))); then
    echo "$1 x $2: $counted instructions an echo, $expected are recorded: more than $kWithin % more" >&2
    return 1
  fi
  if ((counted * 100 < expected * (100 - kWithin))); then
    echo "$1 x $2: $counted instructions, $expected are recorded. Please record them, with --write."
  fi
}

if ! command -v valgrind > /dev/null; then
  echo "valgrind is not installed: nothing can be counted" >&2
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
for backend in epoll io_uring; do
  for batch in 1 32; do
    if ! count "$backend" "$batch" "$weir" "$backend"; then
      # A sandbox may refuse io_uring, and valgrind may not know it.
      [[ $backend == io_uring ]] && ! "$weir" io_uring 1 1 2> /dev/null && continue
      failed=1
      continue
    fi
    echo "weir $backend, batches of $batch: $counted instructions an echo"
    lines+=("$backend $batch $counted")
    of_weir[$backend/$batch]=$counted
    if [[ $mode == --check ]]; then check "$backend" "$batch" || failed=1; fi
  done
done

if [[ $mode == --write ]]; then
  printf '%s\n' "${lines[@]}" > "${BUILD_WORKSPACE_DIRECTORY:?is for bazel run}/bench/instructions.txt"
fi
if [[ -z $mode ]]; then
  if ${CXX:-c++} -std=c++20 -O3 -DNDEBUG -iquote "$(dirname "$libuv_source")/../.." "$libuv_source" \
    -o "$work/libuv" -luv 2> "$work/errors"; then
    for batch in 1 32; do
      count libuv "$batch" "$work/libuv" || exit 1
      echo "libuv, batches of $batch: $counted; weir's: epoll" \
        "$(awk "BEGIN { printf \"%.2f\", ${of_weir[epoll/$batch]} / $counted }") x, io_uring" \
        "$(awk "BEGIN { printf \"%.2f\", ${of_weir[io_uring/$batch]:-0} / $counted }") x"
    done
  else
    echo "libuv: skipped: $(grep -m1 error "$work/errors") (apt install libuv1-dev)"
  fi
fi
exit "$failed"
