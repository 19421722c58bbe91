#!/usr/bin/env bash
# Runs test programs under valgrind's memcheck, on epoll and on the simulator: what it knows of
# io_uring's memory is too little to be believed. They are to be built without optimisation, which
# compares values that are not used then. valgrind 3.19 does not know openat2(2).
#
#     bazel test //tests:valgrind_test      (or: valgrind.sh SUPPRESSIONS PROGRAM...)
set -uo pipefail
suppressions=$1
shift

if ! command -v valgrind > /dev/null; then
  echo "valgrind is not installed: apt install valgrind" >&2
  exit 1
fi

failed=0
for program in "$@"; do
  echo "==== $program"
  # What it has not written itself, as a value or an address, and what it has lost.
  valgrind --quiet --suppressions="$suppressions" --error-exitcode=99 --track-origins=yes \
    --fair-sched=yes --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite \
    "$program" --gtest_brief=1 --gtest_filter='-*io_uring*' || {
    echo "FAILED $program (exit status $?)"
    failed=1
  }
done
exit "$failed"
