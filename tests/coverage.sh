#!/usr/bin/env bash
# Which lines and branches of the library the tests reach: builds it with counters
# (--config=coverage), runs the tests, and prints a table of files. Ten minutes and more.
#   tests/coverage.sh [TARGET...]     default: all of //tests but what is manual or no-sanitizer
# Exits with 1 when a test fails, or when a line that no test reaches has no reason in coverage.txt.
# COVERAGE_BRANCHES=1 in the environment lists the branches, too, that are never taken.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

targets=("$@")
if ((${#targets[@]} == 0)); then targets=(//tests:all); fi

counters=$(mktemp -d /tmp/weir-coverage-XXXXXX)
trap 'rm -rf -- "$counters"' EXIT

# Every process of a test adds its counts to the same files when it ends, also one without rights:
# GCC's runtime tells standard error of a file that it cannot open, where a test may listen.
chmod 777 "$counters"
# An exception cannot pass the frames of a library that is built without them.
filter="-*.WithoutAReserveBadAllocIsTheWorstThatComes/*"
status=0
bazel test --config=coverage --keep_going --run_under="/bin/sh -c 'umask 0 && exec \"\$@\"' --" \
  --test_env=GCOV_PREFIX="$counters" --test_env=GTEST_FILTER="$filter" \
  --test_timeout=300,600,900,1800 -- "${targets[@]}" || status=$?
# 3: some tests have failed, and the others have counted.
if ((status != 0 && status != 3)); then exit "$status"; fi
root=$(bazel info --config=coverage execution_root)
python3 tests/coverage.py "$root" "$counters" tests/coverage.txt || status=1
exit "$status"
