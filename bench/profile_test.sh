#!/usr/bin/env bash
# profile lists functions of the kernel and of the server, and says what is wrong with its words.
set -euo pipefail

refuses() {
  local status=0 said
  said=$("${@:2}" 2>&1) || status=$?
  [[ $status == 2 && $said == *"$1"* ]] || { echo "exit $status, it says: $said"; exit 1; }
}
refuses "'sing' is neither" "$@" sing
refuses "'kqueue' is neither" "$@" echo kqueue

if ! perf record --quiet --event cpu-clock --output /dev/null true; then
  echo "no perf that may look at processes: its part is skipped"
  exit 0
fi
for what in echo http; do
  text=$("$@" "$what" epoll 1)
  for part in "$what on epoll" " us of CPU each" "%  kernel  all" "%  user    all"; do
    [[ $text == *"$part"* ]] || { echo "not there: $part"; echo "$text"; exit 1; }
  done
  # Whether the kernel's part may be seen is its own decision.
  [[ $text =~ [1-9][0-9.]*\ %\ \ user\ \ \ \ all ]] || { echo "no time of the server: $text"; exit 1; }
done
