"""What resident.py runs: programs of resident/, and the lines of its tables.

A row is one program with its arguments. Its lines are the figures that the table
    shows of it, each made from a record of resident_execution.py; None if the
    record does not have it.
A line's figures are better the lower they are, unless it says otherwise.
"""

import dataclasses
import re

KIB, MIB = 1, 1024


@dataclasses.dataclass(frozen=True)
class Line:
    label: str
    unit: str
    value: object  # record -> number or None
    higher_is_better: bool = False
    digits: int = 1
    best_run: bool = False  # of several runs the best counts, as of all times; else the median


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    program: str
    arguments: tuple
    lines: tuple
    seconds: int  # about how long it takes
    mebibytes: int  # what may be resident at once, under an allocator that keeps everything
    alone: bool = False  # its times count: nothing else may work beside it
    runs: int = 1  # in each round
    x_title: str = ""  # of its curve; none without
    log_x: bool = False


def number(key, scale=MIB):
    """What the program printed under a key."""
    return lambda record: (record["figures"][key] / scale
                           if key in record["figures"] else None)


def sample(at):
    """RSS at a moment, in MiB."""
    return lambda record: (samples(record)[at] / MIB if at in samples(record) else None)


def samples(record):
    """Moment -> KiB, in order."""
    return dict(map(tuple, record["samples"]))


def highest(record):
    return max((kib / MIB for kib in samples(record).values()), default=None)


def last(record):
    return next((kib / MIB for kib in reversed(samples(record).values())), None)


def mean(record):
    values = list(samples(record).values())
    return sum(values) / len(values) / MIB if values else None


def share(percent):
    """RSS when this share of the samples is over."""
    def value(record):
        values = list(samples(record).values())
        return values[(len(values) - 1) * percent // 100] / MIB if values else None
    return value


def growth_per_thread(at):
    """KiB by which a thread that has used the allocator is larger than one that has not."""
    def value(record):
        figures, kib = record["figures"], samples(record).get(at)
        if kib is None or "threads_kib" not in figures:
            return None
        return (kib - figures["threads_kib"]) / figures["threads"]
    return value


def unused_thread(record):
    """KiB of a thread that has allocated nothing."""
    figures = record["figures"]
    if "threads_kib" not in figures:
        return None
    return (figures["threads_kib"] - figures["before_kib"]) / figures["threads"]


def operations_per_second(record):
    figures = record["figures"]
    return figures["operations"] * 1e3 / figures["wall_ns"] if figures.get("wall_ns") else None


def idle_label(milliseconds):
    seconds = milliseconds / 1000
    return f"{seconds / 60:g} min" if seconds > 60 else f"{seconds:g} s"


def idle_lines(*moments):
    return [Line(idle_label(at), "MiB", sample(at)) for at in moments]


def _return_rows(quick):
    seconds = 30 if quick else 360
    moments = [100, 1000, 5000, 30000] + ([] if quick else [360000])
    lines = [Line("before", "MiB", number("before_kib")), Line("top", "MiB", number("top_kib"))]
    return [Row(f"return_{mix}_{free}", "resident_return", (mix, free, str(seconds)),
                tuple(lines + idle_lines(*moments)), seconds + 5, 1500,
                x_title="seconds of idleness", log_x=True)
            for mix in ("small", "mixed", "large") for free in ("all", "most")]


def rows(quick):
    """Every row, in the order of the table."""
    server_seconds = 15 if quick else 60
    refill = (Line("top", "MiB", number("top_kib")),
              Line("before refill", "MiB", number("freed_kib")),
              Line("peak", "MiB", number("peak_kib")))
    return _return_rows(quick) + [
        Row("idle_threads", "resident_idle_threads", ("2000", "30"), (
            Line("unused thread", "KiB", unused_thread),
            *(Line(f"used, {idle_label(at)}", "KiB more", growth_per_thread(at))
              for at in (1000, 5000, 30000))), 35, 13000,
            x_title="seconds of idleness", log_x=True),
        Row("refill", "resident_refill", (), refill, 3, 1700),
        Row("refill_after_3_s", "resident_refill", ("3000",), refill, 6, 1700),
        Row("phases", "resident_phases", ("40", "120"), (
            Line("highest", "MiB", highest), Line("last", "MiB", last),
            Line("VmHWM", "MiB", number("peak_kib"))), 10, 700, x_title="phases"),
        Row("threads_exit", "resident_threads_exit", ("3", "256", "5"), (
            Line("peak", "MiB", number("peak_kib")), *idle_lines(100, 5000)), 8, 1200,
            x_title="seconds of idleness", log_x=True),
        Row("server", "resident_server", (str(server_seconds),), (
            Line("before a peak", "MiB", share(11)), Line("highest", "MiB", highest),
            Line("after 1st peak", "MiB", share(41)), Line("last", "MiB", last),
            Line("mean", "MiB", mean),
            Line("CPU time", "s", number("cpu_ns", 1e9), digits=2, best_run=True),
            Line("operations", "million", number("operations", 1e6), True, 2)),
            server_seconds + 2, 1000, x_title="seconds"),
        Row("server_unlimited", "resident_server",
            ("unlimited", "300000" if quick else "1000000"), (
                Line("operations", "million/s", operations_per_second, True, 2, best_run=True),
                Line("CPU time", "s", number("cpu_ns", 1e9), digits=2, best_run=True),
                Line("peak", "MiB", number("peak_kib"))), 10, 1000, alone=True, runs=5),
    ]


def select(quick, only):
    """The rows whose name matches one of `only`; all without."""
    return [row for row in rows(quick)
            if not only or any(re.search(pattern, row.name) for pattern in only)]
