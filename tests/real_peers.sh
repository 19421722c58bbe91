# For the tests with programs of others, which have a fail() of their own.

# have PROGRAM: or says that what needs it is skipped.
have() {
  command -v "$1" >/dev/null && return
  echo "SKIP $1: it is not here"
  return 1
}

same() {  # same WHAT EXPECTED GOT
  [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

same_file() {  # same_file WHAT EXPECTED GOT
  cmp "$2" "$3" || fail "$1: other bytes"
}
