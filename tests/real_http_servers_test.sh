#!/usr/bin/env bash
# fetch, weir's client, at nginx and Node, on both backends; and the client of the document that
# weir started from at Node.
#   real_http_servers_test.sh FETCH UNIX_CLIENT NODE_SERVER
# What a server is missing for is skipped, and says so.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # of nginx

fetch=$1
unix_client=$2
node_server=$3

. "$(dirname "$0")/real_peers.sh"

# ask FLAGS... PATH: fetch at the server; never for long.
ask() {
  local path=${*: -1}
  timeout 60 "$fetch" --backend "$backend" "${to[@]}" "${@:1:$#-1}" "$base$path" 2>"$work/said" ||
    fail "fetch $* left with $?"
}

# counted NAME: of the statistics of the last ask.
counted() { sed -n "s/^requests.* $1 \([0-9]*\).*/\1/p; s/^$1 \([0-9]*\) .*/\1/p" "$work/said"; }

stop() {
  kill -TERM "$server"
  wait "$server" || fail "the server left with $?"
  server=
}

# ---- nginx ----

# Its sockets have names that are ours alone. Each answer has the numbers of its connection and of
# the request on that.
nginx_config() {
  cat <<CONFIG
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/errors error;
events {}
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path $work/nginx_body;
  proxy_temp_path $work/nginx_proxy;
  fastcgi_temp_path $work/nginx_fastcgi;
  uwsgi_temp_path $work/nginx_uwsgi;
  scgi_temp_path $work/nginx_scgi;
  root $work/root;
  keepalive_timeout 600s;
  add_header X-Connection "\$connection \$connection_requests";
  server {
    listen unix:$work/socket;
    keepalive_requests 1000000;
    location /zipped/ { alias $work/root/; gzip on; gzip_types *; }
  }
  server {
    listen unix:$work/three;
    keepalive_requests 3;
  }
}
CONFIG
}

start_nginx() {
  rm -f "$work/socket" "$work/three"
  nginx_config >"$work/nginx.conf"
  : >"$work/errors"
  # Nothing but the command: its pid is what is killed in the end.
  nginx -p "$work" -e "$work/errors" -c "$work/nginx.conf" >"$work/nginx_out" 2>&1 &
  server=$!
  local tries
  for tries in $(seq 500); do
    if "$fetch" "${to[@]}" "$base/1024" >/dev/null 2>&1; then return; fi
    kill -0 "$server" 2>/dev/null || break
    read -r -t 0.02 <>"$work/never" || true
  done
  fail "nginx does not answer after $tries tries: $(cat "$work/nginx_out")"
}

nginx_answers() {
  local size
  for size in 0 1024 10485760; do
    ask "/$size" >"$work/back"
    same_file "GET of $size bytes" "$work/root/$size" "$work/back"
    ask -i -X HEAD "/$size" >"$work/head"
    same "its length" "$size" "$(field_of Content-Length "$work/head")"
    same "the end of the head" "" "$(tail -n 1 "$work/head" | tr -d '\r')"
    ask -i -H 'Accept-Encoding: gzip' -o "$work/head" -X HEAD "/zipped/$size"
    ask -H 'Accept-Encoding: gzip' "/zipped/$size" >"$work/back"
    if [ "$size" != 0 ]; then
      same "it is zipped" gzip "$(field_of Content-Encoding "$work/head")"
      gunzip <"$work/back" >"$work/plain" || fail "not in chunks as they were zipped"
      same_file "chunks" "$work/root/$size" "$work/plain"
    fi
  done
  ask -i /nowhere >"$work/back"
  same "404" "HTTP/1.1 404 Not Found" "$(head -n 1 "$work/back" | tr -d '\r')"
  ask -i --body "$work/root/10485760" /1024 >"$work/back"
  same "POST to a file" "HTTP/1.1 405 Not Allowed" "$(head -n 1 "$work/back" | tr -d '\r')"
  echo "ok: nginx, files"
}

