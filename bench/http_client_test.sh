#!/usr/bin/env bash
# http_client prints a row for each client, and http_client_load tells of what is wrong.
set -euo pipefail

program=$1 demo_server=$2 load=$3

table=$("$program" --demo-server="$demo_server" --load="$load" --quick)
echo "$table"
grep -q '^  weir epoll  *[1-9]' <<<"$table"

fails_with() {
  local text=$1
  shift
  local output status=0
  output=$("$@" 2>&1) || status=$?
  [[ $status == 1 && $output == *"$text"* ]] || { echo "$*: $status, $output"; exit 1; }
}

# Nobody listens on port 1.
fails_with "ECONNREFUSED" "$load" --backend epoll --connections 1 --seconds 0.1 --port 1
