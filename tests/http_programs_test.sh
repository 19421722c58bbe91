#!/usr/bin/env bash
# http_programs_test.sh HTTP_PROGRAMS_TEST_PY PROGRAM... [WORD...]
exec python3 "$@"
