"""The numbers of a comparison, from the raw runs: figures, ratios, problems.

A run is a record of execution.py with its `round` added; round 0 is the warm-up.
    Warm-up runs and runs with a problem are named, never counted.
Figure: the one number that stands for a metric of a row under an allocator. Of
    times it is the minimum of all runs, which other load on the machine
    disturbs least; of memory it is the median.
Spread: median and quartiles are those of the undisturbed runs (see machine.py)
    where there are ENOUGH of them, and of all runs otherwise.
Ratio:  a figure divided by the baseline's, or by the best rival's: the lowest
    of all allocators but the subject. Below 1 is better than it.
Mean:   the geometric mean over those rows that every allocator completed; an
    allocator that completed none at all is left out of that demand.
Nothing here reads a file or runs a program.
"""

import dataclasses
import math
import statistics

ENOUGH = 3
LOSS = 1.2  # a row is lost from this ratio to the best rival on


@dataclasses.dataclass(frozen=True)
class Metric:
    title: str
    unit: str
    scale: float  # from the record's unit to `unit`
    figure: str   # which attribute of Summary is the figure
    value: object  # record -> number

    @property
    def heading(self):
        return f"{self.title} ({self.figure})"


METRICS = {
    "cpu": Metric("CPU time", "ms", 1e-6, "minimum", lambda run: run["user_ns"] + run["system_ns"]),
    "wall": Metric("wall time", "ms", 1e-6, "minimum", lambda run: run["wall_ns"]),
    "rss": Metric("peak RSS", "MiB", 1 / 1024, "median", lambda run: run["peak_rss_kib"]),
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """What several runs say about one number."""

    count: int
    minimum: float
    lower: float   # quartile
    median: float
    upper: float   # quartile

    @property
    def spread(self):
        """The distance of the quartiles as a share of the median."""
        return (self.upper - self.lower) / self.median if self.median else 0.0


def summarize(values, preferred=None):
    """The Summary of values; None without any. `preferred` are those for the spread."""
    if not values:
        return None
    chosen = preferred if preferred and len(preferred) >= ENOUGH else values
    lower = median = upper = chosen[0]
    if len(chosen) > 1:
        lower, median, upper = statistics.quantiles(chosen, n=4, method="inclusive")
    return Summary(len(values), min(values), lower, median, upper)


def ratio(value, base):
    return value / base if value is not None and base else None


def geometric_mean(values):
    values = [value for value in values if value]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class Comparison:
    """All runs of some rows under some allocators, and what follows from them."""

    def __init__(self, runs, subject, baseline, rows=None, allocators=None):
        """`rows` has the kind of each row, in order ("workload", "program").

        Without it and `allocators`, they are those of the runs, in their order.
        """
        self.runs = runs
        self.subject = subject
        self.baseline = baseline
        kinds = rows or dict.fromkeys((run["row"] for run in runs), "workload")
        self.rows = list(kinds)
        self.groups = {}  # kind -> its rows
        for row, kind in kinds.items():
            self.groups.setdefault(kind, []).append(row)
        self.allocators = list(allocators or dict.fromkeys(run["allocator"] for run in runs))
        self.measured = [run for run in runs if run["round"] > 0]
        self._good = {}
        for run in self.measured:
            if not run["problem"]:
                self._good.setdefault((run["row"], run["allocator"]), []).append(run)
        self._summaries = {}
        for (row, allocator) in self._good:
            for metric, definition in METRICS.items():
                self._summaries[row, allocator, metric] = self.summarize_by(
                    row, allocator, definition.value)

    def good(self, row, allocator):
        """The runs that count."""
        return self._good.get((row, allocator), [])

    def summarize_by(self, row, allocator, value):
        """The Summary of value(run); runs for which it is None are left out."""
        values = [(run, value(run)) for run in self.good(row, allocator)]
        values = [(run, number) for run, number in values if number is not None]
        return summarize([number for _, number in values],
                         [number for run, number in values if not run.get("disturbed")])

    def summary(self, row, allocator, metric):
        return self._summaries.get((row, allocator, metric))

    def figure(self, row, allocator, metric):
        summary = self.summary(row, allocator, metric)
        return getattr(summary, METRICS[metric].figure) if summary else None

    def best_rival(self, row, metric):
        """(name, figure) of the best allocator but the subject; (None, None) without one."""
        figures = {name: self.figure(row, name, metric)
                   for name in self.allocators if name != self.subject}
        figures = {name: value for name, value in figures.items() if value is not None}
        name = min(figures, key=figures.get, default=None)
        return name, figures.get(name)

    def base(self, row, metric, to_best):
        """What ratios of the row are made with."""
        if to_best:
            return self.best_rival(row, metric)[1]
        return self.figure(row, self.baseline, metric)

    def ratio(self, row, allocator, metric, to_best):
        return ratio(self.figure(row, allocator, metric), self.base(row, metric, to_best))

    def working(self):
        """The allocators with at least one run that counts."""
        return [name for name in self.allocators if any(self.good(row, name) for row in self.rows)]

    def complete_rows(self, kind=None):
        """The rows that every working allocator completed, of a kind or of all."""
        working = self.working()
        return [row for row in (self.groups[kind] if kind else self.rows)
                if all(self.good(row, name) for name in working)]

    def mean_ratio(self, allocator, metric, to_best, kind=None):
        """The geometric mean over the complete rows, or None."""
        ratios = [self.ratio(row, allocator, metric, to_best) for row in self.complete_rows(kind)]
        return geometric_mean(ratios) if ratios and all(ratios) else None

    def means(self, metric, to_best):
        """[(title, {allocator: mean})]: of each kind if there are several, then of all."""
        kinds = (list(self.groups) if len(self.groups) > 1 else []) + [None]
        return [(f"geometric mean of {len(self.complete_rows(kind))} complete {kind or 'row'}s",
                 {name: self.mean_ratio(name, metric, to_best, kind) for name in self.allocators})
                for kind in kinds]

    def losses(self, metric):
        """[(ratio, row, best rival)] of the rows that the subject loses, worst first."""
        found = []
        for row in self.rows:
            value = self.ratio(row, self.subject, metric, to_best=True)
            if value is not None and value > LOSS:
                found.append((value, row, self.best_rival(row, metric)[0]))
        return sorted(found, reverse=True)

    def disturbed(self):
        """(runs that were disturbed, runs of which that is known, all measured runs)."""
        known = [run for run in self.measured if run.get("disturbed") is not None]
        return sum(run["disturbed"] for run in known), len(known), len(self.measured)

    def extra_names(self, row):
        """The names of further figures that runs of the row brought."""
        return list(dict.fromkeys(name for allocator in self.allocators
                                  for run in self.good(row, allocator)
                                  for name, value in (run.get("extra") or {}).items()
                                  if isinstance(value, (int, float))))

    def problems(self):
        """Sentences on runs that do not count, and on check sums that disagree."""
        failed = {}
        for run in self.runs:
            if run["problem"]:
                key = f"{run['row']} under {run['allocator']}: {run['problem']}"
                failed[key] = failed.get(key, 0) + 1
        sentences = [key + (f" ({count} times)" if count > 1 else "")
                     for key, count in failed.items()]
        unchecked = {run["allocator"] for run in self.measured if run.get("unchecked")}
        sentences += [f"{name}: whether the loader used the library could not be checked "
                      "(no tracing, or no /proc)" for name in self.allocators
                      if name in unchecked]
        return sentences + self._disagreements()

    def _disagreements(self):
        sentences = []
        for row in self.rows:
            sums = {}
            for name in self.allocators:
                for run in self.good(row, name):
                    sums.setdefault(run.get("checksum"), dict.fromkeys([name]))[name] = None
            if len(sums) > 1:
                parts = [f"{value} by {', '.join(names)}" for value, names in sums.items()]
                sentences.append(f"{row}: check sums differ: {'; '.join(parts)}")
        return sentences
