#!/usr/bin/env bash
# Tests of tools/check_format.sh: it fails on a badly formatted file, repairs
# it, and does not pass for want of files.
#
# Usage: tests/tools/check_format_test.sh
#
# Exit codes: 0 passed, 1 failed, 77 skipped because clang-format 14 is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
check=$root/tools/check_format.sh

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

expect() {
  local wanted=$1 got=0
  shift
  "$@" 2>errors || got=$?
  [[ $got -eq $wanted ]] || fail "$* exits with $got, not $wanted"
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cp "$root/.clang-format" .
printf 'int  Sum(int a,int b) { return a+b; }\n' >bad.cc
printf 'int Sum(int a, int b) { return a + b; }\n' >good.cc

got=0
"$check" good.cc 2>errors || got=$?
if [[ $got -eq 2 ]] && grep -q 'needs clang-format 14' errors; then
  echo "skipped: clang-format 14 is not installed"
  exit 77
fi
[[ $got -eq 0 ]] || fail "a well formatted file is not accepted"
expect 1 "$check" good.cc bad.cc
grep -q '^bad\.cc:1:' errors || fail "the file is not named"
expect 0 "$check" --fix good.cc bad.cc
cmp good.cc bad.cc || fail "the file is not repaired"
expect 2 "$check" none.txt
