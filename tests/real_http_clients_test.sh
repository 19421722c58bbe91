#!/usr/bin/env bash
# curl, Node, wrk, h2load and ab as clients of the demo server, and nginx and haproxy in front of
# it, on both backends; and the server of the document that weir started from, with curl.
#   real_http_clients_test.sh DEMO_SERVER UNIX_SERVER NODE_CLIENT
# What a tool is missing for is skipped, and says so.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # of nginx, haproxy and ss

demo_server=$1
unix_server=$2
node_client=$3

. "$(dirname "$0")/real_peers.sh"

# ask FLAGS... PATH: curl at the server; never for long.
ask() {
  local path=${*: -1}
  curl -sS --max-time 60 "${to[@]}" "${@:1:$#-1}" "$base$path"
}

status_of() { ask -o /dev/null -w '%{http_code}' "$@"; }

# ---- curl ----

curl_small() {
  same "GET /" OK "$(ask /)"
  same "OPTIONS /" OK "$(ask -X OPTIONS /)"
  same "POST /" "some body" "$(ask --data-binary "some body" /)"
  same "GET /hello" "Hello, World!" "$(ask -D "$work/head" /hello)"
  same "its type" text/plain "$(field_of Content-Type "$work/head")"
  same "its length" 13 "$(field_of Content-Length "$work/head")"
  ask --head /hello >"$work/head"
  same "HEAD /hello" 13 "$(field_of Content-Length "$work/head")"
  same "POST /echo" "a b" "$(ask --data-binary "a b" /echo)"
  same "an empty POST" "" "$(ask --data-binary "" /echo)"
  same "GET /cookie" $'a=1\nb=two' "$(ask -b 'a=1; b=two' /cookie)"
  same "PUT /headers" 1 "$(ask -X PUT -H 'X-Mixed-Case: Kept' /headers |
    grep -cFx 'X-Mixed-Case: Kept')"
  same "GET /pipeline" ok "$(ask /pipeline)"
  echo "ok: curl, small requests"
}

curl_numbers() {
  same "/sum" 3 "$(ask '/sum?a=1&b=2')"
  same "/sum with a body" 10 "$(ask --data-binary 7 '/sum?a=1&b=2')"
  same "/sum with chunks" 10 "$(ask -H 'Transfer-Encoding: chunked' -d 7 '/sum?a=1&b=2')"
  local query
  for query in a=x a= a=1.5 a=9223372036854775808 'a=9223372036854775807&b=1'; do
    same "/sum?$query" 400 "$(status_of "/sum?$query")"
  done
  same "the largest sum" 9223372036854775807 "$(ask '/sum?a=9223372036854775806&b=1')"
  same "a large number" 413 "$(status_of --data-binary "@$work/1048576" /sum)"
  same "a large number in chunks" 413 \
    "$(status_of -H 'Transfer-Encoding: chunked' --data-binary "@$work/1048576" /sum)"
  same "/chunked" 10240 "$(ask /chunked | wc -c)"
  same "large chunks" 20971520 "$(ask '/chunked?n=20&size=1048576' | wc -c)"
  same "many chunks" 200000 "$(ask '/chunked?n=200000&size=1' | tr -cd x | wc -c)"
  same "no chunks" 0 "$(ask '/chunked?n=0' | wc -c)"
  for query in n=-1 n=1000001 size=0 size=1048577 'n=1000000&size=1048576' n=x \
    n=99999999999999999999; do
    same "/chunked?$query" 400 "$(status_of "/chunked?$query")"
  done
  echo "ok: curl, numbers"
}

curl_methods() {
  same "another path" 404 "$(status_of /nowhere)"
  same "POST /hello" 405 "$(status_of -D "$work/head" -d x /hello)"
  same "and what is allowed" "GET, HEAD, OPTIONS" "$(field_of Allow "$work/head")"
  same "GET /upload" 405 "$(status_of -D "$work/head" /upload)"
  same "and what is allowed" "POST, OPTIONS" "$(field_of Allow "$work/head")"
  same "TRACE /" 405 "$(status_of -X TRACE /)"
  same "OPTIONS /echo" 204 "$(status_of -D "$work/head" -X OPTIONS /echo)"
  same "and what is allowed" "POST, OPTIONS" "$(field_of Allow "$work/head")"
  same "OPTIONS *" 204 "$(status_of -X OPTIONS --request-target '*' /)"
  same "a whole URL" OK "$(ask --request-target http://example.org/ /)"
  echo "ok: curl, methods"
}

