#!/usr/bin/env bash
# Checks the format of C and C++ files with clang-format 14 (.clang-format), and
# of Bazel files where buildifier is installed.
#
# Usage: tools/check_format.sh [--fix] [FILE...]
#
#   --fix  rewrites the files instead
#   FILE   default: every file of the repository that git does not ignore
#
# Exit codes: 0 well formatted, 1 not, 2 no clang-format 14 or no files.
set -euo pipefail

fix=false
if [[ ${1:-} == --fix ]]; then
  fix=true
  shift
fi
if [[ $# -eq 0 ]]; then
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  mapfile -t all < <(git ls-files --cached --others --exclude-standard)
  set -- "${all[@]}"
fi

# Other versions of clang-format disagree in details.
formatter=
for candidate in clang-format-14 clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q 'version 14\.'; then
    formatter=$candidate
    break
  fi
done
if [[ -z $formatter ]]; then
  echo "$0: needs clang-format 14 (Debian package clang-format-14)" >&2
  exit 2
fi

cxx=()
bazel=()
for file in "$@"; do
  [[ -f $file ]] || continue # Deleted, and not yet committed.
  case $file in
    *.c | *.cc | *.h) cxx+=("$file") ;;
    *.bzl | *BUILD.bazel | WORKSPACE) bazel+=("$file") ;;
  esac
done
if [[ ${#cxx[@]} -eq 0 && ${#bazel[@]} -eq 0 ]]; then
  echo "$0: no files to check" >&2
  exit 2
fi

status=0
if [[ ${#cxx[@]} -gt 0 ]]; then
  if $fix; then
    "$formatter" --style=file -i "${cxx[@]}" || status=1
  else
    "$formatter" --style=file --dry-run -Werror "${cxx[@]}" || status=1
  fi
fi
if [[ ${#bazel[@]} -gt 0 ]] && command -v buildifier >/dev/null; then
  if $fix; then
    buildifier -mode=fix "${bazel[@]}" || status=1
  else
    buildifier -mode=check "${bazel[@]}" || status=1
  fi
fi
exit "$status"
