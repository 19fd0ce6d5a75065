#!/usr/bin/env python3
"""Runs real programs on spanmalloc and compares what they say with a run without it.

    run.py --library build/release/libspanmalloc.so           every program
    run.py --library build/release/libspanmalloc.so git perl  these
    run.py --list

Each program is a function in scripting.py, tools.py or servers.py: it gets a Context, runs the
program on its input, checks what it can, and returns a text. The function runs twice, plain and with
LD_PRELOAD; the two texts must be equal, no process may have printed a line of spanmalloc's, and the
library must have been seen in the program's memory map.

Exit status: 0 all passed, 1 one failed, 77 nothing to run here (program not installed).

Not here: times. Nothing in this folder measures anything.
"""

import argparse
import os
import sys
import time
import traceback

import scripting
import servers
import tools
from context import Context, Missing

CASES = {
    case.__name__: case for module in (scripting, tools, servers) for case in module.CASES
}


def run_case(name, library):
    """Returns 'passed', 'failed' or 'skipped', and prints why."""
    case = CASES[name]
    started = time.monotonic()
    texts = []
    try:
        for preload in (None, library):
            with Context(name, preload) as context:
                texts.append(context.normalise(case(context)))
                context.check_preloaded()
    except Missing as missing:
        print(f"{name}: skipped: {missing}")
        return "skipped"
    except Exception:  # Whatever goes wrong is this case's failure; the others go on.
        traceback.print_exc()
        print(f"{name}: FAILED {'with' if texts else 'without'} the library")
        return "failed"
    if texts[0] != texts[1]:
        print(f"--- without\n{texts[0]}\n--- with\n{texts[1]}\n{name}: FAILED: outputs differ")
        return "failed"
    print(f"{name}: passed in {time.monotonic() - started:.1f} s: {texts[0].splitlines()[-1][:100]}")
    return "passed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", help="the shared library to preload")
    parser.add_argument("--list", action="store_true", help="print the names and leave")
    parser.add_argument("programs", nargs="*", help="default: all")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return 0
    if not arguments.library or not os.path.exists(arguments.library):
        parser.error("--library: the path of libspanmalloc.so")
    unknown = [name for name in arguments.programs if name not in CASES]
    if unknown:
        parser.error("unknown: " + ", ".join(unknown))
    results = []
    for name in arguments.programs or CASES:
        results.append(run_case(name, os.path.abspath(arguments.library)))
        sys.stdout.flush()
    counts = {word: results.count(word) for word in ("passed", "failed", "skipped")}
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    if counts["failed"]:
        return 1
    return 0 if counts["passed"] else 77


if __name__ == "__main__":
    sys.exit(main())
