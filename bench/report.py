"""The comparison as tables of text. What the numbers mean: figures.py.

Sections: notes; one table a row with everything that was measured; tables of
    ratios to the best rival and to the baseline, the geometric mean last; where
    the subject loses; problems.
Nothing here reads a file or runs a program.
"""

import figures


def table(header, rows):
    """Columns padded to their widest cell; the first one to the left."""
    widths = [max(len(row[i]) for row in [header] + rows) for i in range(len(header))]
    lines = []
    for row in [header] + rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def milliseconds(nanoseconds):
    """Three decimals for what lasts a few milliseconds, two otherwise."""
    return "-" if nanoseconds is None else number(nanoseconds / 1e6, 3 if nanoseconds < 1e7 else 2)


def percent(share):
    return "-" if share is None else f"{100 * share:.0f}%"


def mebibytes(kibibytes):
    return "-" if kibibytes is None else number(kibibytes / 1024, 1)


def _switches(run):
    return run["voluntary_switches"] + run["involuntary_switches"]


def _nanoseconds_per_operation(run):
    return run["program_ns"] / run["operations"] if run.get("operations") else None


def detail_cells(comparison, row):
    """(header, lines): all figures of one row, a line for each allocator."""
    baseline = comparison.baseline
    header = [row, "runs", "cpu ms", "median", "spread", "wall ms", "median", "spread", "ns/op",
              "peak MiB", "spread", "end", "huge", "VIRT", "faults", "switches",
              "cpu/best", "wall/best", "rss/best",
              f"cpu/{baseline}", f"wall/{baseline}", f"rss/{baseline}"]
    lines = []
    for name in comparison.allocators:
        if not comparison.good(row, name):
            lines.append([name, "0"] + ["-"] * (len(header) - 2))
            continue

        def median(value, name=name):
            summary = comparison.summarize_by(row, name, value)
            return summary.median if summary else None

        cpu, wall, rss = (comparison.summary(row, name, metric)
                          for metric in ("cpu", "wall", "rss"))
        operation = comparison.summarize_by(row, name, _nanoseconds_per_operation)
        line = [name, str(cpu.count)]
        for times in (cpu, wall):
            line += [milliseconds(times.minimum), milliseconds(times.median),
                     percent(times.spread)]
        line += [number(operation.minimum if operation else None),
                 mebibytes(rss.median), percent(rss.spread)]
        line += [mebibytes(median(lambda run, key=key: run.get(key)))
                 for key in ("end_rss_kib", "end_huge_kib", "peak_virtual_kib")]
        line += [number(median(lambda run: run["minor_faults"] + run["major_faults"]), 0),
                 number(median(_switches), 0)]
        line += [number(comparison.ratio(row, name, metric, to_best))
                 for to_best in (True, False) for metric in ("cpu", "wall", "rss")]
        lines.append(line)
    return header, lines


def extra_cells(comparison, row):
    """(names, lines): medians of what the row's programs told about themselves."""
    names = comparison.extra_names(row)
    lines = []
    for allocator in comparison.allocators:
        medians = [comparison.summarize_by(row, allocator,
                                           lambda run, name=name: run["extra"].get(name))
                   for name in names]
        lines.append([f"{summary.median:.6g}" if summary else "-" for summary in medians])
    return names, lines


def _row_tables(comparison, row):
    """What was measured, and below it what the programs say, if they do."""
    lines = table(*detail_cells(comparison, row))
    names, extra = extra_cells(comparison, row)
    if names:
        lines += [""] + table([f"{row} says"] + names,
                              [[name] + cells for name, cells in zip(comparison.allocators, extra)])
    return lines


def _ratio_table(comparison, metric, to_best):
    """Ratios, a line for each row, geometric means last."""
    base = "the best rival" if to_best else comparison.baseline
    names = comparison.allocators
    lines = [[row] + [number(comparison.ratio(row, name, metric, to_best)) for name in names]
             for row in comparison.rows]
    lines += [[title] + [number(means[name]) for name in names]
              for title, means in comparison.means(metric, to_best)]
    return table([f"{figures.METRICS[metric].heading} / {base}"] + names, lines)


def _losses(comparison):
    lines = [[row, figures.METRICS[metric].title, number(value), rival,
              number(comparison.ratio(row, comparison.subject, metric, to_best=False))]
             for metric in ("cpu", "rss")
             for value, row, rival in comparison.losses(metric)]
    heading = (f"Where {comparison.subject} loses: more than {figures.LOSS} times the best rival "
               "in CPU time or peak RSS")
    if not lines:
        return [heading, "  nowhere"]
    lines.sort(key=lambda line: -float(line[2]))
    return [heading] + table(["row", "in", "ratio", "best rival", f"to {comparison.baseline}"],
                             lines)


def is_alarm(note):
    """Whether a note is one that a reader must not miss."""
    return note.startswith(("MISSING ", "UNFINISHED", "ONE CORE", "NO /proc"))


def disturbance_sentences(comparison):
    """How much else ran on the machine during the measured runs."""
    disturbed, known, total = comparison.disturbed()
    if not total:
        return ["nothing was measured"]
    if not known:
        return [f"other load during the {total} measured runs is not known"]
    return [f"{disturbed} of {known} measured runs were disturbed by other load (more than a "
            "tenth of a core); times are minima of all runs, medians and spreads those of "
            f"undisturbed runs where there are {figures.ENOUGH} of them"]


def render(comparison, notes):
    """The whole report as one text."""
    lines = list(notes) + disturbance_sentences(comparison) + [""]
    for row in comparison.rows:
        lines += _row_tables(comparison, row) + [""]
    for to_best in (True, False):
        for metric in figures.METRICS:
            lines += _ratio_table(comparison, metric, to_best) + [""]
    lines += _losses(comparison) + [""]
    problems = comparison.problems()
    lines.append("Problems:" if problems else "No problems.")
    lines += [f"  {problem}" for problem in problems]
    return "\n".join(lines) + "\n"
