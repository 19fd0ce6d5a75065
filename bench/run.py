#!/usr/bin/env python3
"""Compares allocators over the workloads.

Usage:   bench/run.py [--quick] [--rounds=R] [--only=REGEX]... [--out=DIR]
                      [--allocators=NAME,...] [--extra=NAME=PATH | @FILE]...
                      [--build=DIR] [--list]
Example: bench/run.py --quick --only=hot_pair --extra=mimalloc3=/opt/libmimalloc.so

Method:  Round by round, each workload runs once under every allocator, in an
         order that is rotated from round to round, so that a disturbance of the
         machine (and memory that the host must find for whoever comes first)
         falls on all alike. One round of warm-up comes before and is dropped.
Counted: by measure.c, from outside of the program: wall and CPU time, peak RSS,
         address space, faults, context switches; and what the workload prints.
Checks:  The loader must really have mapped the library, the program must end
         with status 0, check sums must agree between allocators.
Result:  DIR/runs.json (every run, rewritten after each round) and
         DIR/report.txt, which is also printed. See report.py for the figures.
         Status 0 when every run was good, 1 when one was not, an allocator is
         missing or the run was interrupted, 2 when there is nothing to measure.
Failure: A missing library, a crash and a run over its time are named in the
         report and the rest goes on; an interrupted run reports what it has.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

import report
import suite

RUN_SECONDS = 300  # no single run may take longer
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fail(reason):
    """Ends the program: there is nothing to measure."""
    print(f"run.py: {reason}", file=sys.stderr)
    sys.exit(2)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Compares allocators over the workloads.")
    parser.add_argument("--quick", action="store_true", help="small arguments, 3 rounds")
    parser.add_argument("--rounds", type=int, help="measured rounds (default 7, quick 3)")
    parser.add_argument("--only", action="append", default=[], metavar="REGEX",
                        help="run the workloads whose name matches; may be repeated")
    parser.add_argument("--out", metavar="DIR",
                        help="result directory (default: bench/results in the build tree)")
    parser.add_argument("--allocators", metavar="NAME,...", help="run these and no others")
    parser.add_argument("--extra", action="append", default=[], metavar="NAME=PATH",
                        help="one more library, or @FILE with one of them a line")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), metavar="DIR",
                        help="build tree with libspanmalloc.so and bench/")
    parser.add_argument("--list", action="store_true", help="list what would run, and stop")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 7)
    arguments.out = arguments.out or os.path.join(arguments.build, "bench", "results")
    if arguments.rounds < 1:
        parser.error("--rounds must be positive")
    return arguments


def choose_allocators(arguments):
    """(allocators to run, sentences about those that cannot run)."""
    allocators = suite.find_allocators(arguments.build, suite.parse_extra(arguments.extra))
    missing = []
    if arguments.allocators:
        by_name = {allocator.name: allocator for allocator in allocators}
        names = arguments.allocators.split(",")
        missing += [f"{name}: not found on this machine" for name in names if name not in by_name]
        allocators = [by_name[name] for name in names if name in by_name]
    present = []
    for allocator in allocators:
        if allocator.library and not os.path.exists(allocator.library):
            missing.append(f"{allocator.name}: no such library: {allocator.library}")
        else:
            present.append(allocator)
    return present, missing


def parse_workload_output(text):
    """The key value lines that the workload printed."""
    values = dict(re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE))
    parsed = {key: int(value) for key, value in values.items()}
    if "wall_ns" in parsed:
        parsed["program_ns"] = parsed.pop("wall_ns")
    return parsed


def find_problem(result, allocator, errors):
    """A sentence on why the run does not count, or None."""
    if result["signal"]:
        return f"killed by signal {result['signal']}: {errors}"
    if result["exit_status"] != 0:
        return f"exit status {result['exit_status']}: {errors}"
    if allocator.library and result["library_mapped"] is False:
        return f"the loader did not use the library: {errors}"
    return None


def run_once(arguments, workload, allocator):
    """Runs one workload under one allocator; the figures, or a problem."""
    identity = {"workload": workload.name, "allocator": allocator.name}
    repeat = workload.quick_repeat if arguments.quick else workload.repeat
    folder = os.path.join(arguments.build, "bench")
    with tempfile.TemporaryFile("w+") as result_file:
        command = [os.path.join(folder, "measure"), f"--result-fd={result_file.fileno()}"]
        command += [f"--library={allocator.library}"] if allocator.library else []
        command += [f"--repeat={repeat}"] if repeat else []
        command.append(os.path.join(folder, workload.program))
        command += workload.quick_arguments if arguments.quick else workload.arguments
        environment = dict(os.environ, **dict(allocator.environment))
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  env=environment, pass_fds=[result_file.fileno()],
                                  timeout=RUN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {**identity, "problem": f"not finished after {RUN_SECONDS} s"}
        errors = (done.stderr.strip().splitlines() or ["no message"])[0][:300]
        result_file.seek(0)
        text = result_file.read()
    try:
        result = json.loads(text)
    except ValueError:
        return {**identity, "problem": f"not measured: {errors}"}
    result.update(identity, **parse_workload_output(done.stdout))
    result["problem"] = find_problem(result, allocator, errors)
    return result


def describe(arguments, allocators, missing):
    """The lines above the tables: machine, method, who takes part."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    lines = [f"{datetime.datetime.now().isoformat(timespec='minutes')}, {os.cpu_count()} cores, "
             f"Linux {platform.release()}, {' '.join(platform.libc_ver())}, load before: {load}",
             f"{arguments.rounds} rounds{' of small size' if arguments.quick else ''}, "
             "interleaved, rotated, one more dropped as warm-up"]
    lines += [f"  {allocator.name}: {allocator.library or 'no library preloaded'}"
              for allocator in allocators]
    return lines + [f"MISSING {sentence}" for sentence in missing]


