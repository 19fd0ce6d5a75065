#!/usr/bin/env python3
"""Compares allocators over the workloads and over real programs.

Usage:   bench/run.py [--quick] [--rounds=R] [--only=REGEX]... [--skip=REGEX]...
                      [--allocators=NAME,...] [--out=DIR] [--build=DIR] [--list]
                      [--extra=NAME=PATH[,VARIABLE=VALUE]... | --extra=@FILE]...
                      [--subject=NAME] [--baseline=NAME]
                      [--resume | --restart | --report]
Example: bench/run.py --quick --only=hot_pair --extra=mimalloc3=/opt/libmimalloc.so

Method:  Round by round, each row runs once under every allocator, in an order
         that is rotated from round to round, so that a disturbance of the
         machine (and memory that the host must find for whoever comes first)
         falls on all alike. Round 0 is for warming up and is not counted.
Counted: by measure.c, from outside of the program: wall and CPU time, peak RSS,
         RSS and huge pages at the end, address space, faults, context switches;
         what the program prints; and the load by others (machine.py).
Checks:  The loader must really have mapped the library, the program must end
         with status 0, check sums must agree between allocators.
Result:  In DIR: runs.jsonl, each run as soon as it is over (journal.py);
         runs.json, report.txt (also printed) and report.html at the end. What
         the figures mean is in figures.py. Status 0 when every run was good, 1
         when one was not, something is missing or the run was interrupted, 2
         when there is nothing to measure.
Failure: A missing library or program, a crash and a run over its time are named
         in the reports and the rest goes on. Ctrl-C and SIGTERM end with reports
         of what there is; the same command then goes on where it stopped.
Resume:  An unfinished run in DIR goes on, unless its configuration (allocators
         with digests, rows, machine, compiler) is not the same: that is refused,
         and --restart puts it aside. A finished one is put aside, as
         runs.jsonl.previous; --resume adds rounds to it instead. --report only
         writes the reports of what DIR holds.
"""

import argparse
import datetime
import json
import os
import re
import signal
import sys

import execution
import figures
import html_report
import journal
import machine
import progress
import report
import suite

RUN_SECONDS = 600  # no single run may take longer
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fail(reason):
    """Ends the program: there is nothing to measure."""
    print(f"run.py: {reason}", file=sys.stderr)
    sys.exit(2)


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description="Compares allocators over workloads and programs.")
    parser.add_argument("--quick", action="store_true", help="small arguments, 3 rounds")
    parser.add_argument("--rounds", type=int, help="measured rounds (default 7, quick 3)")
    parser.add_argument("--only", action="append", default=[], metavar="REGEX",
                        help="run the rows whose name matches; may be repeated")
    parser.add_argument("--skip", action="append", default=[], metavar="REGEX",
                        help="leave out the rows whose name matches; may be repeated")
    parser.add_argument("--out", metavar="DIR",
                        help="result directory (default: bench/results in the build tree)")
    parser.add_argument("--allocators", metavar="NAME,...", help="run these and no others")
    parser.add_argument("--extra", action="append", default=[],
                        metavar="NAME=PATH[,VARIABLE=VALUE]...",
                        help="one more library, or @FILE with one of them a line")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), metavar="DIR",
                        help="build tree with libspanmalloc.so and bench/")
    parser.add_argument("--subject", default=suite.SUBJECT, metavar="NAME",
                        help="the allocator that the reports are about")
    parser.add_argument("--baseline", default=suite.BASELINE, metavar="NAME",
                        help="the allocator that ratios are made with")
    parser.add_argument("--list", action="store_true", help="list what would run, and stop")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true",
                      help="go on with what is in DIR, finished or not")
    mode.add_argument("--restart", action="store_true", help="begin anew, whatever is in DIR")
    mode.add_argument("--report", action="store_true", help="only write the reports again")
    arguments = parser.parse_args(argv)
    arguments.rounds = arguments.rounds if arguments.rounds is not None else (
        3 if arguments.quick else 7)
    arguments.build = os.path.abspath(arguments.build)
    arguments.out = os.path.abspath(arguments.out
                                    or os.path.join(arguments.build, "bench", "results"))
    if arguments.rounds < 1:
        parser.error("--rounds must be positive")
    for pattern in arguments.only + arguments.skip:
        try:
            re.compile(pattern)
        except re.error as error:
            parser.error(f"not a regular expression: {pattern!r}: {error}")
    return arguments