nginx_connections() {
  ask -i --repeat 50 -X HEAD /1024 >"$work/back"
  same "connections" 1 "$(field_of X-Connection "$work/back" | cut -d ' ' -f 1 | sort -u | wc -l)"
  same "requests on it" 50 "$(field_of X-Connection "$work/back" | tail -n 1 | cut -d ' ' -f 2)"
  ask --repeat 2000 --parallel 16 --max-sockets 8 /1024
  same "connections for many" 8 "$(counted connections)"
  same "bytes" 2048000 "$(counted bytes)"
  local to=(--unix "$work/three") connections
  ask --repeat 100 /1024 >"$work/back"
  for _ in $(seq 100); do cat "$work/root/1024"; done >"$work/expected"
  same_file "a hundred, three a connection" "$work/expected" "$work/back"
  same "connections of three" 34 "$(counted connections)"
  ask --repeat 100 --parallel 4 /1024
  same "lost ones" 0 "$(counted failed)"
  same "bytes of a hundred" 102400 "$(counted bytes)"
  connections=$(counted connections)
  # Each of the last four may have had fewer than three.
  [ "$connections" -ge 34 ] && [ "$connections" -le 37 ] || fail "$connections connections of three"
  echo "ok: nginx, connections"
}

at_nginx() {
  have nginx || return 0
  local to=(--unix "$work/socket") base=http://localhost
  start_nginx
  nginx_answers
  nginx_connections
  stop
  if grep -v '/nowhere" failed' "$work/errors"; then fail "nginx complains"; fi
}

# ---- Node ----

# start_node FLAGS...: waits until it listens; sets `place`.
start_node() {
  rm -f "$work/out" "$work/socket"
  mkfifo "$work/out"
  node "$node_server" "$@" >"$work/out" 2>"$work/errors" &
  server=$!
  exec 3<"$work/out"
  read -r -t 60 -u 3 place || fail "Node does not listen"
}

stop_node() {
  stop
  exec 3<&-
  [ ! -s "$work/errors" ] || fail "Node complains"
}

node_bodies() {
  local size
  for size in 0 1024 10485760; do
    ask --body "$work/root/$size" /echo >"$work/back"
    same_file "sized echo" "$work/root/$size" "$work/back"
    # shellcheck disable=SC2002
    cat "$work/root/$size" | ask --body - /echo >"$work/back"
    same_file "chunked echo" "$work/root/$size" "$work/back"
    ask -H 'Expect: 100-continue' --body "$work/root/$size" /echo >"$work/back"
    same_file "echo after 100 Continue" "$work/root/$size" "$work/back"
  done
  same "chunks" 10000000 "$(ask '/chunked?n=1000&size=10000' | tr -cd x | wc -c)"
  same "small chunks" 100000 "$(ask '/chunked?n=100000&size=1' | tr -cd x | wc -c)"
  same "404" "nothing here" "$(ask /nowhere)"
  echo "ok: Node, bodies"
}

# What -i shows, without what changes.
shown() { ask -i "$@" | tr -d '\r' | sed '/^Date: /d' | tr '\n' '|'; }

node_interim() {
  local keep="Connection: keep-alive|Keep-Alive: timeout=600|"
  same "100" "HTTP/1.1 100 Continue||HTTP/1.1 200 OK|Content-Length: 2|${keep}|hi" \
    "$(shown -H 'Expect: 100-continue' -d hi /echo)"
  same "no 100" "HTTP/1.1 403 Forbidden|Content-Length: 6|Connection: close||no way" \
    "$(shown -H 'Expect: 100-continue' -d hi /refuse)"
  same "another expectation" "HTTP/1.1 417 Expectation Failed" \
    "$(shown -H 'Expect: miracles' /echo | cut -d '|' -f 1)"
  same "103" "HTTP/1.1 103 Early Hints|Link: </style.css>; rel=preload|x-first: 1||HTTP/1.1 103 \
Early Hints|Link: </more.css>; rel=preload||HTTP/1.1 200 OK|${keep}Content-Length: 15||\
after the hints" "$(shown /early)"
  same "the body alone" "after the hints" "$(ask /early)"
  same "trailers" "HTTP/1.1 200 OK|Trailer: X-Sum, X-Other|${keep}Transfer-Encoding: chunked||\
some textX-Sum: 42|X-Other: a, b|" "$(shown /trailers)"
  same "the text alone" "some text" "$(ask /trailers)"
  echo "ok: Node, interim answers and trailers"
}

