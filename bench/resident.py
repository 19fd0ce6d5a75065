#!/usr/bin/env python3
"""Compares allocators by their resident memory over time.

Usage:   bench/resident.py [--quick] [--rounds=R] [--only=REGEX]... [--jobs=N]
             [--allocators=NAME,...] [--out=DIR] [--build=DIR] [--list]
             [--extra=NAME=PATH[,VARIABLE=VALUE]... | --extra=@FILE]...
             [--subject=NAME] [--resume | --restart | --report]
Example: bench/resident.py --quick --only=return --extra=mimalloc3=/opt/libmimalloc.so

Method:  Each program of resident/ runs once a round under every allocator, and
         looks at its own RSS. They mostly wait, some for six minutes, so many run
         beside each other; two work at a time (resident_execution.py). The
         figures are those of memory; only the row server_unlimited, which runs
         several times while all others wait, says something of speed.
Full:    About half an hour for ten allocators and 16 jobs. --quick leaves out the
         point after six minutes, and its server runs for a quarter of the time: 8
         minutes.
Result:  In DIR (default: bench/resident_results in the build tree) runs.jsonl,
         each run as soon as it is over, report.txt, also printed, and
         report.html with RSS over time. What the rows are is in resident_rows.py.
Resume:  As run.py: an unfinished run of the same configuration goes on.

Exit codes: 0 every run was good, 1 one was not, something is missing or the run
was interrupted, 2 there is nothing to measure.
"""

import argparse
import os
import re
import signal
import sys

import execution
import journal
import machine
import resident_execution
import resident_report
import resident_rows
import run
import suite

MIB_PER_JOB = 1300  # a gibibyte that is not given back, and room
MOST_JOBS = 16


def fail(reason):
    print(f"resident.py: {reason}", file=sys.stderr)
    sys.exit(2)


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description="Compares allocators by resident memory.")
    parser.add_argument("--quick", action="store_true", help="half a minute of idleness at most")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each (1)")
    parser.add_argument("--jobs", type=int, help="how many programs run at once, most of them "
                        f"idle (default: one for {MIB_PER_JOB} MiB of free memory, at most "
                        f"{MOST_JOBS})")
    parser.add_argument("--only", action="append", default=[], metavar="REGEX",
                        help="run the rows whose name matches; may be repeated")
    parser.add_argument("--allocators", metavar="NAME,...", help="run these and no others")
    parser.add_argument("--extra", action="append", default=[],
                        metavar="NAME=PATH[,VARIABLE=VALUE]...",
                        help="one more library, or @FILE with one of them a line")
    parser.add_argument("--out", metavar="DIR", help="result directory")
    parser.add_argument("--build", default=os.path.join(run.ROOT, "build", "release"),
                        metavar="DIR", help="build tree with libspanmalloc.so and bench/")
    parser.add_argument("--subject", default=suite.SUBJECT, metavar="NAME",
                        help="the allocator whose rank is given")
    parser.add_argument("--list", action="store_true", help="list the rows, and stop")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true",
                      help="go on with what is in DIR, finished or not")
    mode.add_argument("--restart", action="store_true", help="begin anew, whatever is in DIR")
    mode.add_argument("--report", action="store_true", help="only write the reports again")
    arguments = parser.parse_args(argv)
    arguments.build = os.path.abspath(arguments.build)
    arguments.out = os.path.abspath(arguments.out or os.path.join(
        arguments.build, "bench", "resident_results"))
    if arguments.rounds < 1 or (arguments.jobs is not None and arguments.jobs < 1):
        parser.error("--rounds and --jobs must be positive")
    try:
        arguments.rows = resident_rows.select(arguments.quick, arguments.only)
    except re.error as error:
        parser.error(f"not a regular expression: {error}")
    return arguments


