#!/usr/bin/env bash
# curl at the static files of the demo server, on both backends: whole files and parts of them, a
# download that is resumed, and what curl asks with a date or an entity tag.
#   static_files_curl_test.sh DEMO_SERVER
set -euo pipefail

demo_server=$1

. "$(dirname "$0")/real_peers.sh"

have curl || exit 0

# ask FLAGS... NAME: never for long.
ask() { curl -sS --max-time 120 "${@:1:$#-1}" "$base/${*: -1}"; }

# As the server says it: with -z curl tells a 304 of its own.
status_of() { ask -o /dev/null -D - "$@" | sed -n '1s/^HTTP.1.1 \(...\).*/\1/p'; }

whole_files() {
  local size
  for size in "${sizes[@]}"; do
    ask "$size" | cmp - "$root/$size" || fail "$size bytes"
    ask -I "$size" >"$work/head"
    same "the length of $size" "$size" "$(field_of Content-Length "$work/head")"
    # The length that HEAD says is not waited for.
    same "HEAD of $size" 200 "$(status_of -I "$size")"
  done
  same "one connection for all" "1 0 0 " \
    "$(curl -sS -w '%{num_connects} ' -o /dev/null -o /dev/null -o /dev/null \
      "$base/1" "$base/0" "$base/1048576")"
  echo "ok: whole files"
}

# part RANGE NAME FIRST COUNT
part() {
  ask -r "$1" -D "$work/head" -o "$work/back" "$2"
  cmp -n "$4" -i "$3:0" "$root/$2" "$work/back" || fail "bytes $1 of $2"
  same "as many bytes for $1 of $2" "$4" "$(stat -c %s "$work/back")"
  same "Content-Range of $1 of $2" "bytes $3-$(($3 + $4 - 1))/$2" \
    "$(field_of Content-Range "$work/head")"
}

parts() {
  part 0-0 1 0 1
  part 0-0 4097 0 1
  part 4096-4096 4097 4096 1
  part -1 4097 4096 1
  part -4097 4097 0 4097
  part 4000- 4097 4000 97
  part 100-1048574 1048576 100 1048475
  part 2147483647-2147483648 "$large" 2147483647 2
  part 2147000000- "$large" 2147000000 $((large - 2147000000))
  same "behind the end" 416 "$(status_of -r 4097- 4097)"
  # curl counts what it got; it does not take the parts apart.
  same "several" 206 "$(status_of -r 0-0,2-2,-1 4097)"
  echo "ok: parts"
}

resumed() {
  local name=$large
  head -c 1500000000 "$root/$name" >"$work/back"
  ask -C - -o "$work/back" "$name"
  cmp "$root/$name" "$work/back" || fail "a resumed file"
  # Nothing is missing: the server has no such range, and curl takes that for the end.
  ask -C - -o "$work/back" "$name" || fail "a file that is whole already"
  cmp "$root/$name" "$work/back" || fail "a file that was whole already"
  : >"$work/back"
  ask -C - -o "$work/back" 4097
  cmp "$root/4097" "$work/back" || fail "a file from nothing"
  rm "$work/back"
  echo "ok: resumed"
}

