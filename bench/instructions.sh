#!/bin/bash
# Counts the instructions of malloc and free together, exactly.
#
# Usage:   bench/instructions.sh [--build=DIR] [--pairs=N] [--sizes="8 64 ..."]
#                                [NAME=LIBRARY]...
#          Without names: spanmalloc from the build tree. `glibc=` (no library)
#          stands for the system's malloc.
# Prints:  A table, a line for each library, a column for each size.
#
# Counted: valgrind's callgrind runs the workload hot_pair, collecting only
#          inside its PairLoop, which a warm-up loop in another function has
#          preceded. The figure is
#              (everything collected - PairLoop's own instructions) / pairs,
#          that is, what is executed below the loop: from the first instruction
#          of malloc to its return, the same for free, and all that they call.
#          The loop, the loading of arguments and the two call instructions are
#          PairLoop's own and so left out; there is no PLT stub (-fno-plt).
#          Work that is due only now and then (refill, flush, upkeep) counts
#          with its share of the pairs.
# Cost:    About a second for each library and size. Counts do not depend on
#          other load, and repeat exactly unless the library acts by time or
#          random numbers. callgrind leaves malloc alone, so the preloaded
#          library really runs; valgrind offers no rseq, so a library that
#          relies on it shows its fallback.
# Failure: A library that is missing, does not run under valgrind or was not
#          used is shown as "-" with the reason on stderr; status 1 at the end.

set -u

build=$(dirname "$0")/../build/release
pairs=20000
sizes="8 16 32 64 128 256 512 1000 1024 2048 4000 8192 16384 32768"
libraries=()
status=0

fail() {
  echo "instructions.sh: $1" >&2
  exit 2
}

for argument in "$@"; do
  case $argument in
    --build=*) build=${argument#*=} ;;
    --pairs=*) pairs=${argument#*=} ;;
    --sizes=*) sizes=${argument#*=} ;;
    --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) fail "unknown argument: $argument" ;;
    ?*=*) libraries+=("$argument") ;;
    *) fail "not of the form NAME=LIBRARY: $argument" ;;
  esac
done
[ ${#libraries[@]} -gt 0 ] || libraries=("spanmalloc=$build/libspanmalloc.so")

program=$build/bench/hot_pair
command -v valgrind >/dev/null || fail "valgrind is not installed"
[ -x "$program" ] || fail "$program is not built"
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

complain() {
  echo "instructions.sh: $1" >&2
  grep -v '^==' "$scratch/errors" | head -3 | sed 's/^/    /' >&2
  status=1
}

# Reads a callgrind file: prints (collected - own cost of PairLoop) / pairs. A
# line that follows "calls=" is the cost of a callee, not the function's own.
count_below_loop() {
  awk -v pairs="$pairs" '
    /^fn=/ { inside = ($0 == "fn=PairLoop") }
    /^calls=/ { getline; next }
    /^[0-9]/ && inside { own += $2 }
    /^summary:/ { collected = $2 }
    END {
      if (own == 0 || collected <= own) exit 1
      printf "%.1f\n", (collected - own) / pairs
    }' "$1"
}

# Whether the library's code was collected. Objects that valgrind cannot read
# appear as "???": then the loader's silence has to do.
was_used() {
  ! grep -q "cannot be preloaded" "$scratch/errors" &&
    grep -qxF -e "ob=$1" -e "cob=$1" -e "cob=???" "$2"
}

# Prints the figure for one library and size; fails with a reason in `errors`.
measure() {
  local library=$1 size=$2 out=$scratch/callgrind.out
  rm -f "$out"
  LD_PRELOAD=$library valgrind --tool=callgrind --toggle-collect=PairLoop \
    --compress-strings=no --compress-pos=no --callgrind-out-file="$out" \
    "$program" "$size" "$pairs" 2000 >/dev/null 2>"$scratch/errors" || return 1
  if [ -n "$library" ] && ! was_used "$library" "$out"; then
    echo "the library was not used" >>"$scratch/errors"
    return 1
  fi
  count_below_loop "$out"
}

read -r -a size_list <<<"$sizes"
printf '%-24s' "size"
printf '%8s' "${size_list[@]}"
printf '\n'
for pair in "${libraries[@]}"; do
  name=${pair%%=*}
  library=${pair#*=}
  if [ -n "$library" ] && [ ! -r "$library" ]; then
    echo "instructions.sh: $name: no such library: $library" >&2
    status=1
    continue
  fi
  [ -z "$library" ] || library=$(realpath "$library")
  printf '%-24s' "$name"
  figure=
  for size in "${size_list[@]}"; do  # a library that failed once is left alone
    if [ "$figure" != - ] && ! figure=$(measure "$library" "$size"); then
      complain "$name, $size bytes: not counted"
      figure=-
    fi
    printf '%8s' "$figure"
  done
  printf '\n'
done
exit $status