def choose_allocators(arguments, executor):
    """(allocators that can run, sentences about those that cannot)."""
    allocators = suite.find_allocators(arguments.build, suite.parse_extra(arguments.extra))
    missing = []
    if arguments.allocators:
        by_name = {allocator.name: allocator for allocator in allocators}
        names = list(dict.fromkeys(arguments.allocators.split(",")))
        missing += [f"{name}: not found on this machine" for name in names if name not in by_name]
        allocators = [by_name[name] for name in names if name in by_name]
    able = []
    for allocator in allocators:
        if allocator.library and not os.path.exists(allocator.library):
            missing.append(f"{allocator.name}: no such library: {allocator.library}")
        elif problem := executor.probe(allocator):
            missing.append(f"{allocator.name}: {problem}")
        else:
            able.append(allocator)
    return able, missing


def choose_rows(arguments, executor):
    """(rows that can run, sentences about those that cannot); makes inputs of programs."""
    rows = []
    missing = []
    for row in suite.select_rows(arguments.only, arguments.skip):
        absent = row.missing() if row.kind == "program" else None
        if (absent is None and row.kind == "program" and not arguments.list
                and not executor.is_prepared(row, suite.programs_digest())):
            print(f"making the inputs of {row.name}", file=sys.stderr)
            try:
                executor.prepare(row, suite.programs_digest())
            except Exception as error:  # Whatever a program's own function raises.
                absent = f"{row.name}: its inputs could not be made: {error}"
        if absent is None:
            rows.append(row)
        else:
            missing.append(absent)
    return rows, missing


def allocator_entries(allocators):
    """Name -> what identifies an allocator in a configuration."""
    return {allocator.name: {
        "library": allocator.library,
        "sha256": machine.file_digest(allocator.library) if allocator.library else None,
        "environment": dict(allocator.environment)} for allocator in allocators}


def configuration(arguments, rows, allocators, missing):
    """All that must be the same for runs to be comparable."""
    bench = os.path.join(arguments.build, "bench")
    row_entries = {}
    for row in rows:
        if row.kind == "program":
            row_entries[row.name] = {"kind": row.kind, "requires": row.paths()}
            continue
        words = row.quick_arguments if arguments.quick else row.arguments
        row_entries[row.name] = {
            "kind": row.kind, "command": " ".join([row.program, *words]),
            "repeat": row.quick_repeat if arguments.quick else row.repeat,
            "sha256": machine.file_digest(os.path.join(bench, row.program))}
    return {
        "quick": arguments.quick,
        "allocators": allocator_entries(allocators),
        "rows": row_entries,
        "programs_sha256": (suite.programs_digest()
                            if any(row.kind == "program" for row in rows) else None),
        "measure_sha256": machine.file_digest(os.path.join(bench, "measure")),
        "machine": machine.describe(arguments.build),
        "missing": missing,
    }


def open_journal(arguments, wanted):
    """The journal to write to, at its place: unfinished, and of this configuration."""
    os.makedirs(arguments.out, exist_ok=True)
    log = journal.Journal(os.path.join(arguments.out, "runs.jsonl"))
    header = {"started": datetime.datetime.now().isoformat(timespec="seconds"),
              "configuration": wanted}
    if log.header is None:
        log.start(header)
    elif arguments.restart or (log.finished and not arguments.resume):
        log.start_over(header)
    elif changed := journal.differences(log.header["configuration"], wanted):
        raise journal.JournalError(
            f"{arguments.out} holds {'a' if log.finished else 'an unfinished'} run of another "
            f"configuration ({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''}); "
            "choose another --out, or put it aside with --restart")
    else:
        print(f"going on after {len(log.runs)} runs of {log.header['started']}", file=sys.stderr)
    return log


