#!/usr/bin/env bash
# nc, socat, curl and Node get their bytes back exactly, on both backends, over TCP and Unix sockets.
#   real_clients_test.sh ECHO_SERVER NODE_CLIENT
set -euo pipefail

echo_server=$1
node_client=$2
work=$(mktemp -d /tmp/weir-test-XXXXXX)
server=

cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# start BACKEND FLAGS...: waits for the server's second line; sets `server` and `port`.
start() {
  local backend=$1
  shift
  rm -f "$work/out"
  mkfifo "$work/out"
  "$echo_server" --backend "$backend" "$@" >"$work/out" 2>"$work/errors" &
  server=$!
  local first second
  { read -r first && read -r second; } <"$work/out" || { cat "$work/errors" >&2; return 1; }
  [[ $second == "backend $backend:"* ]] || fail "the server says: $second"
  port=${first##*:}
}

stop() {
  kill -INT "$server"
  wait "$server" || fail "the server left with $?"
  server=
}

# expect NAME FILE: compares what came back on standard input, without keeping it.
expect() {
  cmp - "$2" || fail "$1 got other bytes back"
  echo "ok: $1, $(stat -c %s "$2") bytes"
}

make() { head -c "$1" /dev/urandom >"$work/$1"; }

for size in 1 1000 65536 1048576 67108864; do make "$size"; done

each_client() {
  for size in 1 1000 65536 1048576 67108864; do
    timeout 60 nc -N 127.0.0.1 "$port" <"$work/$size" | expect "nc" "$work/$size"
    timeout 60 socat -t 30 - "TCP:127.0.0.1:$port" <"$work/$size" | expect "socat" "$work/$size"
    timeout 60 node "$node_client" "$port" "$work/$size" || fail "Node"
  done
  # curl stays until the server ends the connection, which an echo server never does first.
  coproc CURL { exec timeout 60 curl -s -N "telnet://127.0.0.1:$port"; }
  local curl_pid=$CURL_PID line
  echo "hello curl" >&"${CURL[1]}"
  read -r line <&"${CURL[0]}"
  [ "$line" = "hello curl" ] || fail "curl got '$line'"
  kill "$curl_pid"
  wait "$curl_pid" || true
  echo "ok: curl telnet"
}

# A gibibyte of numbers through socat, made and compared on the fly.
gibibyte() {
  local bytes=$((1 << 30)) sent back
  # seq is stopped by head: its broken pipe is no failure.
  numbers() (
    set +o pipefail
    seq 1 200000000 | head -c "$bytes"
  )
  sent=$(numbers | cksum)
  back=$(numbers | timeout 120 socat -b 262144 -t 60 - "TCP:127.0.0.1:$port" | cksum)
  [ "$sent" = "$back" ] || fail "a gibibyte came back as $back, not $sent"
  echo "ok: socat, $bytes bytes"
}

for backend in epoll io_uring; do
  if ! start "$backend" --host 127.0.0.1 --port 0; then
    [ "$backend" = io_uring ] || fail "no server"
    echo "skipped: io_uring is not available here: $(cat "$work/errors")"
    continue
  fi
  echo "--- $backend over TCP"
  each_client
  gibibyte
  stop
  echo "--- $backend over a Unix socket"
  start "$backend" --unix "$work/socket"
  for size in 1 1048576; do
    timeout 60 nc -N -U "$work/socket" <"$work/$size" | expect "nc -U" "$work/$size"
    timeout 60 socat -t 30 - "UNIX:$work/socket" <"$work/$size" | expect "socat" "$work/$size"
  done
  stop
  [ ! -e "$work/socket" ] || fail "the socket's file is still there"
done
