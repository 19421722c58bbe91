#!/usr/bin/env bash
# Two thousand idle connections at weir's echo server: all are held, and all figures are there. What
# there is no memory for is refused before it begins.
set -euo pipefail
idle=$1 echo_server=$2

table=$("$idle" --quick --backend epoll --echo-server "$echo_server")
echo "$table"
grep -q '^2000 connections, each with a message echoed' <<<"$table"
grep -Eq '^  server, its memory +[1-9]' <<<"$table"
[ "$(grep -Ec '^  (alone|among).* [0-9]+\.[0-9]+ +[1-9]' <<<"$table")" = 3 ]
grep -q '^each of 2000 connections has had one more message echoed' <<<"$table"

code=0
refusal=$("$idle" --connections 100000000 --echo-server "$echo_server" 2>&1) || code=$?
[ "$code" = 2 ]
grep -q 'MiB of memory' <<<"$refusal"
