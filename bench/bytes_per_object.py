#!/usr/bin/env python3
"""What one small object costs in memory, under each allocator.

Usage:   bench/bytes_per_object.py [--objects=N] [--rounds=R] [--only=REGEX]...
             [--strings=NAME=FILE]... [--build=DIR] [--allocators=NAME,...]
             [--extra=NAME=PATH[,VARIABLE=VALUE]... | --extra=@FILE]...
Example: bench/bytes_per_object.py --only=1..15 --extra=mimalloc3=/opt/libmimalloc.so

Method:  workloads/bytes_per_object.c, once a round for each distribution of
         lengths under every allocator, in an order that rotates. Allocators are
         named as for run.py.
Lengths: 1 to 16 bytes, each alone; 1..7 and 1..15, all as often; and of strings
         with the zero at their end:
           words        each word of /usr/share/common-licenses once, which every
                        Debian has
           json_keys    all keys of docs/performance/runs.jsonl.xz
           identifiers  all of them in the sources of allocator/, as often as
                        they occur
           NAME         the lines of FILE (--strings)
Prints:  Two tables. Bytes: what was asked for, then by how much resident memory
         grew for each object, fresh and after three random replacements an
         object; medians of the rounds. Nanoseconds: CPU time of a replacement,
         free and malloc; minima.
Trap:    Where memory comes in huge pages of 2 MiB, one more of them is a byte
         for each of 2 million objects. --objects=10000000 shows less of that.

Exit codes: 0 all measured, 1 something failed or is missing, 2 wrong usage or
nothing built.
"""

import argparse
import json
import lzma
import os
import pathlib
import random
import re
import statistics
import sys

import execution
import report
import run
import suite

PROGRAM = "bytes_per_object"
MOST_LENGTHS = 1 << 20  # What the program takes.


def words():
    """The distinct words of the licence texts."""
    texts = (path.read_text(encoding="utf-8", errors="replace")
             for path in pathlib.Path("/usr/share/common-licenses").glob("*"))
    return sorted({word for text in texts for word in re.findall(r"[A-Za-z]+", text)})


def json_keys():
    """Of all objects in the journal of a comparison, in order."""
    keys = []
    with lzma.open(os.path.join(run.ROOT, "docs", "performance", "runs.jsonl.xz"), "rt") as lines:
        for line in lines:
            json.loads(line, object_pairs_hook=lambda pairs: keys.extend(key for key, _ in pairs))
    return keys


