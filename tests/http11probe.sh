#!/usr/bin/env bash
# The public HTTP/1.1 compliance suite at the demo server: nothing may fail, and few answers be less
# strict than they could.
#   http11probe.sh DEMO_SERVER PROBE_PY BACKEND
# Exits with 77 when the backend is io_uring and not available here.
set -euo pipefail

server_program=$1
probe=$2
backend=$3
warnings_max=8
seconds_max=600
work=$(mktemp -d /tmp/weir-test-XXXXXX)
server=

cleanup() {
  if [ -n "$server" ]; then { kill -KILL "$server" && wait "$server"; } 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $*" >&2
  if [ -s "$work/errors" ]; then echo "the server's errors: $(cat "$work/errors")" >&2; fi
  exit 1
}

# Bounded; bash takes notice of an end by itself.
await_end() { timeout 20 tail --pid="$server" -f /dev/null || fail "the server does not stop"; }

mkfifo "$work/out"
"$server_program" --host 127.0.0.1 --port 0 --backend "$backend" >"$work/out" 2>"$work/errors" &
server=$!
exec 3<"$work/out"
status=0
read -r -t 20 -u 3 line || status=$?
((status <= 128)) || fail "the server says nothing"
if ((status != 0)); then
  await_end
  status=0
  wait "$server" || status=$?
  server=
  if [ "$backend" = io_uring ] && ((status == 1)) && grep -q '^error: io_uring' "$work/errors"; then
    echo "skipped: io_uring is not available here: $(cat "$work/errors")"
    exit 77
  fi
  fail "the server left with $status"
fi
[[ $line =~ ^listening\ on\ 127\.0\.0\.1:([0-9]+)$ ]] || fail "the server says: $line"
port=${BASH_REMATCH[1]}

status=0
timeout --kill-after=10 "$seconds_max" python3 "$probe" --host 127.0.0.1 --port "$port" \
  >"$work/said" 2>&1 || status=$?
cat "$work/said"
((status != 124 && status != 137)) || fail "the probe was not ready after $seconds_max s"
[[ $(tail -n 1 "$work/said") =~ ^[1-9][0-9]*\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ warned$ ]] ||
  fail "no verdict, exit status $status"
warned=${BASH_REMATCH[2]}
((BASH_REMATCH[1] == 0 && status == 0)) ||
  fail "${BASH_REMATCH[1]} failed, and the probe's exit status is $status"
((warned <= warnings_max)) || fail "$warned warnings, more than $warnings_max"

kill -INT "$server"
await_end
wait "$server" || fail "the server left with $?"
server=
[ ! -s "$work/errors" ] || fail "the server was not content"
echo "ok: $backend"
