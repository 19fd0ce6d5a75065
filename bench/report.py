"""Turns the raw runs of run.py into tables of text.

A run is a dictionary as measure.c wrote it, with `allocator`, `workload` and
`problem` (None or a sentence) added, and the workload's own `operations`,
`program_ns` and `checksum` where it printed them. Runs with a problem are
counted and named, never averaged.

Ratios compare minima of times, which other load on the machine disturbs least,
and medians of peak memory. The best rival is the lowest of all allocators but
the subject; a ratio below 1 is better than it. Nothing here reads a file or
runs a program.
"""

import math
import statistics

METRICS = {  # key -> (heading, run -> number)
    "cpu": ("CPU time (user + system, minimum)", lambda run: run["user_ns"] + run["system_ns"]),
    "wall": ("wall time (minimum)", lambda run: run["wall_ns"]),
    "rss": ("peak RSS (median)", lambda run: run["peak_rss_kib"]),
}


def good_runs(runs, workload, allocator):
    return [run for run in runs if run["workload"] == workload
            and run["allocator"] == allocator and not run["problem"]]


def figure(runs, metric):
    """The one number that stands for a metric of several runs; None without runs."""
    values = [METRICS[metric][1](run) for run in runs]
    if not values:
        return None
    return statistics.median(values) if metric == "rss" else min(values)


def best_rival(cells, subject):
    """The lowest of {allocator: number or None} without the subject, or None."""
    others = [value for name, value in cells.items() if name != subject and value is not None]
    return min(others, default=None)


def ratio(value, base):
    return value / base if value is not None and base else None


def geometric_mean(values):
    values = [value for value in values if value]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def disagreeing_checksums(runs):
    """Sentences on workloads whose check sum differs between allocators."""
    sentences = []
    for workload in dict.fromkeys(run["workload"] for run in runs):
        sums = {}
        for run in runs:
            if run["workload"] == workload and not run["problem"]:
                sums.setdefault(run.get("checksum"), set()).add(run["allocator"])
        if len(sums) > 1:
            parts = [f"{value} by {', '.join(sorted(names))}" for value, names in sums.items()]
            sentences.append(f"{workload}: check sums differ: {'; '.join(parts)}")
    return sentences


def _table(header, rows):
    """Columns padded to their widest cell; the first one to the left."""
    widths = [max(len(row[i]) for row in [header] + rows) for i in range(len(header))]
    lines = []
    for row in [header] + rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return lines


def _number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def _milliseconds(nanoseconds):
    """Three decimals for what lasts a few milliseconds, two otherwise."""
    return _number(nanoseconds / 1e6, 3 if nanoseconds < 1e7 else 2)


def _detail_table(runs, workload, allocators, subject, baseline):
    """All figures of one workload, a line for each allocator."""
    cells = {metric: {name: figure(good_runs(runs, workload, name), metric)
                      for name in allocators} for metric in METRICS}
    header = [workload, "cpu ms", "median", "wall ms", "ns/op", "peak MiB", "VIRT MiB", "faults",
              "switches", "cpu/best", f"cpu/{baseline}", "rss/best", f"rss/{baseline}"]
    rows = []
    for name in allocators:
        good = good_runs(runs, workload, name)
        if not good:
            rows.append([name] + ["-"] * (len(header) - 1))
            continue
        program = [run["program_ns"] / run["operations"] for run in good if run.get("operations")]
        virtual = [run["peak_virtual_kib"] for run in good if run["peak_virtual_kib"]]
        median_cpu = statistics.median(METRICS["cpu"][1](run) for run in good)
        row = [name, _milliseconds(cells["cpu"][name]), _milliseconds(median_cpu),
               _milliseconds(cells["wall"][name]), _number(min(program, default=None)),
               _number(cells["rss"][name] / 1024, 1),
               _number(max(virtual) / 1024 if virtual else None, 0),
               str(round(statistics.median(run["minor_faults"] for run in good))),
               str(round(statistics.median(run["voluntary_switches"] + run["involuntary_switches"]
                                           for run in good)))]
        for metric in ("cpu", "rss"):
            row.append(_number(ratio(cells[metric][name], best_rival(cells[metric], subject))))
            row.append(_number(ratio(cells[metric][name], cells[metric].get(baseline))))
        rows.append(row)
    return _table(header, rows)


def _summary_table(runs, workloads, allocators, subject, metric):
    """Ratios to the best rival, a line for each workload, geometric mean last.

    The mean is over the rows that every allocator completed; one that completed
    none at all is left out of that demand.
    """
    header = [METRICS[metric][0] + " / best rival"] + list(allocators)
    rows = []
    working = [name for name in allocators
               if any(run["allocator"] == name and not run["problem"] for run in runs)]
    columns = {name: [] for name in working}
    for workload in workloads:
        cells = {name: figure(good_runs(runs, workload, name), metric) for name in allocators}
        best = best_rival(cells, subject)
        ratios = {name: ratio(value, best) for name, value in cells.items()}
        rows.append([workload] + [_number(ratios[name]) for name in allocators])
        if all(ratios[name] for name in working):
            for name in working:
                columns[name].append(ratios[name])
    count = len(next(iter(columns.values()), []))
    rows.append([f"geometric mean of {count} complete rows"]
                + [_number(geometric_mean(columns.get(name, []))) for name in allocators])
    return _table(header, rows)


def render(runs, subject, baseline, notes):
    """The whole report as one text."""
    workloads = list(dict.fromkeys(run["workload"] for run in runs))
    allocators = list(dict.fromkeys(run["allocator"] for run in runs))
    lines = list(notes) + [""]
    for workload in workloads:
        lines += _detail_table(runs, workload, allocators, subject, baseline) + [""]
    for metric in METRICS:
        lines += _summary_table(runs, workloads, allocators, subject, metric) + [""]
    problems = [f"{run['workload']} under {run['allocator']}: {run['problem']}"
                for run in runs if run["problem"]] + disagreeing_checksums(runs)
    lines.append("Problems:" if problems else "No problems.")
    lines += [f"  {problem}" for problem in dict.fromkeys(problems)]
    return "\n".join(lines) + "\n"
