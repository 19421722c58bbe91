#!/usr/bin/env bash
# seed_programs_test.sh SEED_PROGRAMS_TEST_PY ONE_OF_THE_PROGRAMS ONE_OF_THE_NODE_TWINS [WORD...]
exec python3 "$1" "$(dirname "$2")" "$(dirname "$3")" "${@:4}"