def identifiers():
    """Names and keywords in the allocator's sources, in order."""
    return [name for path in sorted(pathlib.Path(run.ROOT, "allocator").rglob("*.[ch]*"))
            for name in re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8"))]


def distributions(strings):
    """Name -> "N..M" or a list of lengths."""
    found = {str(length): f"{length}..{length}" for length in range(1, 17)}
    found.update({"1..7": "1..7", "1..15": "1..15"})
    sources = {"words": words, "json_keys": json_keys, "identifiers": identifiers}
    for text in strings:
        name, separator, path = text.partition("=")
        if not (name and separator and path):
            raise ValueError(f"not of the form NAME=FILE: {text!r}")
        file = pathlib.Path(path)
        sources[name] = lambda file=file: file.read_text(encoding="utf-8").splitlines()
    for name, source in sources.items():
        lengths = [len(string.encode()) + 1 for string in source()]
        found[name] = random.Random(43).sample(lengths, min(len(lengths), MOST_LENGTHS))
    return found


def make_rows(chosen, objects, folder):
    """A row for each distribution; lists go into files."""
    os.makedirs(folder, exist_ok=True)
    made = []
    for name, lengths in chosen.items():
        if isinstance(lengths, list):
            path = os.path.join(folder, f"{name}.lengths")
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(f"{length}\n" for length in lengths)
            lengths = path
        made.append(suite.Workload(name, PROGRAM, (str(objects), lengths), ()))
    return made


def measure(rows, allocators, executor, rounds):
    """Every record, in order."""
    records = []
    for number in range(rounds):
        for row in rows:
            for i in range(len(allocators)):
                records.append(executor.run(row, allocators[(i + number) % len(allocators)]))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return records


def tables(records, objects):
    """Lines of text: the two tables, then sentences on runs that failed."""
    names = list(dict.fromkeys(record["allocator"] for record in records))
    rows = list(dict.fromkeys(record["row"] for record in records))
    good = {}
    for record in records:
        if not record["problem"]:
            good.setdefault((record["row"], record["allocator"]), []).append(record["extra"])

    def per_object(extras, key):
        return report.number(statistics.median(extra[key] for extra in extras) / objects)

    bytes_lines, time_lines = [], []
    for row in rows:
        cells = [good.get((row, name)) for name in names]
        asked = next((per_object(cell, "requested_bytes") for cell in cells if cell), "-")
        bytes_lines.append([row, asked] + [
            f"{per_object(cell, 'fresh_bytes')} {per_object(cell, 'churned_bytes').rjust(5)}"
            if cell else "-" for cell in cells])
        time_lines.append([row] + [
            report.number(min(extra["churn_cpu_ns"] for extra in cell) / objects / 3, 1)
            if cell else "-" for cell in cells])
    lines = report.table(["bytes: fresh churned", "asked"] + names, bytes_lines)
    lines += [""] + report.table(["ns of a replacement"] + names, time_lines)
    problems = [f"{record['row']} under {record['allocator']}: {record['problem']}"
                for record in records if record["problem"]]
    return lines + list(dict.fromkeys(problems))


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description="Compares what small objects cost in memory.")
    parser.add_argument("--objects", type=int, default=2000000, help="how many (2000000)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each (1)")
    parser.add_argument("--only", action="append", default=[], metavar="REGEX",
                        help="distributions whose whole name matches; may be repeated")
    parser.add_argument("--strings", action="append", default=[], metavar="NAME=FILE",
                        help="one more distribution: the lines of a file; may be repeated")
    parser.add_argument("--allocators", metavar="NAME,...", help="run these and no others")
    parser.add_argument("--extra", action="append", default=[],
                        metavar="NAME=PATH[,VARIABLE=VALUE]...",
                        help="one more library, or @FILE with one of them a line")
    parser.add_argument("--build", default=os.path.join(run.ROOT, "build", "release"),
                        metavar="DIR", help="build tree with libspanmalloc.so and bench/")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse_arguments(argv)
    build = os.path.abspath(arguments.build)
    work = os.path.join(build, "bench", "work")
    executor = execution.Executor(build, False, work, run.RUN_SECONDS)
    try:
        if not os.path.exists(os.path.join(build, "bench", PROGRAM)):
            raise ValueError(f"no {PROGRAM} in {build}/bench: build the benchmarks first")
        allocators, missing = run.choose_allocators(arguments, executor)
        chosen = {name: lengths for name, lengths in distributions(arguments.strings).items()
                  if not arguments.only or any(re.fullmatch(pattern, name)
                                               for pattern in arguments.only)}
        missing += [f"{name}: no strings" for name, lengths in chosen.items() if not lengths]
        rows = make_rows({name: lengths for name, lengths in chosen.items() if lengths},
                         arguments.objects, os.path.join(work, "lengths"))
        if not rows or not allocators or min(arguments.objects, arguments.rounds) < 1:
            raise ValueError("nothing to run")
    except (OSError, ValueError, re.error) as error:
        print(f"bytes_per_object.py: {error}", file=sys.stderr)
        return 2
    records = measure(rows, allocators, executor, arguments.rounds)
    lines = tables(records, arguments.objects) + [f"MISSING {sentence}" for sentence in missing]
    print("\n".join(lines))
    return 1 if missing or any(record["problem"] for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
