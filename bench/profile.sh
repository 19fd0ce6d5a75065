#!/usr/bin/env bash
# Counts the instructions that an allocator executes, exactly, path by path.
#
# Usage:   bench/profile.sh [--build=DIR] [--paths="hot ..."] [--sizes="8 ..."]
#                           [NAME=LIBRARY]...
#          bench/profile.sh --check | --update [--build=DIR]
#          Without names: spanmalloc from the build tree. `glibc=` (no library)
#          stands for the system's malloc.
#
#   --check   compares spanmalloc with profile.golden; every difference counts
#   --update  writes profile.golden anew
#
# Prints:  For each path and operation a table of instructions per call: a line
#          for each library, a column for each size.
# Paths:   hot           one object out and back: what most calls are
#          calloc        the same with calloc, which clears the object
#          realloc       a size that differs by one: the block stays
#          new_delete    operator new and sized operator delete
#          refill        50,000 objects (32 MiB at most) in a new process
#          flush_fifo    as many allocated in a row and then freed: oldest first,
#          flush_lifo      newest first,
#          flush_random    in random order; in their second round
#          hot_guest     hot, where objects live in the slack of longer ones
#          flush_guest   flush_random, likewise
#          remote        1,000 objects, freed by another thread, in turns
#          large         hot, with sizes of the page level
#          start         a program that allocates once, from exec to exit:
#                        `program` all of it, `library` the allocator's own part
#
# Counted: valgrind's callgrind collects only inside the functions Counted... of
#          the program paths. Each makes one call and nothing else; the figure is
#          what is executed below it, from the first instruction of malloc to
#          its return, with all that it calls. Loops, the loading of arguments
#          and the call instruction are left out. Work that is due only now and
#          then (refill, flush, upkeep) counts with its share of the calls.
#          A string instruction (rep stosb) counts once for each round; the
#          kernel's part of a system call is not counted at all.
# Repeats: Exactly, whatever else runs, unless the library acts by time or
#          random numbers; threads take turns. The environment is empty, and
#          spanmalloc is kept from asking whether the system has huge pages, and
#          from giving memory back, which goes by time.
#          `start program` depends on libc and on the length of file names, so
#          profile.golden has no line for it. callgrind leaves malloc alone: the
#          preloaded library really runs. It offers no rseq: a library that
#          relies on that shows its fallback.
# Cost:    Less than a second for each library, path and size.
# Failure: A library that is missing, does not run under valgrind or was not
#          used is shown as "-" with the reason on stderr; so is, without
#          reason, one that has no operator new.
#
# Exit codes: 0 all counted, no difference, or "skipped" (no valgrind; or the
# golden file holds for another compiler, C library or processor), 1 something
# was not counted or differs, 2 wrong usage or nothing built.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
golden=$root/bench/profile.golden
mode=tables
paths=(hot calloc realloc new_delete refill flush_fifo flush_lifo flush_random
  hot_guest flush_guest remote large start)
declare -A sizes=(
  [hot]="8 64 256 1000 4000 16384 32768"
  [calloc]="8 64 1000"
  [realloc]="64 1000 32768 262144"
  [new_delete]="8 64 1000"
  [refill]="16 64 256 1024 8192"
  [flush_fifo]="16 64 256 1024 8192"
  [flush_lifo]="16 64 256 1024 8192"
  [flush_random]="16 64 256 1024 8192"
  [hot_guest]="4 8"
  [flush_guest]="4 8"
  [remote]="16 64 256 1024 8192"
  [large]="65536 262144 1048576 8388608"
  [start]="program library"
)
operations="malloc calloc realloc new free delete run"
libraries=()
declare -A failed=()
status=0

fail() {
  echo "profile.sh: $1" >&2
  exit 2
}

chosen_paths=
chosen_sizes=
for argument in "$@"; do
  case $argument in
    --build=*) build=${argument#*=} ;;
    --paths=*) chosen_paths=${argument#*=} ;;
    --sizes=*) chosen_sizes=${argument#*=} ;;
    --golden=*) golden=${argument#*=} ;;  # For the test of this script.
    --check | --update) mode=${argument#--} ;;
    --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) fail "unknown argument: $argument" ;;
    ?*=*) libraries+=("$argument") ;;
    *) fail "not of the form NAME=LIBRARY: $argument" ;;
  esac
done
if [[ $mode != tables && -n "${libraries[*]}$chosen_paths$chosen_sizes" ]]; then
  fail "--$mode is about all of spanmalloc: no names, paths or sizes"
