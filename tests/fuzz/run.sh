#!/usr/bin/env bash
# Builds the fuzzers and runs them, each for so many seconds on a copy of its corpus.
#   tests/fuzz/run.sh [-j JOBS] SECONDS [TARGET...]
# JOBS at the same time, by default all; a target is the NAME of NAME_fuzz.cc, by default every one.
# An hour each on two cores: tests/fuzz/run.sh -j 2 3600
# Exits with 1 when one of them finds something; the input is then printed in base64.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

usage() {
  echo "usage: tests/fuzz/run.sh [-j JOBS] SECONDS [TARGET...]" >&2
  exit 2
}

jobs=1000
if [[ ${1:-} == -j ]]; then
  jobs=${2:-}
  shift $(($# > 1 ? 2 : 1))
fi
seconds=${1:-}
if [[ ! $seconds =~ ^[1-9][0-9]{0,5}$ || ! $jobs =~ ^[1-9][0-9]{0,3}$ ]]; then usage; fi
targets=("${@:2}")
if ((${#targets[@]} == 0)); then
  for source in tests/fuzz/*_fuzz.cc; do targets+=("$(basename -- "$source" _fuzz.cc)"); done
fi
for target in "${targets[@]}"; do
  if [[ ! -f tests/fuzz/${target}_fuzz.cc ]]; then
    echo "there is no tests/fuzz/${target}_fuzz.cc" >&2
    usage
  fi
done

work=$(mktemp -d /tmp/weir-fuzz-XXXXXX)
declare -A running=()  # targets by process
stop() {
  if ((${#running[@]} > 0)); then kill "${!running[@]}" 2> /dev/null || true; fi
  rm -rf -- "$work"
}
trap stop EXIT

labels=("${targets[@]/#///tests:}")
bazel build --config=fuzz "${labels[@]/%/_fuzz}"
programs=$(bazel info --config=fuzz bazel-bin)/tests

start() {
  local target=$1
  mkdir -p -- "$work/$target/found"
  cp -r -- "tests/fuzz/corpus/$target" "$work/$target/corpus"
  timeout --kill-after=10 "$((seconds + 60))" "$programs/${target}_fuzz" \
    -max_total_time="$seconds" -timeout=10 -artifact_prefix="$work/$target/found/" \
    "$work/$target/corpus" > "$work/$target/log" 2>&1 &
  running[$!]=$target
}

# The verdict on the next one that ends.
status=0
await() {
  local process target input code=0
  wait -n -p process "${!running[@]}" || code=$?
  target=${running[$process]}
  unset "running[$process]"
  if ((code == 0)); then
    echo "ok: $target: $(grep DONE "$work/$target/log")"
    return
  fi
  status=1
  echo "FAILED: $target, exit status $code"
  tail -n 100 -- "$work/$target/log"
  for input in "$work/$target/found"/*; do
    [[ -f $input ]] || continue
    echo "---- $(basename -- "$input"), in base64:"
    base64 -- "$input"
  done
}

for target in "${targets[@]}"; do
  if ((${#running[@]} >= jobs)); then await; fi
  start "$target"
done
while ((${#running[@]} > 0)); do await; done
exit "$status"