curl_bodies() {
  local size
  for size in 1 65536 1048576 10485760; do
    ask --data-binary "@$work/$size" /echo >"$work/back"
    same_file "sized echo" "$work/$size" "$work/back"
    ask -H 'Transfer-Encoding: chunked' --data-binary "@$work/$size" /echo >"$work/back"
    same_file "chunked echo" "$work/$size" "$work/back"
    ask --http1.0 --data-binary "@$work/$size" /echo >"$work/back"
    same_file "HTTP/1.0 echo" "$work/$size" "$work/back"
    same "sized upload" "$size" "$(ask --data-binary "@$work/$size" /upload)"
    same "chunked upload" "$size" \
      "$(ask -H 'Transfer-Encoding: chunked' --data-binary "@$work/$size" /upload)"
  done
  same "an empty upload" 0 "$(ask -D "$work/head" --data-binary "" /upload)"
  same "its length" 1 "$(field_of Content-Length "$work/head")"
  ask -v -H 'Expect: 100-continue' --data-binary "@$work/1048576" /echo >"$work/back" \
    2>"$work/talk"
  same_file "echo after 100 Continue" "$work/1048576" "$work/back"
  grep -q '^< HTTP/1.1 100 Continue' "$work/talk" || fail "no 100 Continue"
  same "another expectation" 417 "$(status_of -H 'Expect: miracles' /)"
  # Slower than it comes: the server waits for the client.
  ask --limit-rate 20M --data-binary "@$work/10485760" /echo >"$work/back"
  same_file "slow echo" "$work/10485760" "$work/back"
  echo "ok: curl, bodies"
}

# connects PATH FLAGS...: how many connections each of two requests opens.
connects() { ask -o /dev/null -o /dev/null -w '%{num_connects} ' "${@:2}" "$base$1" "$1"; }

curl_connections() {
  same "connections" "1 0 " "$(connects /)"
  same "connections for /close" "1 1 " "$(connects /close)"
  same "connections of HTTP/1.0" "1 1 " "$(connects / --http1.0)"
  same "kept connections of HTTP/1.0" "1 0 " "$(connects / --http1.0 -H 'Connection: keep-alive')"
  same "HTTP/1.0" "OK" "$(ask --http1.0 /)"
  same "chunks for HTTP/1.0" 10240 "$(ask --http1.0 /chunked | wc -c)"
  echo "ok: curl, connections"
}

curl_files() {
  ask /data/1048576 >"$work/back"
  same_file "a file" "$work/root/data/1048576" "$work/back"
  ask -I /data/1048576 >"$work/head"
  same "its length" 1048576 "$(field_of Content-Length "$work/head")"
  same "a name with escapes" text "$(ask '/a%20file.txt')"
  same "an empty file" 200 "$(status_of /empty)"
  local path
  for path in /../secret /%2e%2e/secret /data/../../secret /..%2fsecret /link /linked/secret \
    //data/1048576 /data/ /fifo /no%zz /data/./1048576; do
    same "GET $path" 404 "$(status_of --path-as-is "$path")"
  done
  same "a directory" 301 "$(status_of /data)"
  same "POST to a file" 405 "$(status_of -d x /data/1048576)"
  echo "ok: curl, files"
}

# ---- Load ----

