#!/usr/bin/env bash
# http_load finds the answers of the bare loops and of demo_server right, and one that is wrong.
set -euo pipefail

http_load=$1 floor_http=$2 demo_server=$3

server=
trap '[ -z "$server" ] || kill "$server"' EXIT

# Leaves the port in $port; 1 if io_uring is refused.
start() {
  coproc out { exec "$@" 2>&1; }
  server=$out_PID
  read -r line <&"${out[0]}"
  if [[ $line == *"io_uring refused"* ]]; then server= && return 1; fi
  port=${line##*:}
  read -r line <&"${out[0]}"
}

stop() {
  kill "$server"
  wait "$server"
  server=
}

load() { "$http_load" --port "$port" --warmup 0.02 --seconds 0.1 "$@"; }

for loop in epoll io_uring; do
  start "$floor_http" --loop "$loop" || continue
  said=$(load --connections 20 --server-pid "$server")
  [[ $said == *' requests/s'*' us server CPU a request'* ]]
  said=$(load --connections 5 --pipeline 16 --json)
  [[ $said == *'"requests":'[1-9]* ]]
  # Its answer is always the same: to an echo it is wrong.
  said=$(load --script mixed 2>&1) && exit 1
  [[ $said == "http_load: connection 0: "* ]]
  stop
done

start "$demo_server" --backend epoll --port 0
for script in hello mixed chunked short; do
  load --script "$script" --connections 20 --pipeline 3
done
said=$(load --script mixed --requests 4 --json)
[[ $said == *'"opened":'[1-9]* ]]
stop

status=0
"$http_load" --port 1 --script nonsense || status=$?
[ "$status" = 2 ]
