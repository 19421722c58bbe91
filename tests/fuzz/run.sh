#!/usr/bin/env bash
# Builds the fuzzers and runs all of them at the same time, each on a copy of its corpus.
#   tests/fuzz/run.sh SECONDS
# Exits with 1 when one of them finds something; the input is then printed in base64.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

seconds=${1:-}
if [[ $# -ne 1 || ! $seconds =~ ^[1-9][0-9]{0,5}$ ]]; then
  echo "usage: tests/fuzz/run.sh SECONDS" >&2
  exit 2
fi

work=$(mktemp -d /tmp/weir-fuzz-XXXXXX)
declare -A running=()
stop() {
  if ((${#running[@]} > 0)); then kill "${running[@]}" 2> /dev/null || true; fi
  rm -rf -- "$work"
}
trap stop EXIT

bazel build --config=fuzz //tests:fuzzers
programs=$(bazel info --config=fuzz bazel-bin)/tests

for source in tests/fuzz/*_fuzz.cc; do
  target=$(basename -- "$source" _fuzz.cc)
  mkdir -p -- "$work/$target/found"
  cp -r -- "tests/fuzz/corpus/$target" "$work/$target/corpus"
  timeout --kill-after=10 "$((seconds + 60))" "$programs/${target}_fuzz" \
    -max_total_time="$seconds" -timeout=10 -artifact_prefix="$work/$target/found/" \
    "$work/$target/corpus" > "$work/$target/log" 2>&1 &
  running[$target]=$!
done

status=0
for target in "${!running[@]}"; do
  if wait "${running[$target]}"; then
    echo "ok: $target: $(grep DONE "$work/$target/log")"
  else
    echo "FAILED: $target, exit status $?"
    tail -n 100 -- "$work/$target/log"
    for input in "$work/$target/found"/*; do
      [[ -f $input ]] || continue
      echo "---- $(basename -- "$input"), in base64:"
      base64 -- "$input"
    done
    status=1
  fi
  unset "running[$target]"
done
exit "$status"
