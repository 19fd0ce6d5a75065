#!/usr/bin/env bash
# Tests of libspanmalloc.so as a file: what it exports, what it needs, and how
# it is linked.
#
# Usage: tests/api/shared_library_test.sh LIBRARY ENTRY_POINTS
#
#   LIBRARY       libspanmalloc.so
#   ENTRY_POINTS  allocator/api/entry_points.def
#
# Exit codes: 0 passed, 1 failed, 77 skipped because readelf is missing.
set -euo pipefail
export LC_ALL=C
library=$1
entry_points=$2

if ! command -v readelf >/dev/null; then
  echo "skipped: readelf (Debian package binutils) is not installed"
  exit 77
fi

failures=0
expect_equal() {
  if [[ $2 != "$3" ]]; then
    echo "FAIL: $1: expected"
    sed 's/^/  /' <<<"$2"
    echo "found"
    sed 's/^/  /' <<<"$3"
    failures=1
  fi
}

dynamic=$(readelf --wide --dynamic "$library")
symbols=$(readelf --wide --dyn-syms "$library")
segments=$(readelf --wide --segments "$library")

# Exactly the entry points, and spanmalloc's own names: each C entry again under
# the prefix, and some that have no other name.
table=$(sed -nE \
  's/^SPANMALLOC_(C|CXX)_ENTRY\([^,]+, *([A-Za-z0-9_]+),.*/\1 \2/p' \
  "$entry_points")
exported=$(awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 != "UND" {
  sub(/@.*/, "", $8); print $8 }' <<<"$symbols" | sort)
expect_equal "exported entry points" \
  "$(awk '{ print $2 }' <<<"$table" | sort)" \
  "$(grep -v '^spanmalloc_' <<<"$exported")"
expect_equal "missing prefixed names" "" \
  "$(comm -13 <(echo "$exported") \
    <(awk '$1 == "C" { print "spanmalloc_" $2 }' <<<"$table" | sort))"

expect_equal "needed libraries" "libc.so.6" \
  "$(sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' <<<"$dynamic")"
expect_equal "soname" "libspanmalloc.so.1" \
  "$(sed -nE 's/.*\(SONAME\).*\[(.*)\]/\1/p' <<<"$dynamic")"
for flag in NODELETE NOW; do
  expect_equal "flag $flag" "$flag" \
    "$(grep FLAGS_1 <<<"$dynamic" | grep -ow "$flag" || true)"
done
expect_equal "relocations in the text" "" \
  "$(grep TEXTREL <<<"$dynamic" || true)"
expect_equal "segments that can be written and executed" "" \
  "$(grep -E 'LOAD.* RWE|GNU_STACK.* RWE' <<<"$segments" || true)"
expect_equal "segment read-only after relocation" "GNU_RELRO" \
  "$(grep -ow GNU_RELRO <<<"$segments" || true)"

# All thread-local storage lies in the surplus that the C library keeps for
# plug-ins; the less of it, the more is left for them.
tls=$(($(awk '$1 == "TLS" { print $6 }' <<<"$segments") + 0))
if ((tls > 256)); then
  echo "FAIL: $tls bytes of thread-local storage, more than 256"
  failures=1
fi
if grep -q '__tls_get_addr' <<<"$symbols"; then
  echo "FAIL: thread-local storage is reached through __tls_get_addr"
  failures=1
fi

exit "$failures"
