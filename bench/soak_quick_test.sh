#!/usr/bin/env bash
# One quick soak of the real servers: it passes, and its figures are JSON that has every server.
set -euo pipefail
soak=$1 echo_server=$2 demo_server=$3 floor=$4
json=$(mktemp)
trap 'rm -f -- "$json"' EXIT

"$soak" --quick --json "$json" \
  --echo-server "$echo_server" --demo-server "$demo_server" --floor-epoll "$floor"
python3 - "$json" << 'END'
import json, sys
soak = json.load(open(sys.argv[1]))
names = [server["server"] for server in soak["servers"]]
assert {"floor epoll", "echo epoll", "web epoll"} <= set(names), names
for server in soak["servers"]:
    assert server["completed"] > 0 and server["wrong"] == 0, server
    assert len(server["p99_us"]) >= 2, server
assert all(one["outcome"] != "FAIL" for one in soak["verdicts"])
END

if "$soak" --minutes x 2> /dev/null; then exit 1; elif (($? != 2)); then exit 1; fi
