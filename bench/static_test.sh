#!/usr/bin/env bash
# static prints a row for each server and size, and says when nginx is not there.
set -euo pipefail

program=$1 demo_server=$2 nginx_static=$3

table=$("$program" --demo-server="$demo_server" --nginx-static="$nginx_static" --quick)
echo "$table"
[ "$(grep -c '^  weir epoll  *[1-9]' <<<"$table")" = 5 ]
if grep -q '^nginx  *skipped' <<<"$table"; then exit; fi
[ "$(grep -c '^  nginx  *[1-9]' <<<"$table")" = 5 ]
[ "$(grep -c '^  weir epoll .*\.[0-9]*\.\.[0-9]' <<<"$table")" = 5 ]