fi
[[ ${#libraries[@]} -gt 0 ]] ||
  libraries=("spanmalloc=$build/libspanmalloc.so")
[[ -z $chosen_paths ]] || read -r -a paths <<<"$chosen_paths"
for path in "${paths[@]}"; do
  [[ -n ${sizes[$path]-} ]] || fail "no such path: $path"
  [[ -z $chosen_sizes || $path == start ]] || sizes[$path]=$chosen_sizes
done

if ! valgrind=$(command -v valgrind); then
  [[ $mode == check ]] || fail "valgrind is not installed"
  echo "skipped: valgrind is not installed"
  exit 0
fi
for file in paths trivial; do
  [[ -x $build/bench/$file ]] || fail "$build/bench/$file is not built"
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# ---- Counting

# Reads a callgrind file: prints "OPERATION CALLS INSTRUCTIONS" for each of the
# functions Counted... . The line after "calls=" has what the calls cost.
count_calls() {
  awk -v operation_list="$operations" '
    /^fn=/ {
      operation = ""
      if (match($0, /^fn=Counted[A-Z][a-z]*/)) {
        operation = tolower(substr($0, 11, RLENGTH - 10))
      }
    }
    /^calls=/ {
      split($0, parts, /[= ]/)
      getline
      if (operation != "") {
        calls[operation] += parts[2]
        cost[operation] += $2
      }
    }
    END {
      split(operation_list, order)
      for (i = 1; i in order; i++) {
        if (!(order[i] in calls)) continue
        print order[i], calls[order[i]], cost[order[i]]
        found = 1
      }
      exit !found
    }' "$1"
}

# The same for a whole run: of everything, or (with a library) of that object.
count_run() {
  awk -v object="$2" '
    /^ob=/ { inside = ($0 == "ob=" object) }
    /^calls=/ { getline; next }
    /^[0-9]/ && (inside || object == "") { cost += $2 }
    END {
      if (!cost) exit 1
      print "run", 1, cost
    }' "$1"
}

# Whether the library's code was collected. Objects that valgrind cannot read
# appear as "???": then the loader's silence has to do.
was_used() {
  ! grep -q "cannot be preloaded" "$scratch/errors" &&
    grep -qxF -e "ob=$1" -e "cob=$1" -e "cob=???" "$2"
}

# Prints the counts of one library for one path and size. Status 3: it lacks the
# entry points; any other failure has left its reason in `errors`.
count() {
  local library=$1 path=$2 size=$3 out=$scratch/callgrind.out result=0
  local options=(--tool=callgrind --compress-strings=no --compress-pos=no
    --callgrind-out-file="$out")
  local environment=(PATH=/usr/bin:/bin LD_PRELOAD="$library")
  local program=("$build/bench/paths" "$path" "$size")
  if [[ $path == start ]]; then
    program=("$build/bench/trivial")
  else
    options+=(--toggle-collect='Counted*')
    environment+=(SPANMALLOC_OPTIONS=huge_page_threshold=128T,scavenger=off)
  fi
  rm -f "$out"
  # The braces keep bash's own word on a program that aborts to itself.
  {
    env -i "${environment[@]}" "$valgrind" "${options[@]}" "${program[@]}" \
      >/dev/null 2>"$scratch/errors" || result=$?
  } 2>/dev/null
  if [[ $result -eq 3 ]]; then return 3; fi
  if [[ $result -ne 0 || ! -s $out ]]; then return 1; fi
  if [[ -n $library ]] && ! was_used "$library" "$out"; then
    echo "the library was not used" >>"$scratch/errors"
    return 1
  fi
  case $path-$size in
    start-program) count_run "$out" "" ;;
    start-library) [[ -z $library ]] || count_run "$out" "$library" ;;
    *) count_calls "$out" ;;
  esac
}