def measure_all(rounds, rows, allocators, executor, log):
    """All runs that the journal does not hold yet; True if none is missing at the end."""
    plan = []
    for number in range(rounds + 1):  # round 0 is the warm-up
        for position, row in enumerate(rows):
            first = (number + position) % len(allocators)
            plan += [(number, row, allocator)
                     for allocator in allocators[first:] + allocators[:first]]
    done = {(run["round"], run["row"], run["allocator"]) for run in log.runs}
    given_up = {(run["row"], run["allocator"]) for run in log.runs if run.get("timed_out")}
    left = [(number, row, allocator) for number, row, allocator in plan
            if (number, row.name, allocator.name) not in done]
    meter = progress.Progress()
    meter.begin([(row.name, allocator.name) for _, row, allocator in left],
                already=len(plan) - len(left))
    for position, (number, row, allocator) in enumerate(left):
        cell = (row.name, allocator.name)
        if cell in given_up:
            run = {"row": row.name, "allocator": allocator.name,
                   "problem": "not tried again after a run over its time"}
        else:
            run = executor.run(row, allocator)
        if executor.stopped:  # The run was cut short, or is not to be trusted.
            return False
        if run.get("timed_out"):
            given_up.add(cell)
        log.add({**run, "round": number})
        meter.finished(cell, f"round {number} of {rounds}, {row.name}",
                       position + 1 == len(left) or left[position + 1][0] != number)
    if not log.finished or left:
        log.finish()
    return True


def describe(header, rounds, interrupted=False):
    """The lines above the tables."""
    small = " of small size" if header["configuration"]["quick"] else ""
    return describe_as(f"{rounds} rounds{small}, interleaved, rotated, after one for warming up",
                       header, interrupted)


def describe_as(method, header, interrupted):
    """The lines above tables of whatever method: when, machine, who takes part."""
    wanted = header["configuration"]
    lines = [f"{header['started'].replace('T', ' ')}, {method}"]
    lines += machine.sentences(wanted["machine"])
    for name, allocator in wanted["allocators"].items():
        words = [allocator["library"] or "the system's malloc, no library preloaded"]
        words += [f"sha256 {allocator['sha256'][:12]}"] if allocator["sha256"] else []
        words += [f"{key}={value}" for key, value in allocator["environment"].items()]
        lines.append(f"  {name}: {', '.join(words)}")
    lines += [f"MISSING {sentence}" for sentence in wanted["missing"]]
    return lines + (["UNFINISHED: the last runs are missing"] if interrupted else [])


def write_file(arguments, name, text):
    """Replaces a file of the result as a whole."""
    path = os.path.join(arguments.out, name)
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(path + ".new", path)


def write_reports(arguments, header, runs, interrupted):
    """runs.json, report.txt and report.html; the exit status of the whole run."""
    wanted = header["configuration"]
    notes = describe(header, max((run["round"] for run in runs), default=0), interrupted)
    comparison = figures.Comparison(runs, arguments.subject, arguments.baseline,
                                    {name: row["kind"] for name, row in wanted["rows"].items()},
                                    wanted["allocators"])
    write_file(arguments, "runs.json", json.dumps(
        {**header, "unfinished": interrupted, "runs": runs}, indent=1))
    text = report.render(comparison, notes)
    write_file(arguments, "report.txt", text)
    write_file(arguments, "report.html", html_report.render(comparison, notes))
    print(text, end="")
    print(f"{arguments.out}/report.html", file=sys.stderr)
    return 1 if comparison.problems() or wanted["missing"] or interrupted else 0


def report_only(arguments):
    header, runs, finished = journal.read(os.path.join(arguments.out, "runs.jsonl"))
    if header is None:
        fail(f"no run in {arguments.out}")
    return write_reports(arguments, header, runs, not finished)


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        if arguments.report:
            return report_only(arguments)
        executor = execution.Executor(arguments.build, arguments.quick,
                                      os.path.join(arguments.build, "bench", "work"), RUN_SECONDS)
        for program in ("measure", "trivial"):
            if not os.path.exists(os.path.join(arguments.build, "bench", program)):
                fail(f"no {program} in {arguments.build}/bench: build the benchmarks first")
        allocators, missing = choose_allocators(arguments, executor)
        rows, missing_rows = choose_rows(arguments, executor)
        missing += missing_rows
        if arguments.list:
            print("\n".join([row.name for row in rows] + [f"MISSING {text}" for text in missing]))
            return 0
        if not rows or not allocators:
            fail("nothing to run" + "".join(f"; {sentence}" for sentence in missing))
        log = open_journal(arguments, configuration(arguments, rows, allocators, missing))
    except (OSError, ValueError, journal.JournalError) as error:
        fail(error)
    except KeyboardInterrupt:
        fail("interrupted before the first run")
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: executor.stop())
    print("\n".join(describe(log.header, arguments.rounds)), file=sys.stderr)
    complete = measure_all(arguments.rounds, rows, allocators, executor, log)
    status = write_reports(arguments, log.header, log.runs, not complete)
    log.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
