#!/usr/bin/env bash
# From a fresh checkout to a program that runs on spanmalloc.
#
# Installs what is missing for building, builds the release preset, runs Python
# (parsing its own library, on two threads) under LD_PRELOAD, and shows by the
# counts of malloc_stats that its memory came from spanmalloc.
#
# Usage: tools/quickstart.sh
#
# Exit codes: 0 the program ran on spanmalloc, 1 it did not, or something failed
# to install or build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/install_packages.sh g++ cmake ninja-build python3 || exit 1

echo "== building build/release/libspanmalloc.so"
cmake --preset release -DSPANMALLOC_BUILD_TESTS=OFF \
  -DSPANMALLOC_BUILD_BENCH=OFF >/dev/null
cmake --build --preset release --parallel "$(nproc)"

library=$PWD/build/release/libspanmalloc.so
program='
import ast, ctypes, glob, os, sys, threading

def parse(paths):
    for path in paths:
        with open(path, "rb") as file:
            ast.parse(file.read())

paths = sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py"))[:40]
threads = [threading.Thread(target=parse, args=(paths[i::2],)) for i in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"parsed {len(paths)} Python files on {len(threads)} threads")

process = ctypes.CDLL(None)
process.malloc.restype = ctypes.c_void_p
block = process.malloc(ctypes.c_size_t(100))
if not hasattr(process, "spanmalloc_owns"):
    sys.exit("spanmalloc is not in this process")
if not process.spanmalloc_owns(ctypes.c_void_p(block)):
    sys.exit("malloc is not the one of spanmalloc")
process.malloc_stats()
'

echo "== LD_PRELOAD=build/release/libspanmalloc.so python3"
stats=$(mktemp)
trap 'rm -f "$stats"' EXIT
PYTHONMALLOC=malloc LD_PRELOAD=$library python3 -c "$program" 2>"$stats" || {
  cat "$stats" >&2
  exit 1
}
cat "$stats"
if ! grep -Eq '^spanmalloc: [1-9][0-9]{3,} mallocs' "$stats"; then
  echo "malloc_stats did not come from spanmalloc" >&2
  exit 1
fi
echo "== Python's memory came from spanmalloc"
