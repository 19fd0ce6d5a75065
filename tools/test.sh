#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test.
#
# Usage: tools/test.sh [PRESET...]
#
#   PRESET  a preset of CMakePresets.json; default: release debug
#
# Exit codes: 0 all passed, 1 something failed to install, build or pass.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/install_packages.sh \
  g++ cmake ninja-build libabsl-dev libbenchmark-dev libgtest-dev \
  libncurses-dev binutils python3

if [[ $# -eq 0 ]]; then
  set -- release debug
fi
jobs=$(nproc)
failed=()
for preset in "$@"; do
  echo "== $preset"
  cmake --preset "$preset"
  cmake --build --preset "$preset" --parallel "$jobs"
  ctest --preset "$preset" --parallel "$jobs" || failed+=("$preset")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
