#!/usr/bin/env bash
# A year of the replicated key-value service, and the race that is planted in it, replayed.
#   kv_year_test.sh KV_SIMULATION
set -euo pipefail

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

program=$1
year=$("$program") || fail "the year: $year"
echo "$year"
[[ $year == *"virtual time  365 "* ]] || fail "that was no year"
# A heartbeat each minute on each link, but while a node is down.
while read -r due; do
  ((due > 500000 && due <= 525600)) || fail "$due heartbeats were due"
done < <(sed -n 's/.*heartbeats .*due \([0-9]*\).*/\1/p' <<<"$year")

found=$("$program" --plant-race --seeds 20) && fail "the race was not found: $found"
echo "$found"
replay=$(sed -n 's/^replay: kv_simulation //p' <<<"$found")
[ -n "$replay" ] || fail "no line that replays it"
read -ra flags <<<"$replay"
again=$("$program" "${flags[@]}") && fail "the replay finds nothing: $again"
hash_of() { sed -n 's/.*trace hash \([0-9a-f]*\).*/\1/p' <<<"$1" | tail -1; }
[ -n "$(hash_of "$found")" ] || fail "no hash"
[ "$(hash_of "$found")" = "$(hash_of "$again")" ] || fail "the replay went otherwise: $again"
[ "$(grep '^wrong:' <<<"$found")" = "$(grep '^wrong:' <<<"$again")" ] || fail "another finding"