def write_raw(arguments, notes, runs):
    """Replaces runs.json as a whole, so that an interruption leaves the last one."""
    os.makedirs(arguments.out, exist_ok=True)
    path = os.path.join(arguments.out, "runs.json")
    with open(path + ".new", "w", encoding="utf-8") as out:
        json.dump({"notes": notes, "runs": runs}, out, indent=1)
    os.replace(path + ".new", path)


def measure_all(arguments, workloads, allocators, notes, runs):
    """All rounds; appends to `runs` as it goes."""
    total = (arguments.rounds + 1) * len(workloads) * len(allocators)
    finished = 0
    start = time.monotonic()
    for round_number in range(arguments.rounds + 1):  # round 0 is the warm-up
        for row, workload in enumerate(workloads):
            first = (round_number + row) % len(allocators)
            for allocator in allocators[first:] + allocators[:first]:
                run = run_once(arguments, workload, allocator)
                if round_number > 0:
                    runs.append({**run, "round": round_number})
                finished += 1
            if sys.stderr.isatty():
                left = (time.monotonic() - start) / finished * (total - finished)
                print(f"\r{finished}/{total}, about {left:.0f} s left   ", end="", file=sys.stderr)
        write_raw(arguments, notes, runs)
    if sys.stderr.isatty():
        print(file=sys.stderr)


def main():
    arguments = parse_arguments()
    try:
        allocators, missing = choose_allocators(arguments)
    except (OSError, ValueError) as error:
        fail(error)
    workloads = suite.select_workloads(arguments.only)
    notes = describe(arguments, allocators, missing)
    print("\n".join(notes), file=sys.stderr)
    if arguments.list:
        print("\n".join(workload.name for workload in workloads))
        return 0
    if not workloads or not allocators:
        fail("nothing to run")
    if not os.path.exists(os.path.join(arguments.build, "bench", "measure")):
        fail(f"no benchmarks in {arguments.build}/bench: build them first")
    runs = []
    interrupted = False
    try:
        measure_all(arguments, workloads, allocators, notes, runs)
    except KeyboardInterrupt:
        interrupted = True
        notes.append("INTERRUPTED: the last rounds are missing")
        write_raw(arguments, notes, runs)
    names = [allocator.name for allocator in allocators]
    runs.sort(key=lambda run: names.index(run["allocator"]))
    runs.sort(key=lambda run: [workload.name for workload in workloads].index(run["workload"]))
    text = report.render(runs, suite.SUBJECT, suite.BASELINE, notes)
    with open(os.path.join(arguments.out, "report.txt"), "w", encoding="utf-8") as out:
        out.write(text)
    print(text, end="")
    bad = any(run["problem"] for run in runs) or report.disagreeing_checksums(runs)
    return 1 if bad or missing or interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
