#!/usr/bin/env bash
# status_page_test.sh STATUS_PAGE_TEST_PY DEMO_SERVER [WORD...]
exec python3 "$@"