node_connections() {
  ask --repeat 200 /count >"$work/back"
  same "connections" 1 "$(cut -d ' ' -f 1 "$work/back" | sort -u | wc -l)"
  same "requests on it" 200 "$(tail -n 1 "$work/back" | cut -d ' ' -f 2)"
  ask --repeat 5 --no-keep-alive /count >"$work/back"
  same "connections without keep-alive" "1 1 1 1 1" \
    "$(cut -d ' ' -f 2 "$work/back" | tr '\n' ' ' | sed 's/ $//')"
  ask --repeat 1000 --parallel 20 --max-sockets 5 /count
  same "lost ones" 0 "$(counted failed)"
  same "connections for many" 5 "$(counted connections)"
  echo "ok: Node, connections"
}

# Its connections end when it likes. None of 200 requests is lost, or answered twice.
node_ends() {
  start_node 0 "$@"
  base=http://127.0.0.1:$place
  ask --repeat 200 /count >"$work/back"
  same "answers with $*" 200 "$(wc -l <"$work/back")"
  same "different ones" 200 "$(sort -u "$work/back" | wc -l)"
  ask --repeat 200 --parallel 8 /count
  same "lost ones with $*" 0 "$(counted failed)"
  echo "ok: Node with $*: $(grep '^requests' "$work/said")"
  stop_node
}

document_client() {
  start_node "$work/socket" --root "$work/root"
  timeout 60 "$unix_client" --backend "$backend" --path "$work/socket" >"$work/back" ||
    fail "the client left with $?"
  same "the status" "STATUS: 200" "$(head -n 1 "$work/back")"
  sed -n 2p "$work/back" | grep -Eqx 'HEADERS: \{"content-type":"text/plain","date":"[^"]+",'\
'"connection":"keep-alive","keep-alive":"timeout=600","transfer-encoding":"chunked"\}' ||
    fail "$(sed -n 2p "$work/back")"
  # Where the pieces are cut is the network's: without what stands before each, and its newline.
  { tail -n +3 "$work/back" | sed "s/^chunk o' data : //" | sed '/^$/d'; } >"$work/text"
  { seq 0 99 && cat "$work/root/main.txt"; } >"$work/expected"
  same_file "numbers and the file" "$work/expected" "$work/text"
  same "the pool" "20 responses over 5 connections" \
    "$("$unix_client" --backend "$backend" --path "$work/socket" --requests 20)"
  stop_node
  same "without a server" "problem with request: connect ENOENT $work/nothing" \
    "$("$unix_client" --backend "$backend" --path "$work/nothing")"
  echo "ok: the client of the first document"
}

at_node() {
  have node || return 0
  local to=() base place
  start_node 0
  base=http://127.0.0.1:$place
  node_bodies
  node_interim
  node_connections
  stop_node
  start_node "$work/socket"
  to=(--unix "$work/socket")
  base=http://localhost
  node_bodies
  stop_node
  to=()
  node_ends --keep-alive-timeout 1
  node_ends --keep-alive-timeout 1 --quiet
  node_ends --close-every 3
  node_ends --close-every 3 --quiet
  document_client
}

# ---- All of it ----

mkdir -p "$work/root"
for size in 0 1024 10485760; do head -c "$size" /dev/urandom >"$work/root/$size"; done
printf 'The file,\nin two lines.\n' >"$work/root/main.txt"
mkfifo "$work/never"

for backend in epoll io_uring; do
  code=0
  "$fetch" --backend "$backend" --unix "$work/nowhere" http://localhost/ 2>"$work/said" || code=$?
  if [ "$code" != 1 ] || ! grep -q 'connect ENOENT' "$work/said"; then
    [ "$backend" = io_uring ] || fail "no client"
    echo "SKIP io_uring: it is not available here: $(cat "$work/said")"
    continue
  fi
  echo "--- $backend"
  at_nginx
  at_node
done
