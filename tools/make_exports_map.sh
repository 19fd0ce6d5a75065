#!/bin/sh
# Writes the linker's version script for libspanmalloc.so: of all symbols, only
# the entry points and spanmalloc's own names leave the library.
#
# Usage: tools/make_exports_map.sh allocator/api/entry_points.def > exports.map
#
# The symbols carry no version: a program linked with the library can run with
# any other malloc instead, and the other way round.
#
# Exit codes: 0 written, 1 no entry points found, 2 wrong usage.
set -eu

if [ $# -ne 1 ]; then
  echo "usage: $0 entry_points.def" >&2
  exit 2
fi

names=$(sed -nE \
  's/^SPANMALLOC_(C|CXX)_ENTRY\([^,]+, *([A-Za-z0-9_]+),.*/    \2;/p' "$1")
if [ -z "$names" ]; then
  echo "$0: no entry points in $1" >&2
  exit 1
fi

cat <<MAP
{
  global:
$names
    spanmalloc_*;
  local:
    *;
};
MAP
