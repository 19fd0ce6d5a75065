#!/usr/bin/env bash
# Installs what the benchmarks need, and lists what is there.
#
# Usage: bench/setup.sh [--list | --help]
#
#   --list  installs nothing
#
# Installed are Debian packages: what builds the benchmarks, other allocators to
# compare with, and the programs of bench/programs/. What is there already is
# left as it is. A package that this version of Debian does not have is named,
# and the benchmarks leave out what it brings.
#
# Prints:  each package with its version, or "missing"
#
# Exit codes: 0 all are there, 1 some are missing, 2 wrong usage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=(cmake g++ libbenchmark-dev ninja-build python3 valgrind)
allocators=(libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4)
programs=(g++ ghostscript git lua5.4 python3 redis-tools rocksdb-tools ruby
  sqlite3 z3)

install=true
case ${1:-} in
  "") ;;
  --list) install=false ;;
  --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" && exit 0 ;;
  *) echo "usage: $0 [--list | --help]" >&2 && exit 2 ;;
esac

# Together, or one by one where one of them cannot be had.
if $install; then
  all=("${tools[@]}" "${allocators[@]}" "${programs[@]}")
  if ! tools/install_packages.sh "${all[@]}"; then
    for package in "${all[@]}"; do
      tools/install_packages.sh "$package" || true
    done
  fi
fi

status=0
list() {
  local title=$1 package state version
  shift
  echo "$title"
  for package in "$@"; do
    state=missing
    version=
    read -r state version < <(dpkg-query -W \
      -f='${db:Status-Status} ${Version}\n' "$package" 2>/dev/null) || true
    if [[ $state != installed ]]; then
      version=missing
      status=1
    fi
    printf '  %-20s  %s\n' "$package" "$version"
  done
}
list "to build and to measure" "${tools[@]}"
list "allocators" "${allocators[@]}"
list "programs" "${programs[@]}"
exit $status
