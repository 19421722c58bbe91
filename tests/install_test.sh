#!/usr/bin/env bash
# Does an installed weir serve a project that knows nothing of Bazel?
#   install_test.sh tools/install INSTALL_TREE
set -euo pipefail

install=$PWD/$1
tree=$PWD/$2
outside=$PWD/tests/outside
scratch=$(mktemp -d /tmp/weir-install-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
  echo "FAILED: $1" >&2
  exit 1
}

exits_with() {
  local expected=$1 status=0
  shift
  "$@" > output.txt 2>&1 || status=$?
  ((status == expected)) || { cat output.txt; fail "$* exits with $status, not $expected"; }
}

echo "== command line"
exits_with 0 "$install" --help
exits_with 2 "$install"
exits_with 2 "$install" --prefix
exits_with 2 "$install" --unknown
exits_with 1 "$install" --prefix here --from .

echo "== install, then move the prefix"
mkdir -p first/include/weir/net
touch first/include/weir/net/header_of_an_older_version.h
"$install" --prefix first --from "$tree"
[[ ! -e first/include/weir/net/header_of_an_older_version.h ]] || fail "an old header survived"
mv first moved
prefix=$scratch/moved

echo "== the headers stand on std and weir alone"
(cd "$prefix/include" && find weir -name '*.h' -printf '#include "%p"\n' | sort) > all.cc
[[ -s all.cc ]] || fail "no headers"
g++ -std=c++23 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$prefix/include" all.cc
# iovec is the one type of the system that they name.
! grep -rnE '#include <.*(\.h|/.*)>' "$prefix/include" | grep -v '<sys/uio.h>' ||
  fail "a public header includes a system header"

echo "== pkg-config"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -ra flags < <(pkg-config --cflags --libs weir)
g++ -std=c++23 -Wall -Wextra -Werror "$outside/main.cc" "${flags[@]}" -o by_pkg_config
timeout 30 ./by_pkg_config

echo "== CMake"
cmake -S "$outside" -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER=g++ > cmake.txt 2>&1 ||
  { cat cmake.txt; fail "cmake does not find weir"; }
cmake --build build > make.txt 2>&1 || { cat make.txt; fail "the CMake project does not build"; }
timeout 30 build/outside
