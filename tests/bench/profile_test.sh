#!/usr/bin/env bash
# Tests of bench/profile.sh, with a valgrind that says what the test wants: how
# counts become figures, what is compared, what is skipped, what fails.
#
# Usage: tests/bench/profile_test.sh LIBRARY
#
#   LIBRARY  libspanmalloc.so
#
# Exit codes: 0 passed, 1 failed, 77 skipped because readelf is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
library=$(realpath "$1")

if ! command -v readelf >/dev/null; then
  echo "skipped: readelf (Debian package binutils) is not installed"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "FAIL: $*" >&2
  cat output >&2
  exit 1
}

# Runs profile.sh with the rest of the arguments; both streams go to `output`.
expect() {
  local wanted=$1 got=0
  shift
  PATH=$folder/bin:$PATH "$root/bench/profile.sh" --build=build \
    --golden=golden "$@" >output 2>&1 || got=$?
  [[ $got -eq $wanted ]] || fail "profile.sh $* exits with $got, not $wanted"
}

# One line that begins with the words, whatever the space between them.
expect_line() {
  local words=$*
  grep -qE "^${words// / +}( |\$)" output || fail "no line $words"
}

# Ten calls of malloc cost 180 and 25 for a memset that malloc calls; ten of
# free cost what the file `free_cost` says; the loop costs 999. `status` is that
# of the program.
mkdir -p bin build/bench
cat >bin/valgrind <<'EOF'
#!/usr/bin/env bash
here=$(dirname "${BASH_SOURCE[0]}")/..
for argument in "$@"; do
  case $argument in
    --callgrind-out-file=*) out=${argument#*=} ;;
  esac
done
cat >"$out" <<END
ob=/somewhere/paths
fn=CountedMalloc
10 999
cob=$(cat "$here/used")
cfn=malloc
calls=10 30
11 205

fn=CountedFree
20 999
cfn=free
calls=10 30
21 $(cat "$here/free_cost")

ob=$(cat "$here/used")
fn=malloc
30 180
cob=/lib/libc.so.6
cfn=memset
calls=10 3
31 25
END
status=$(cat "$here/status")
[[ $status -eq 0 ]] || echo "it says why" >&2
exit "$status"
EOF
chmod +x bin/valgrind
printf '#!/bin/sh\n' | tee build/bench/paths >build/bench/trivial
chmod +x build/bench/*
cp "$library" build/libspanmalloc.so
cat >build/CMakeCache.txt <<'EOF'
CMAKE_BUILD_TYPE:STRING=Release
CMAKE_CXX_FLAGS:STRING=
CMAKE_CXX_FLAGS_RELEASE:STRING=-O2
SPANMALLOC_ASSERT_LEVEL:STRING=0
EOF
realpath build/libspanmalloc.so >used
echo 240 >free_cost
echo 0 >status

# Figures.
expect 0 --paths="hot start" --sizes="8 64"
expect_line hot malloc 8 64
expect_line spanmalloc 20.5 20.5
expect_line hot free 8 64
expect_line spanmalloc 24.0 24.0
expect_line hot pair 8 64
expect_line spanmalloc 44.5 44.5
expect_line start program library
expect_line spanmalloc 2178 180

# Libraries that cannot be counted.
expect 1 --paths=hot --sizes=8 "mine=build/libspanmalloc.so" none=no/such/file
expect_line mine 20.5
expect_line none -
grep -q 'none: no such library' output || fail "no reason is given"
echo /another >used
expect 1 --paths=hot
grep -q 'the library was not used' output || fail "no reason is given"
realpath build/libspanmalloc.so >used
echo 1 >status
expect 1 --paths=hot
grep -q 'it says why' output || fail "no reason is given"
echo 3 >status
expect 0 --paths=new_delete glibc=
grep -q 'it says why' output && fail "a reason is given"

# Wrong usage.
echo 0 >status
expect 2 --paths=nowhere
expect 2 --no-such-option
expect 2 no-name
expect 2 twice= twice=
expect 2 --check glibc=
expect 2 --check # Nothing to compare with yet.

# The golden file: equal, different, and about something else.
expect 0 --update
expect 0 --check
echo 241 >free_cost
expect 1 --check
grep -q '^-hot  *8  *free  *10  *240  *24.00$' output || fail "no difference"
grep -q '^+hot  *8  *free  *10  *241  *24.10$' output || fail "no difference"
echo 1 >status
expect 1 --check
sed -i 's/-O2/-O3/' build/CMakeCache.txt
expect 0 --check
grep -q '^skipped: ' output || fail "it compares what differs anyway"
cp golden before
expect 1 --update
cmp golden before || fail "a golden file without figures is written"

# Without valgrind: all that it needs, and no more.
mkdir few
for tool in bash dirname; do ln -s "$(command -v $tool)" few/; done
PATH=few "$root/bench/profile.sh" --build=build --golden=golden --check \
  >output 2>&1 || fail "it fails for want of valgrind"
grep -q '^skipped: valgrind is not installed' output || fail "it does not say so"