load() {
  local what said
  if have wrk; then
    said=$(timeout 60 wrk -t 2 -c 16 -d 1s "$base/hello")
    [[ $said == *"requests in"* && $said != *Non-2xx* && $said != *"Socket errors"* ]] ||
      fail "wrk: $said"
    echo "ok: wrk"
  fi
  if have h2load; then
    said=$(timeout 60 h2load --h1 -n 5000 -c 16 "$base/hello")
    [[ $said == *"5000 succeeded, 0 failed, 0 errored"* ]] || fail "h2load: $said"
    said=$(timeout 60 h2load --h1 -n 5000 -c 16 -m 8 "$base/pipeline")
    [[ $said == *"5000 succeeded, 0 failed, 0 errored"* ]] || fail "h2load in pipelines: $said"
    said=$(timeout 60 h2load --h1 -n 200 -c 4 -d "$work/65536" "$base/echo")
    [[ $said == *"200 succeeded, 0 failed, 0 errored"* ]] || fail "h2load with bodies: $said"
    echo "ok: h2load"
  fi
  if have ab; then
    for what in "$base/" "-p $work/65536 $base/echo"; do
      # shellcheck disable=SC2086
      said=$(timeout 60 ab -q -k -n 2000 -c 16 $what 2>&1) || fail "ab: $said"
      said=$(tr -s ' ' <<<"$said")
      [[ $said == *"Complete requests: 2000"* && $said == *"Failed requests: 0"* &&
        $said == *"Keep-Alive requests: 2000"* && $said != *Non-2xx* ]] || fail "ab: $said"
    done
    echo "ok: ab"
  fi
}

node_requests() {
  have node || return 0
  timeout 60 node "$node_client" "$1" || fail "Node"
}

# ---- Proxies ----

# They listen at Unix sockets, whose names are ours alone.
nginx_config() {
  cat <<CONFIG
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/proxy_errors;
events {}
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path $work/nginx_body;
  proxy_temp_path $work/nginx_proxy;
  fastcgi_temp_path $work/nginx_fastcgi;
  uwsgi_temp_path $work/nginx_uwsgi;
  scgi_temp_path $work/nginx_scgi;
  upstream weir { server 127.0.0.1:$port; keepalive 4; keepalive_timeout 600s; }
  server {
    listen unix:$work/proxy;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / { proxy_pass http://weir; }
    location /streamed/ {
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_pass http://weir/;
    }
  }
}
CONFIG
}

haproxy_config() {
  cat <<CONFIG
global
  nbthread 1
defaults
  mode http
  timeout connect 20s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind unix@$work/proxy
  http-request replace-path /streamed(/.*) \1
  default_backend weir
backend weir
  server weir 127.0.0.1:$port pool-purge-delay 600s
CONFIG
}

start_proxy() {
  rm -f "$work/proxy"
  "$1_config" >"$work/$1.conf"
  local command=(haproxy -db -f "$work/haproxy.conf")
  if [ "$1" = nginx ]; then
    command=(nginx -p "$work" -e "$work/proxy_errors" -c "$work/nginx.conf")
  fi
  # Nothing but the command: its pid is what is killed in the end.
  "${command[@]}" >"$work/proxy_out" 2>&1 &
  proxy=$!
  local tries
  for tries in $(seq 500); do
    if [ "$(ask / 2>/dev/null)" = OK ]; then return; fi
    kill -0 "$proxy" 2>/dev/null || break
    read -r -t 0.02 <>"$work/never" || true
  done
  fail "$1 does not answer after $tries tries: $(cat "$work/proxy_out" "$work/proxy_errors")"
}

# The clients' ends of the server's connections, one a line.
connected() { ss -Htn state established "sport = :$port" | tr -s ' ' | cut -d ' ' -f 4; }

# Those of the clients before the proxy may be about to go.
until_one_connected() {
  local tries
  for tries in $(seq 500); do
    if [ "$(connected | wc -l)" = 1 ]; then return; fi
    read -r -t 0.02 <>"$work/never" || true
  done
  fail "not one connection after $tries tries: $(connected)"
}

