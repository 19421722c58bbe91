#!/usr/bin/env bash
# WebSockets with those of others: Node's ws as client and as server, and Chromium as client.
#   real_websocket_peers_test.sh DEMO_SERVER WS_CAT WS_CLIENT_JS WS_SERVER_JS WS_PAGE_HTML
# A program that is not here is skipped, and says so.
set -euo pipefail

demo_server=$1
ws_cat=$2
ws_client=$3
ws_server=$4
ws_page=$5

. "$(dirname "$0")/real_peers.sh"

# Where Debian has modules; another Node does not look there by itself.
export NODE_PATH=/usr/share/nodejs${NODE_PATH:+:$NODE_PATH}

# Waits for a line of the server's output, and prints it.
line_of_server() {
  local deadline=$((SECONDS + 30)) line
  while [ "$SECONDS" -lt "$deadline" ]; do
    if line=$(grep -m 1 -e "$1" "$work/server"); then
      echo "$line"
      return
    fi
    kill -0 "$server" 2>/dev/null || fail "the server has left: $(cat "$work/server")"
    read -r -t 0.02 <>"$work/never" || true
  done
  fail "the server has not said $1: $(cat "$work/server")"
}

stop() {
  kill -TERM "$server"
  wait "$server" || [ $? = 143 ] || fail "the server left badly"
  server=
}

start_weir() {
  : >"$work/server"
  "$demo_server" --host 127.0.0.1 --port 0 --backend "$1" >"$work/server" 2>&1 &
  server=$!
  local line
  line=$(line_of_server 'listening on')
  port=${line##*:}
}

start_node() {
  : >"$work/server"
  node "$ws_server" "$1" >"$work/server" 2>&1 &
  server=$!
  port=$(line_of_server '^[0-9]')
}

# ---- ws as client ----

node_client() {
  for way in plain deflate; do
    timeout 120 node "$ws_client" "ws://127.0.0.1:$port/ws" "$way" >"$work/said" 2>&1 ||
      fail "ws, $way, left with $?"
    same "ws as client, $way" "17 messages came back" "$(cat "$work/said")"
  done
}

# ---- ws as server ----

# weir's client: FLAGS..., then what it said on standard error is in said.
cat_to_node() {
  timeout 120 "$ws_cat" --backend "$backend" "$@" "ws://127.0.0.1:$port/" >"$work/got" \
    2>"$work/said" || fail "ws_cat $* left with $?"
}

node_server() {
  local way flags opened expected
  for way in plain deflate; do
    start_node "$way"
    opened=open
    if [ "$way" = deflate ]; then opened="open deflate"; fi
    for flags in "" "--deflate" "--deflate --context" "--deflate --binary"; do
      expected=open
      if [ "$way" = deflate ] && [ -n "$flags" ]; then expected=$opened; fi
      # shellcheck disable=SC2086
      cat_to_node $flags --size 1048576 --count 5 --close 4001
      same "ws as server, $way, $flags" \
        "$expected"$'\n'"closed 4001 clean done"$'\n'"5 came back" "$(cat "$work/said")"
    done
    line_of_server 'closed 4001 done' >"$work/line"
    printf 'one\ntwo\nthe third, Grüße' | cat_to_node --deflate --expect 3
    same "lines" $'one\ntwo\nthe third, Grüße' "$(cat "$work/got")"
    printf 'close 3333\n' | cat_to_node --expect 1
    same "the server closes" "closed 3333 clean as you say" "$(tail -n 1 "$work/said")"
    stop
  done
}

# ---- Chromium ----

chromium_client() {
  sed "s/@PORT@/$port/g" "$ws_page" >"$work/page.html"
  timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" \
    --virtual-time-budget=60000 --dump-dom "file://$work/page.html" >"$work/dom" 2>"$work/said" ||
    fail "chromium left with $?"
  same "Chromium" \
    "open deflate;text;binary;large;closed 4002 true ;" \
    "$(sed -n 's/.*<pre id="result">\(.*\)<\/pre>.*/\1/p' "$work/dom")"
}

mkfifo "$work/never"

have_ws() {
  have node && node -e 'require("ws")' 2>/dev/null && return
  echo "SKIP ws: this node does not find the module"
  return 1
}

for backend in epoll io_uring; do
  echo "--- $backend"
  if have_ws; then
    node_server
    start_weir "$backend"
    node_client
    stop
  fi
  if have chromium; then
    start_weir "$backend"
    chromium_client
    stop
  fi
done
