#!/usr/bin/env bash
# nc, socat, curl and Node as clients of ours, and as servers for ours: every byte comes back, on
# both backends, over TCP and Unix sockets.
#   real_clients_test.sh ECHO_SERVER NETCAT NODE_CLIENT NODE_ECHO UDP_ECHO ECHO_GROUP
set -euo pipefail

echo_server=$1
netcat=$2
node_client=$3
node_echo=$4
udp_echo=$5
echo_group=$6
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

# Servers that others have written: foreign NAME tcp|unix starts one and sets `server` and `to`.
foreign() {
  local path=$work/foreign port
  rm -f "$path" "$work/loop"
  mkfifo "$work/loop"
  port=$(python3 -c '
import socket
probe = socket.socket()
probe.bind(("127.0.0.1", 0))
print(probe.getsockname()[1])')
  to=(--host 127.0.0.1 --port "$port")
  if [ "$2" = unix ]; then to=(--path "$path"); fi
  case $1-$2 in
    socat-tcp) socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" SYSTEM:cat & ;;
    socat-unix) socat "UNIX-LISTEN:$path,fork" SYSTEM:cat & ;;
    nc-tcp) nc -l 127.0.0.1 "$port" 0<>"$work/loop" 1>&0 & ;;
    nc-unix) nc -l -U "$path" 0<>"$work/loop" 1>&0 & ;;
    node-tcp) node "$node_echo" >"$work/loop" & ;;
    node-unix) node "$node_echo" "$path" >"$work/loop" & ;;
  esac
  server=$!
  if [ "$1" = node ]; then
    local line
    read -r line <"$work/loop"
    if [ "$2" = tcp ]; then to=(--host 127.0.0.1 --port "${line##* }"); fi
    return
  fi
  # They say nothing when they listen: nc takes one connection only, so it is looked up.
  local tries
  for tries in $(seq 500); do
    if [ -S "$path" ] || [ -n "$(ss -Hltn "sport = :$port")" ]; then return; fi
    kill -0 "$server" || fail "$1 does not run"
    read -r -t 0.02 || true
  done < <(tail -f /dev/null --pid=$$)
  fail "$1 does not listen after $tries looks"
}

end_foreign() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}

# our_client BACKEND tcp|unix: at their servers. nc sends back through a fifo and never sees that
# its input has ended, so it gets little, and our side is kept open until all of it is back.
our_client() {
  local backend=$1 name size
  for name in node socat; do
    foreign "$name" "$2"
    for size in 1 65536 1048576; do
      timeout 60 "$netcat" --backend "$backend" "${to[@]}" <"$work/$size" |
        expect "netcat at $name over $2" "$work/$size"
    done
    end_foreign
  done
  foreign nc "$2"
  coproc OURS { exec timeout 60 "$netcat" --backend "$backend" "${to[@]}"; }
  local pid=$OURS_PID
  cat "$work/1000" >&"${OURS[1]}"
  head -c 1000 <&"${OURS[0]}" >"$work/back"
  expect "netcat at nc over $2" "$work/1000" <"$work/back"
  kill "$pid"
  wait "$pid" || true
  end_foreign
}

each_client() {
  for size in 1 1000 65536 1048576 67108864; do
    timeout 60 nc -N 127.0.0.1 "$port" <"$work/$size" | expect "nc" "$work/$size"
    timeout 60 socat -t 30 - "TCP:127.0.0.1:$port" <"$work/$size" | expect "socat" "$work/$size"
    timeout 60 node "$node_client" "$port" "$work/$size" || fail "Node"
    timeout 60 "$netcat" --backend "$backend" --host 127.0.0.1 --port "$port" <"$work/$size" |
      expect "netcat" "$work/$size"
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

# start_example PROGRAM: one that takes a port and says where it is; sets `server` and `port`.
start_example() {
  local line
  rm -f "$work/out"
  mkfifo "$work/out"
  "$1" 0 >"$work/out" &
  server=$!
  read -r line <"$work/out"
  port=${line##*:}
}

# Datagrams, each of which comes back; Node counts them, and their sizes.
over_udp() {
  local back
  start_example "$udp_echo"
  back=$(printf 'hello socat' | timeout 60 socat -t 5 - "UDP:127.0.0.1:$port")
  [ "$back" = "hello socat" ] || fail "socat over UDP got '$back'"
  back=$(timeout 60 node -e '
    const sizes = [0, 1, 1400, 1400, 1400, 9000, 65507];
    const socket = require("dgram").createSocket("udp4");
    const got = [];
    socket.on("message", (message, from) => {
      got.push(message.length);
      if (from.port !== Number(process.argv[1])) throw new Error("not from the server");
      if (got.length === sizes.length) { console.log(got.join()); socket.close(); }
      else socket.send(Buffer.alloc(sizes[got.length], 7), process.argv[1], "127.0.0.1");
    });
    socket.send(Buffer.alloc(0), process.argv[1], "127.0.0.1");' "$port")
  [ "$back" = "0,1,1400,1400,1400,9000,65507" ] || fail "Node over UDP got $back"
  end_foreign
  echo "ok: socat and Node over UDP"
}

# A reactor for each processor, and SIGTERM.
over_a_group() {
  local i
  start_example "$echo_group"
  for i in 1 2 3 4 5 6; do
    timeout 60 socat -t 30 - "TCP:127.0.0.1:$port" <"$work/1048576" | expect "socat $i" "$work/1048576"
  done
  kill "$server"
  wait "$server" || fail "echo_group ends with $?"
  server=
  echo "ok: socat at a group of reactors"
}

over_udp
over_a_group
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
    timeout 60 node "$node_client" "$work/socket" "$work/$size" || fail "Node"
    timeout 60 "$netcat" --backend "$backend" --path "$work/socket" <"$work/$size" |
      expect "netcat" "$work/$size"
  done
  stop
  [ ! -e "$work/socket" ] || fail "the socket's file is still there"
  echo "--- three reactors on $backend behind a Unix socket"
  start "$backend" --unix "$work/socket" --threads 3 --balance
  for size in 1 1048576 1 1048576; do
    timeout 60 nc -N -U "$work/socket" <"$work/$size" | expect "nc -U" "$work/$size"
  done
  stop
  echo "--- our client on $backend at their servers"
  our_client "$backend" tcp
  our_client "$backend" unix
done
