# For the tests with programs of others: a place to work in, what ends with the test, what is said
# when it fails.

work=$(mktemp -d /tmp/weir-test-XXXXXX)
server=  # pids of what runs
proxy=

cleanup() {
  local pid
  for pid in $server $proxy; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

# What the programs have complained of is in errors, what the last one has said in said.
fail() {
  echo "FAILED: $*" >&2
  local file
  for file in errors said; do
    if [ -s "$work/$file" ]; then echo "$file: $(cat "$work/$file")" >&2; fi
  done
  exit 1
}

# have PROGRAM: or says that what needs it is skipped.
have() {
  command -v "$1" >/dev/null && return
  echo "SKIP $1: it is not here"
  return 1
}

same() {  # same WHAT EXPECTED GOT
  [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

same_file() {  # same_file WHAT EXPECTED GOT
  cmp "$2" "$3" || fail "$1: other bytes"
}

# The value of a field in a file with a head; nothing when it is not there.
field_of() { tr -d '\r' <"$2" | sed -n "s/^$1: //Ip"; }

# ---- A server of ours ----

# start PROGRAM BACKEND FLAGS...: waits until it listens; sets `server`, and `port` or its path; the
# rest of its output is at descriptor 3. False when it did not start.
start() {
  rm -f "$work/out"
  mkfifo "$work/out"
  "$1" --backend "$2" "${@:3}" >"$work/out" 2>"$work/errors" &
  server=$!
  exec 3<"$work/out"
  local line
  read -r -t 20 -u 3 line || return 1
  [[ $line == "listening on "* ]] || fail "the server says: $line"
  port=${line##*[: ]}
}

stop() {
  kill -TERM "$server"
  wait "$server" || fail "the server left with $?"
  server=
  exec 3<&-
  [ ! -s "$work/errors" ] || fail "the server was not content"
}
