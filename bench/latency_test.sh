#!/usr/bin/env bash
# latency measures weir and the bare loops; a bare loop that is slow, or lies, shows.
set -euo pipefail

lying_server=$1
shift
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# No compiler and no program is found, so that there are no peers.
run() { PATH=/nonexistent "$@"; }
wrong() { echo "$1"; echo "$text"; exit 1; }

text=$(run "$@" --quick --json "$work/json")
rows=("weir epoll" "bare epoll" "weir epoll again" "weir epoll, spinning" "bare epoll, spinning" \
  "weir epoll, spinning adaptively")
for row in "${rows[@]}"; do
  [[ $text =~ "| $row |"(" "[0-9]+\.[0-9]" |"){2} ]] || wrong "no figures of: $row"
  [[ $(< "$work/json") == *"{\"server\":\"$row\",\"messages\":["* ]] || wrong "not in JSON: $row"
done
for part in "50 % of the " "skipped   libuv: " "| weir epoll / bare epoll |" "Not shown: "; do
  [[ $text == *"$part"* ]] || wrong "not there: $part"
done

# What runs in the place of the bare epoll loop.
instead() { printf '#!/bin/sh\nexec "%s" %s\n' "$(realpath "$lying_server")" "$1" > "$work/floor"; }
touch "$work/floor"
chmod +x "$work/floor"
lied=("${@/#--floor-epoll=*/--floor-epoll=$work/floor}")

# It pauses for 20 ms before each answer.
instead slow
text=$(run "${lied[@]}" --quick --seconds 1 --only "bare epoll")
[[ $text =~ "| bare epoll | "([0-9]+) ]] || wrong "no figures of the slow one"
(( BASH_REMATCH[1] >= 20000 )) || wrong "20 ms do not show"

instead flip
status=0
text=$(run "${lied[@]}" --quick 2>&1) || status=$?
[[ $status == 1 && $text == *"latency: bare epoll: connection "*"wrong byte at position 1000"* ]] ||
  wrong "it left with $status and did not name the wrong byte"

status=0
text=$(run "$@" --quick --only "bare epoll" --json /nonexistent/file 2>&1) || status=$?
[[ $status == 1 && $text == *"latency: cannot write /nonexistent/file"* ]] ||
  wrong "it left with $status after it could not write"

status=0
text=$(run "$@" --quick --only nobody 2>&1) || status=$?
[[ $status == 2 && $text == *"--only: no name contains 'nobody'; there are 'weir epoll'"* ]] ||
  wrong "it left with $status and did not name the servers"