def default_jobs():
    available = resident_execution.available_mebibytes()
    if available is None:
        return 1
    return max(1, min(MOST_JOBS, available // MIB_PER_JOB))


def configuration(arguments, allocators, missing):
    """All that must be the same for records to be comparable."""
    bench = os.path.join(arguments.build, "bench")
    return {
        "quick": arguments.quick,
        "allocators": run.allocator_entries(allocators),
        "rows": {row.name: {"command": " ".join([row.program, *row.arguments]),
                            "sha256": machine.file_digest(os.path.join(bench, row.program))}
                 for row in arguments.rows},
        "machine": machine.describe(arguments.build),
        "missing": missing,
    }


def describe(header, rounds, interrupted):
    """The lines above the table."""
    quick = ", quick" if header["configuration"]["quick"] else ""
    return run.describe_as(f"{rounds} round{'s' if rounds != 1 else ''}{quick}, programs beside "
                           "each other", header, interrupted)


def write_reports(arguments, header, records, interrupted):
    """report.txt, also to standard output, and report.html; the exit status."""
    wanted = header["configuration"]
    rows = [row for row in resident_rows.rows(wanted["quick"]) if row.name in wanted["rows"]]
    runs = {row.name: row.runs for row in rows}
    rounds = max((-(-record["round"] // runs[record["row"]]) for record in records), default=0)
    notes = describe(header, rounds, interrupted)
    table = resident_report.Table(records, rows, list(wanted["allocators"]), arguments.subject)
    text = "\n".join(notes + [""] + resident_report.text_lines(table)) + "\n"
    run.write_file(arguments, "report.txt", text)
    run.write_file(arguments, "report.html", resident_report.render(table, notes, suite.BASELINE))
    print(text, end="")
    print(f"{arguments.out}/report.html", file=sys.stderr)
    return 1 if table.problems() or wanted["missing"] or interrupted else 0


def report_only(arguments):
    header, records, finished = journal.read(os.path.join(arguments.out, "runs.jsonl"))
    if header is None:
        fail(f"no run in {arguments.out}")
    return write_reports(arguments, header, records, not finished)


def cells_left(rounds, rows, allocators, records):
    """What the journal does not hold yet, as (round, row, allocator).

    Rows that may take much memory come first, while there is most of it, and those
    that want to be alone last, when the machine is idle. Allocators take turns in
    being the first.
    """
    rows = sorted(rows, key=lambda row: (row.alone, -row.mebibytes))
    done = {(record["round"], record["row"], record["allocator"]) for record in records}
    cells = []
    for row in rows:
        for number in range(1, rounds * row.runs + 1):
            first = (number - 1) % len(allocators)
            cells += [(number, row, allocator)
                      for allocator in allocators[first:] + allocators[:first]]
    return [cell for cell in cells if (cell[0], cell[1].name, cell[2].name) not in done]


def measure_all(arguments, allocators, log):
    """True if no run is missing at the end."""
    runner = resident_execution.Runner(
        os.path.join(arguments.build, "bench"),
        os.path.join(arguments.build, "bench", "work", "scratch"),
        arguments.jobs or default_jobs())
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: runner.stop())
    left = cells_left(arguments.rounds, arguments.rows, allocators, log.runs)
    complete = runner.run_all(left, log.add, lambda text: print(text, file=sys.stderr, flush=True))
    if complete and (left or not log.finished):
        log.finish()
    return complete


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        if arguments.list:
            print("\n".join(row.name for row in arguments.rows))
            return 0
        if arguments.report:
            return report_only(arguments)
        for program in ["measure", "trivial"] + [row.program for row in arguments.rows]:
            if not os.path.exists(os.path.join(arguments.build, "bench", program)):
                fail(f"no {program} in {arguments.build}/bench: build the benchmarks first")
        executor = execution.Executor(arguments.build, arguments.quick,
                                      os.path.join(arguments.build, "bench", "work"),
                                      run.RUN_SECONDS)
        allocators, missing = run.choose_allocators(arguments, executor)
        if not arguments.rows or not allocators:
            fail("nothing to run" + "".join(f"; {sentence}" for sentence in missing))
        log = run.open_journal(arguments, configuration(arguments, allocators, missing))
    except (OSError, ValueError, journal.JournalError) as error:
        fail(error)
    except KeyboardInterrupt:
        fail("interrupted before the first run")
    complete = measure_all(arguments, allocators, log)
    status = write_reports(arguments, log.header, log.runs, not complete)
    log.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
