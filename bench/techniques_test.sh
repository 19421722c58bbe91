#!/usr/bin/env bash
# techniques writes a row for each technique that can be left out, with a figure for each workload.
set -euo pipefail

text=$("$@" --quick)
has_figures() {
  [[ $text =~ "| $1 |"(" "[0-9]+\.[0-9]{3}" |"){6} ]] || { echo "no figures of: $1"; echo "$text"; exit 1; }
}
has_figures "epoll: a second time"
has_figures "epoll: without link-time optimization"
[[ $text =~ "| epoll: with everything |"(" "[0-9.]+" |"){2} ]] || { echo "no spinning: $text"; exit 1; }
if [[ $text != *"io_uring: refused"* ]]; then
  for name in buffer_ring incremental multishot_accept defer_taskrun register_ring_fd; do
    has_figures "io_uring: without $name"
  done
fi