# The tags of files that have just changed are weak.
is_strong() { [[ $(ask -I "$1" | tr -d '\r' | sed -n 's/^ETag: //Ip') == \"*\" ]]; }

# until_true COMMAND...: asks again, for up to 20 s.
until_true() {
  local tries
  for tries in $(seq 1000); do
    if "$@"; then return; fi
    read -r -t 0.02 <>"$work/never" || true
  done
  fail "not within $tries tries: $*"
}

# By the file's date, which has whole seconds. The files are the backend's own: what the server
# knows of a file it may believe for a while.
dates() {
  local name=dated-$1 newer=newer-$1
  cp "$root/4097" "$root/$name"
  touch -d '2020-01-02 03:04:05 UTC' "$root/$name"
  ask -D "$work/head" -o /dev/null "$name"
  same "Last-Modified" "Thu, 02 Jan 2020 03:04:05 GMT" "$(field_of Last-Modified "$work/head")"
  same "since a later day" 304 "$(status_of -z 'Fri, 01 Jan 2021 00:00:00 GMT' "$name")"
  same "since the same second" 304 "$(status_of -z 'Thu, 02 Jan 2020 03:04:05 GMT' "$name")"
  same "since the second before" 200 "$(status_of -z 'Thu, 02 Jan 2020 03:04:04 GMT' "$name")"
  same "not since a later day" 200 "$(status_of -z '-Fri, 01 Jan 2021 00:00:00 GMT' "$name")"
  same "not since an earlier day" 412 "$(status_of -z '-Tue, 01 Jan 2019 00:00:00 GMT' "$name")"
  # The date of the file that curl has written.
  rm -f "$work/back"
  ask -R -o "$work/back" "$name"
  same "the same file" 304 "$(status_of -z "$work/back" "$name")"
  cp "$root/4097" "$root/$newer"
  touch -d '2020-01-02 03:04:07 UTC' "$root/$newer"
  same "a newer one" 200 "$(status_of -z "$work/back" "$newer")"
  until_true is_strong "$newer"
  same "a range since that date" 206 \
    "$(status_of -r 1-2 -H 'If-Range: Thu, 02 Jan 2020 03:04:07 GMT' "$newer")"
  same "a range since an older date" 200 \
    "$(status_of -r 1-2 -H 'If-Range: Thu, 02 Jan 2020 03:04:05 GMT' "$newer")"
  echo "ok: dates"
}

is_status() { [ "$(status_of "${@:2}")" = "$1" ]; }

tags() {
  local name=tagged-$1 tag
  cp "$root/4096" "$root/$name"
  until_true is_strong "$name"
  ask --etag-save "$work/tag" -o /dev/null "$name"
  tag=$(tr -d '\r\n' <"$work/tag")
  ask -D "$work/head" -o /dev/null "$name"
  same "the tag that curl has saved" "$(field_of ETag "$work/head")" "$tag"
  same "the same tag" 304 "$(status_of --etag-compare "$work/tag" "$name")"
  same "its body" 0 "$(ask --etag-compare "$work/tag" "$name" | wc -c)"
  same "HEAD with the same tag" 304 "$(status_of -I -H "If-None-Match: $tag" "$name")"
  same "a list with it" 304 "$(status_of -H "If-None-Match: \"a\", W/\"b\", $tag" "$name")"
  same "the weak one" 304 "$(status_of -H "If-None-Match: W/$tag" "$name")"
  same "any tag" 304 "$(status_of -H 'If-None-Match: *' "$name")"
  same "another tag" 200 "$(status_of -H 'If-None-Match: "a"' "$name")"
  same "If-Match with it" 200 "$(status_of -H "If-Match: $tag" "$name")"
  same "If-Match with another" 412 "$(status_of -H 'If-Match: "a"' "$name")"
  same "If-Match with the weak one" 412 "$(status_of -H "If-Match: W/$tag" "$name")"
  # The tag goes before the date.
  same "another tag, and a date" 200 \
    "$(status_of -H 'If-None-Match: "a"' -z 'Thu, 01 Jan 2099 00:00:00 GMT' "$name")"
  same "a range of the same file" 206 "$(status_of -r 1-2 -H "If-Range: $tag" "$name")"
  same "a range of another file" 200 "$(status_of -r 1-2 -H 'If-Range: "a"' "$name")"
  same "a range by a weak tag" 200 "$(status_of -r 1-2 -H "If-Range: W/$tag" "$name")"
  head -c 4096 "$root/65536" >"$root/$name.new"
  mv "$root/$name.new" "$root/$name"
  until_true is_status 200 --etag-compare "$work/tag" "$name"
  ask "$name" | cmp - "$root/$name" || fail "a new file's bytes"
  echo "ok: tags"
}

# A file in place of which a client may get one that is compressed already.
compressed() {
  ask -D "$work/head" "page.html" | cmp - "$root/page.html" || fail "as it is"
  same "as it is" "" "$(field_of Content-Encoding "$work/head")"
  same "what it depends on" "Accept-Encoding" "$(field_of Vary "$work/head")"
  ask -D "$work/head" -H 'Accept-Encoding: gzip' "page.html" | cmp - "$root/page.html.gz" ||
    fail "the compressed one"
  same "compressed" gzip "$(field_of Content-Encoding "$work/head")"
  same "its type" "$(ask -I page.html | tr -d '\r' | sed -n 's/^Content-Type: //Ip')" \
    "$(field_of Content-Type "$work/head")"
  same "what it depends on" "Accept-Encoding" "$(field_of Vary "$work/head")"
  ask --compressed "page.html" | cmp - "$root/page.html" || fail "by curl's choice"
  ask -H 'Accept-Encoding: gzip;q=0' "page.html" | cmp - "$root/page.html" || fail "refused"
  ask -r 3-7 -H 'Accept-Encoding: gzip' "page.html" >"$work/back"
  cmp -n 5 -i 3:0 "$root/page.html.gz" "$work/back" || fail "a part of it"
  same "as many bytes of it" 5 "$(stat -c %s "$work/back")"
  echo "ok: compressed"
}

directories() {
  ask "sub/" | cmp - "$root/sub/index.html" || fail "the index"
  same "a directory without one" 404 "$(status_of empty/)"
  echo "ok: directories"
}

root=$work/root
large=$(((1 << 31) + 4097))
sizes=(0 1 4095 4096 4097 65536 1048576 104857600 "$large")
mkdir -p "$root/sub" "$root/empty"
mkfifo "$work/never"
for size in "${sizes[@]}"; do
  head -c "$size" /dev/urandom >"$root/$size"
done
seq 1000 >"$root/page.html"
gzip -kn "$root/page.html"
echo "the index" >"$root/sub/index.html"

for backend in epoll io_uring; do
  if ! start "$demo_server" "$backend" --host 127.0.0.1 --port 0 --root "$root" \
    --keep-alive-timeout 600; then
    [ "$backend" = io_uring ] || fail "no server"
    wait "$server" || true
    server=
    echo "SKIP io_uring: it is not available here: $(cat "$work/errors")"
    continue
  fi
  base=http://127.0.0.1:$port/static
  echo "--- $backend"
  whole_files
  parts
  resumed
  dates "$backend"
  tags "$backend"
  compressed
  directories
  stop
done
