#!/usr/bin/env bash
# compare writes a table with weir and the bare loops, and names the peers that are missing.
set -euo pipefail

compare=("$@" --quick)
results=$(mktemp)
trap 'rm -f -- "$results"' EXIT

# No compiler and no program is found, so that there are no peers.
PATH=/nonexistent "${compare[@]}" --only "64 B x 100, pipe" --results "$results" > /dev/null
text=$(< "$results")
for part in "| weir epoll | " "| bare epoll | " "* weir epoll: " "x the CPU and" \
  "no peer to compare with" "skipped   libuv: " "skipped   Go: " "two equal servers differ"; do
  [[ $text == *"$part"* ]] || { echo "not there: $part"; echo "$text"; exit 1; }
done

status=0
said=$(PATH=/nonexistent "${compare[@]}" --only "hello x 1000" --results /nonexistent/file 2>&1 \
  > /dev/null) || status=$?
[[ $said == *"cannot write /nonexistent/file"* ]] || { echo "it says: $said"; exit 1; }
[[ $status == 1 ]] || { echo "it left with $status"; exit 1; }

status=0
said=$(PATH=/nonexistent "${compare[@]}" --only 64KB 2>&1 > /dev/null) || status=$?
[[ $said == *"contains '64KB'; there are '64 B x 1', "* ]] || { echo "it says: $said"; exit 1; }
[[ $status == 2 ]] || { echo "it left with $status"; exit 1; }
