#!/usr/bin/env bash
# Where a server's CPU time goes, by function, in the kernel and in user space.
#
#   bazel run -c opt //bench:profile                      # echoes of 64 B x 100, on epoll
#   bazel run -c opt //bench:profile -- http io_uring     # GET /hello x 100, on io_uring
#
#   profile.sh ECHO_SERVER ECHO_LOAD DEMO_SERVER HTTP_LOAD [echo|http] [epoll|io_uring] [SECONDS]
#
# perf(1) looks 4999 times a second at what runs (cpu-clock: a virtual machine has no better event).
# A function's microseconds are its share of the CPU that the load has counted for a message.
set -euo pipefail

echo_server=$1 echo_load=$2 demo_server=$3 http_load=$4 what=${5:-echo} backend=${6:-epoll}
readonly kSeconds=${7:-5}
# Percent: functions with less are not listed.
readonly kLeastOfKernel=1.5 kLeastOfUser=0.3

case $what in
  echo) server=("$echo_server") load=("$echo_load" --duration $((kSeconds + 1))) ;;
  http) server=("$demo_server") load=("$http_load" --seconds $((kSeconds + 1))) ;;
  *) echo "profile: '$what' is neither echo nor http" >&2; exit 2 ;;
esac
if [[ $backend != epoll && $backend != io_uring ]]; then
  echo "profile: '$backend' is neither epoll nor io_uring" >&2
  exit 2
fi
if ! command -v perf > /dev/null; then
  echo "profile: perf is not installed (apt install linux-perf)" >&2
  exit 1
fi

# On a core each, if there are two.
on_server=() on_load=()
mapfile -t cores < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
  while IFS=- read -r from to; do seq "$from" "${to:-$from}"; done)
if ((${#cores[@]} > 1)); then
  on_server=(taskset -c "${cores[0]}") on_load=(taskset -c "${cores[1]}")
fi

work=$(mktemp -d)
server_pid= load_pid=
finish() {
  local pid
  for pid in $server_pid $load_pid; do kill "$pid" 2> /dev/null || true; done
  rm -rf -- "$work"
}
trap finish EXIT

mkfifo "$work/said"
"${on_server[@]}" "${server[@]}" --host 127.0.0.1 --port 0 --backend "$backend" > "$work/said" &
server_pid=$!
exec 3< "$work/said"
read -r line <&3
port=${line##*:}

"${on_load[@]}" "${load[@]}" --port "$port" --connections 100 --server-pid "$server_pid" --json \
  > "$work/load" &
load_pid=$!
"${on_load[@]}" perf record --quiet --event cpu-clock --freq 4999 --pid "$server_pid" \
  --output "$work/perf" -- sleep "$kSeconds"
wait "$load_pid"
load_pid=
kill "$server_pid"
wait "$server_pid"
server_pid=

cpu_us=$(grep -oE '"server_cpu_us_per_(message|request)":[0-9.]+' "$work/load")
echo "$what on $backend, x 100: ${cpu_us##*:} us of CPU each"
perf report --input "$work/perf" --stdio --no-children --sort dso,symbol --field-separator '|' \
  2> /dev/null | awk -F '|' -v cpu="${cpu_us##*:}" \
    -v of_kernel="$kLeastOfKernel" -v of_user="$kLeastOfUser" '
    /^ *[0-9.]+% *\|/ {
      share = $1 + 0
      symbol = $3
      kernel = symbol ~ /^\[k\]/
      total[kernel] += share
      if (share < (kernel ? of_kernel : of_user)) next
      sub(/^\[.\] /, "", symbol)
      sub(/ *$/, "", symbol)
      gsub(/weir::v1::|\(anonymous namespace\)::|std::__cxx11::/, "", symbol)
      printf "%8.3f us %5.1f %%  %-6s  %s\n", share * cpu / 100, share,
             kernel ? "kernel" : "user", substr(symbol, 1, 70)
    }
    END {
      printf "%8.3f us %5.1f %%  kernel  all\n", total[1] * cpu / 100, total[1]
      printf "%8.3f us %5.1f %%  user    all\n", total[0] * cpu / 100, total[0]
      if (total[0] + total[1] == 0) exit 1
    }'