behind() {
  have "$1" || return 0
  local to=(--unix-socket "$work/proxy") base=http://localhost before request prefix size
  local sizes
  start_proxy "$1"
  until_one_connected
  before=$(connected)
  for request in 1 2 3 4 5; do
    same "$1: request $request" "Hello, World!" "$(ask /hello)"
  done
  same "$1: POST" "some body" "$(ask -d "some body" /echo)"
  same "$1: HEAD" 200 "$(status_of -I /hello)"
  same "$1: the connection to the server" "$before" "$(connected)"
  # nginx sends no more of a body once the response has begun: what it gets back must be so small
  # that it has been sent at once.
  sizes=(8000)
  if [ "$1" = haproxy ]; then sizes+=(10485760); fi
  for prefix in "" /streamed; do
    for size in "${sizes[@]}"; do
      ask --data-binary "@$work/$size" "$prefix/echo" >"$work/back"
      same_file "$1: sized echo" "$work/$size" "$work/back"
      ask -H 'Transfer-Encoding: chunked' --data-binary "@$work/$size" "$prefix/echo" >"$work/back"
      same_file "$1: chunked echo" "$work/$size" "$work/back"
    done
  done
  same "$1: chunks" 1000000 "$(ask '/chunked?n=1000&size=1000' | wc -c)"
  same "$1: /close" bye "$(ask /close)"
  same "$1: after it" OK "$(ask /)"
  same "$1: 404" 404 "$(status_of /nowhere)"
  if have node; then timeout 60 node "$node_client" "$work/proxy" proxied || fail "Node at $1"; fi
  kill -TERM "$proxy"
  wait "$proxy" || true
  proxy=
  echo "ok: $1 in front"
}

# ---- The server of the first document ----