# Appends "PATH SIZE NAME OPERATION CALLS INSTRUCTIONS" lines to `counts`. A
# library that failed once is left alone from then on.
count_path() {
  local path=$1 pair name library size result
  for pair in "${libraries[@]}"; do
    name=${pair%%=*}
    library=${pair#*=}
    [[ -z ${failed[$name]-} ]] || continue
    [[ -z $library ]] || library=$(realpath "$library")
    for size in ${sizes[$path]}; do
      result=0
      count "$library" "$path" "$size" >"$scratch/lines" || result=$?
      if [[ $result -ne 0 ]]; then
        if [[ $result -ne 3 ]]; then
          echo "profile.sh: $name: $path, $size: not counted" >&2
          awk '!/^==|^ *$/ && ++n <= 3 { print "    " $0 }' \
            "$scratch/errors" >&2
          failed[$name]=1
          status=1
        fi
        break
      fi
      awk -v key="$path $size $name" '{ print key, $0 }' "$scratch/lines" \
        >>"$scratch/counts"
    done
  done
}

# ---- Tables

# Prints what `counts` has about a path: a table for each operation, and one for
# both together where there are two.
print_tables() {
  awk -v path="$1" -v size_list="${sizes[$1]}" -v name_list="$2" \
    -v operation_list="$operations" '
    function print_table(operation,   n, s, key) {
      printf "%-24s", path (operation == "run" ? "" : " " operation)
      for (s = 1; s <= size_count; s++) printf "%11s", size[s]
      print ""
      for (n = 1; n <= name_count; n++) {
        printf "%-24s", name[n]
        for (s = 1; s <= size_count; s++) {
          key = operation SUBSEP size[s] SUBSEP name[n]
          if (!(key in each)) printf "%11s", "-"
          else printf operation == "run" ? "%11d" : "%11.1f", each[key]
        }
        print ""
      }
      print ""
    }
    BEGIN {
      size_count = split(size_list, size)
      name_count = split(name_list, name)
      operation_count = split(operation_list, all)
    }
    $1 == path {
      each[$4, $2, $3] = $6 / $5
      each["pair", $2, $3] += $6 / $5
      seen[$4] = 1
    }
    END {
      for (o = 1; o <= operation_count; o++) {
        if (all[o] in seen) { print_table(all[o]); tables++ }
      }
      if (tables == 2) print_table("pair")
    }' "$scratch/counts"
}

# ---- The golden file

# A variable of the build tree.
cached() {
  sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

# What the counts depend on, in one line. valgrind shows every program the same
# processor, but for AVX2, by which libc chooses its memmove.
conditions() {
  local type compiler flags
  type=$(cached CMAKE_BUILD_TYPE)
  flags="$(cached CMAKE_CXX_FLAGS) $(cached "CMAKE_CXX_FLAGS_${type^^}")"
  compiler=$(readelf --string-dump=.comment "$build/libspanmalloc.so" |
    sed -nE 's/^ *\[ *[0-9a-f]+\] +//p' | sort | paste -s -d '+')
  echo "$(uname -m), $compiler, ${flags# }," \
    "assert level $(cached SPANMALLOC_ASSERT_LEVEL)," \
    "$(getconf GNU_LIBC_VERSION)," \
    "$(grep -qw avx2 /proc/cpuinfo && echo AVX2 || echo no AVX2)," \
    "address space $(ulimit -v)"
}

print_golden() {
  cat <<EOF
# Instructions that spanmalloc executes, as bench/profile.sh counts them:
# compared by its --check, rewritten by its --update.
# Holds for: $1
#
# path              size  operation   calls  instructions      each
EOF
  awk '{
    printf "%-12s %9s  %-9s %7d %13d %9.2f\n", $1, $2, $4, $5, $6, $6 / $5
  }' "$scratch/counts"
}

# ---- What was asked for

: >"$scratch/counts"
usable=()
names=" "
for pair in "${libraries[@]}"; do
  [[ $names != *" ${pair%%=*} "* ]] || fail "named twice: ${pair%%=*}"
  names+="${pair%%=*} "
  if [[ -n ${pair#*=} && ! -r ${pair#*=} ]]; then
    echo "profile.sh: ${pair%%=*}: no such library: ${pair#*=}" >&2
    status=1
  else
    usable+=("$pair")
  fi
done
libraries=(${usable[@]+"${usable[@]}"})

if [[ $mode == tables ]]; then
  for path in "${paths[@]}"; do
    count_path "$path"
    print_tables "$path" "$names"
  done
  exit "$status"
fi

[[ $status -eq 0 ]] || exit 2
here_and_now=$(conditions)
if [[ $mode == check ]]; then
  [[ -r $golden ]] || fail "no golden file: $golden"
  wanted=$(sed -n 's/^# Holds for: //p' "$golden")
  if [[ $wanted != "$here_and_now" ]]; then
    echo "skipped: the golden file holds for"
    echo "    $wanted"
    echo "and this is"
    echo "    $here_and_now"
    exit 0
  fi
fi
sizes[start]=library
for path in "${paths[@]}"; do count_path "$path"; done
[[ $status -eq 0 ]] || exit 1
print_golden "$here_and_now" >"$scratch/golden"
if [[ $mode == update ]]; then
  cp "$scratch/golden" "$golden"
elif diff -u --label "profile.golden" --label "now" "$golden" \
  "$scratch/golden"; then
  echo "$(grep -vc '^#' "$golden") counts as in profile.golden"
else
  echo "profile.sh: counts differ; --update takes them over" >&2
  exit 1
fi