# What the wire has for a file: chunks of a number each, and the file.
numbers_in_chunks() {
  local number
  for number in {0..99}; do printf '%x\r\n%s\n\r\n' $((${#number} + 1)) "$number"; done
  printf '%x\r\n' "$(stat -c %s "$1")"
  cat "$1"
  printf '\r\n0\r\n\r\n'
}

# Until nobody listens at the Unix socket any more: the kernel ends a killed process's ring, and what
# that holds, after the process itself.
until_nobody_listens() {
  local status i
  for i in {1..2000}; do
    status=0
    curl -s --max-time 20 --unix-socket "$1" http://localhost/ >/dev/null || status=$?
    if [ "$status" = 7 ]; then return; fi  # the connection was refused
    sleep 0.01
  done
  fail "somebody still listens at $1"
}

# The server's next line.
says() {
  local line
  read -r -t 20 -u 3 line || fail "the server says nothing, not '$1'"
  same "the server says" "$1" "$line"
}

document_answers() {
  ask '/?file=main.txt' >"$work/back"
  says file=main.txt
  { seq 0 99 && cat "$work/root/main.txt"; } >"$work/expected"
  same_file "numbers and the file" "$work/expected" "$work/back"
  ask --raw -D "$work/head" '/?file=main.txt' >"$work/back"
  says file=main.txt
  numbers_in_chunks "$work/root/main.txt" >"$work/expected"
  same_file "chunks" "$work/expected" "$work/back"
  same "the head" "HTTP/1.1 200 OK|Content-Type: text/plain|Date: |Connection: keep-alive|\
Keep-Alive: timeout=5|Transfer-Encoding: chunked||" \
    "$(tr -d '\r' <"$work/head" | sed 's/^Date: .*/Date: /' | tr '\n' '|')"
  ask "/any/path?x=1&file=data/1048576" >"$work/back"
  says "x=1&file=data/1048576"
  { seq 0 99 && cat "$work/1048576"; } >"$work/expected"
  same_file "numbers and a large file" "$work/expected" "$work/back"
  same "two requests" "1 0 " "$(connects '/?file=main.txt')"
  says file=main.txt
  says file=main.txt
  same "HEAD" 200 "$(status_of -I '/?file=main.txt')"
  says file=main.txt
  same "GET with a body" 200 "$(status_of -X GET -d $'data\n' '/?file=main.txt')"
  says file=main.txt
}

document_refusals() {
  same "no query" 400 "$(status_of /)"
  says null
  same "no name" 400 "$(status_of '/?file=')"
  says file=
  local name
  for name in missing ../secret data/../../secret /etc/passwd link linked/secret data fifo \
    %2e%2e%2fsecret; do
    same "file=$name" 404 "$(status_of "/?file=$name")"
    says "file=$name"
  done
}

document_server() {
  local to=(--unix-socket "$work/socket") base=http://localhost
  start "$unix_server" "$1" --path "$work/socket" --root "$work/root" ||
    fail "it did not start"
  same "where it listens" "$work/socket" "$port"
  document_answers
  document_refusals
  stop
  [ ! -e "$work/socket" ] || fail "the socket's file is still there"
  # Killed, it leaves the file; the next one takes its place only when it is told to.
  start "$unix_server" "$1" --path "$work/socket" --root "$work/root" ||
    fail "it did not start"
  kill -KILL "$server"
  { wait "$server" || true; } 2>/dev/null
  [ -S "$work/socket" ] || fail "there is no stale file"
  until_nobody_listens "$work/socket"
  if start "$unix_server" "$1" --path "$work/socket" --root "$work/root"; then
    fail "it took over the file of another"
  fi
  wait "$server" && fail "it went well without the socket"
  grep -q EADDRINUSE "$work/errors" || fail "no reason given"
  start "$unix_server" "$1" --path "$work/socket" --root "$work/root" --replace-stale ||
    fail "it did not start"
  same "after the stale one" 200 "$(status_of '/?file=main.txt')"
  says file=main.txt
  stop
  echo "ok: the server of the first document"
}

# ---- Flags ----

# refused EXIT_CODE FLAGS...
refused() {
  local code=0
  timeout 20 "$demo_server" "${@:2}" >/dev/null 2>"$work/errors" || code=$?
  same "the exit code for ${*:2}" "$1" "$code"
  same "lines about ${*:2}" 1 "$(wc -l <"$work/errors")"
}

wrong_flags() {
  refused 2 --port 65536
  refused 2 --backend poll
  refused 2 --max-body-bytes -1
  refused 2 --keep-alive-timeout soon
  refused 2 --unix "$work/socket" --threads 2
  refused 1 --host localhost --port 0
  refused 1 --root "$work/1" --port 0
  refused 1 --headers-timeout 2 --request-timeout 1 --port 0
  refused 1 --unix "$work/nowhere/socket"
  echo "ok: wrong flags"
}

# ---- All of it ----

for size in 1 8000 65536 1048576 10485760; do head -c "$size" /dev/urandom >"$work/$size"; done
mkfifo "$work/never"
mkdir -p "$work/root/data"
cp "$work/1048576" "$work/root/data"
echo text >"$work/root/a file.txt"
printf 'The file,\nin two lines.\n' >"$work/root/main.txt"
: >"$work/root/empty"
mkfifo "$work/root/fifo"
echo secret >"$work/secret"
ln -s ../secret "$work/root/link"
ln -s .. "$work/root/linked"

wrong_flags
for backend in epoll io_uring; do
  if ! start "$demo_server" "$backend" --host 127.0.0.1 --port 0 --root "$work/root" \
    --keep-alive-timeout 600; then
    [ "$backend" = io_uring ] || fail "no server"
    wait "$server" || true
    server=
    echo "SKIP io_uring: it is not available here: $(cat "$work/errors")"
    continue
  fi
  echo "--- $backend over TCP"
  to=()
  base=http://127.0.0.1:$port
  curl_small
  curl_numbers
  curl_methods
  curl_bodies
  curl_connections
  curl_files
  load
  node_requests "$port"
  behind nginx
  behind haproxy
  stop

  echo "--- $backend over a Unix socket, and with two threads"
  start "$demo_server" "$backend" --unix "$work/socket" || fail "no server on a Unix socket"
  same "where it listens" "$work/socket" "$port"
  to=(--unix-socket "$work/socket")
  base=http://localhost
  curl_small
  curl_methods
  node_requests "$work/socket"
  stop
  [ ! -e "$work/socket" ] || fail "the socket's file is still there"
  start "$demo_server" "$backend" --host 127.0.0.1 --port 0 --threads 2 --root "$work/root" \
    --max-body-bytes 1000 --max-header-bytes 1000 --request-timeout 30 ||
    fail "no server with two threads"
  to=()
  base=http://127.0.0.1:$port
  same "a body above the limit" 413 "$(status_of --data-binary "@$work/65536" /echo)"
  same "a head above the limit" 431 "$(status_of -H "X-Long: $(seq -s . 500)" /)"
  # Both keep what they have read, and let it go at the end.
  for _ in {1..16}; do
    same "a file of either thread" $'The file,\nin two lines.' "$(ask /static/main.txt)"
  done
  load_threads=$(have wrk && timeout 60 wrk -t 2 -c 16 -d 1s "$base/hello") || true
  [[ $load_threads != *Non-2xx* && $load_threads != *"Socket errors"* ]] || fail "$load_threads"
  stop
  document_server "$backend"
done
