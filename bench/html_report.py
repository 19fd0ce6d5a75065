"""The comparison as one HTML page. What the numbers mean: figures.py.

The page needs nothing but itself: the style is inside, the charts are inline SVG
(charts.py), there is no script and no reference to anything elsewhere. It
follows the reader's light or dark scheme and narrow screens. It is well-formed
XML as well, apart from its first line.

Sections: in short; time against memory; every row at a glance; where the subject
    loses; tables of ratios; each row in detail; machine and method; problems.
"""

import html

import charts
import figures
import report

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2127; --soft: #5b6570;
  --line: #d9dee4; --card: #f6f8fa; --bar: #b4bfca; --accent: #0063b2; --good: #d7ecdf;
  --bad: #fbe3cf; --worse: #f5bf95; --whisker: #39434d;
  --c0: #0063b2; --c1: #6f7780; --c2: #d98200; --c3: #009e73; --c4: #c2497f; --c5: #8a5a00;
  --c6: #c8440a; --c7: #6a51a3; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e4e8ec;
  --soft: #9aa5b1; --line: #323a44; --card: #1b2128; --bar: #4c5866; --accent: #52b1ff;
  --good: #173d2a; --bad: #4a3016; --worse: #74400f; --whisker: #c8d0d8;
  --c0: #52b1ff; --c1: #a3adb8; --c2: #ffb54a; --c3: #2fd3a2; --c4: #f48fbd; --c5: #d0a860;
  --c6: #ff8250; --c7: #b7a2f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 74rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; }
h3 { font-size: 1rem; margin: .6rem 0 .1rem; overflow-wrap: anywhere; }
.card p { font-size: .88rem; max-width: none; margin: 0 0 .5rem; }
p { margin: .3rem 0 .8rem; max-width: 48rem; }
.soft, small { color: var(--soft); }
.lead { font-size: 1.1rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: .2rem 1.2rem; align-items: start; }
.triple { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: .2rem 1.2rem; align-items: start; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem 1rem; margin: .8rem 0; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12px; fill: var(--ink); paint-order: stroke; stroke: var(--card);
  stroke-width: 3px; stroke-linejoin: round; }
svg text.title { font-weight: 600; }
svg text.label { fill: var(--soft); }
svg text.value { font-variant-numeric: tabular-nums; }
svg text.label.subject, svg text.value.subject { fill: var(--accent); font-weight: 700; }
svg text.note { fill: var(--soft); font-style: italic; }
.bar { fill: var(--bar); } .bar.subject { fill: var(--accent); }
.axis { stroke: var(--soft); stroke-width: 1.2; } .grid { stroke: var(--line); stroke-width: 1; }
.whisker { stroke: var(--whisker); stroke-width: 1.4; }
.frontier { fill: none; stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 4; }
.curve { stroke-width: 1.5; stroke-linejoin: round; }
.curve.subject { stroke-width: 2.6; }
.mark { stroke: var(--page); stroke-width: .7; }
.s0 { fill: var(--c0); } .s1 { fill: var(--c1); } .s2 { fill: var(--c2); } .s3 { fill: var(--c3); }
.s4 { fill: var(--c4); } .s5 { fill: var(--c5); } .s6 { fill: var(--c6); } .s7 { fill: var(--c7); }
.curve.s0 { stroke: var(--c0); } .curve.s1 { stroke: var(--c1); } .curve.s2 { stroke: var(--c2); }
.curve.s3 { stroke: var(--c3); } .curve.s4 { stroke: var(--c4); } .curve.s5 { stroke: var(--c5); }
.curve.s6 { stroke: var(--c6); } .curve.s7 { stroke: var(--c7); } .curve { fill: none; }
.key { display: inline-flex; align-items: center; margin-right: 1rem; white-space: nowrap; }
.keymark { width: 14px; margin-right: .35rem; }
.scroll { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .18rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--page); }
.card th:first-child, .card td:first-child { background: var(--card); }
tr.mean td { font-weight: 700; border-top: 2px solid var(--soft); }
td.subject, th.subject, tr.subject td { color: var(--accent); font-weight: 700; }
td.best { background: var(--good); } td.bad { background: var(--bad); }
td.worse { background: var(--worse); }
details { margin-top: .4rem; } summary { cursor: pointer; color: var(--soft); }
ul { padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
.warning { border-left: 4px solid var(--c6); padding-left: .8rem; }
"""


def _escape(text):
    return html.escape(str(text), quote=True)


def _times(value):
    return "no figure" if value is None else f"{value:.2f} \N{MULTIPLICATION SIGN}"


def _element(name, content, css=""):
    attribute = f' class="{css}"' if css else ""
    return f"<{name}{attribute}>{content}</{name}>"


def _list(sentences):
    return _element("ul", "".join(_element("li", _escape(sentence)) for sentence in sentences))


class _Page:
    """One comparison; each method makes one section."""

    def __init__(self, comparison, notes):
        self.comparison = comparison
        self.notes = notes
        working = comparison.working()
        self.to_best = comparison.baseline not in working
        self.base = "the best rival" if self.to_best else comparison.baseline
        self.kinds = list(comparison.groups) if len(comparison.groups) > 1 else [None]
        order = [name for name in (comparison.subject, comparison.baseline)
                 if name in comparison.allocators]
        order += [name for name in comparison.allocators if name not in order]
        # The subject's and the baseline's colours are kept for them.
        numbers = {comparison.subject: 0, comparison.baseline: 1}
        others = [name for name in order if name not in numbers]
        numbers.update((name, 2 + index) for index, name in enumerate(others))
        self.series = {name: charts.Series(name, numbers[name], name == comparison.subject)
                       for name in order}

    def mean(self, name, metric, kind):
        return self.comparison.mean_ratio(name, metric, self.to_best, kind)

    def count(self, kind):
        """How many rows a mean is over, in words."""
        return f"{len(self.comparison.complete_rows(kind))} {kind or 'row'}s"

    def heading(self, kind):
        """Nothing where there is but one kind of rows."""
        return _element("h3", _escape(self.count(kind))) if kind else ""

    def head(self):
        subject = self.comparison.subject
        others = sum(name != subject for name in self.comparison.allocators)
        lines = [f"<h1>{_escape(subject)} against {others} other "
                 f"allocator{'s' if others != 1 else ''}</h1>",
                 f'<p class="soft">{_escape(self.notes[0] if self.notes else "")}</p>']
        for kind in self.kinds:
            cpu, rss = self.mean(subject, "cpu", kind), self.mean(subject, "rss", kind)
            if cpu and rss:
                lines.append(
                    f'<p class="lead">{_escape(subject)} takes <b>{_times(cpu)}</b> the CPU time '
                    f"and <b>{_times(rss)}</b> the peak memory of {_escape(self.base)}, "
                    f"in the geometric mean of {_escape(self.count(kind))}.</p>")
        alarms = [note for note in self.notes if report.is_alarm(note)]
        problems = self.comparison.problems()
        if problems:
            alarms.append(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: "
                          "see the end of the page")
        return "".join(lines) + (_element("div", _list(alarms), "warning") if alarms else "")

    def summary(self):
        parts = []
        for kind in self.kinds:
            cards = [_element("div", self._summary_chart(metric, kind), "card")
                     for metric in figures.METRICS]
            parts.append(self.heading(kind) + _element("div", "".join(cards), "triple"))
        return (f"<h2>In short</h2><p>Geometric means of the ratios to {_escape(self.base)} over "
                "the rows that every allocator completed. Shorter is better.</p>" + "".join(parts))

    def _summary_chart(self, metric, kind):
        means = sorted(((self.mean(name, metric, kind), name) for name in self.series),
                       key=lambda pair: pair[0] or float("inf"))
        return charts.bars(
            f"{figures.METRICS[metric].title} / {self.base}",
            [charts.Bar(self.series[name], value, 0, 0, report.number(value),
                        f"{name}: {_times(value)} {self.base}") for value, name in means],
            width=370)

    def scatter(self):
        parts = []
        for kind in self.kinds:
            cards = []
            for metric in ("cpu", "wall"):
                points = self._scatter_points(metric, kind)
                if points:
                    cards.append(_element("div", charts.scatter(
                        points, f"{figures.METRICS[metric].title} / {self.base}",
                        f"peak RSS / {self.base}"), "card"))
            if cards:
                parts.append(self.heading(kind) + _element("div", "".join(cards), "pair"))
        if not parts:
            return "<h2>Time against memory</h2><p>No row was completed by all.</p>"
        return ("<h2>Time against memory</h2><p>The same means, on logarithmic axes. The lower "
                "left corner wins; allocators on the dashed line are beaten by nobody in both.</p>"
                + "".join(parts))

    def _scatter_points(self, metric, kind):
        points = []
        for name, series in self.series.items():
            times, rss = self.mean(name, metric, kind), self.mean(name, "rss", kind)
            if times and rss:
                points.append(charts.Point(
                    series, times, rss, f"{name}: {figures.METRICS[metric].title} "
                    f"{_times(times)}, memory {_times(rss)}"))
        return points

    def glance(self):
        parts = []
        for metric in ("cpu", "rss"):
            rows = []
            for row in self.comparison.rows:
                ratios = [(name, self.comparison.ratio(row, name, metric, self.to_best))
                          for name in self.series]
                rows.append((row, [charts.Point(self.series[name], value, 0,
                                                f"{row}, {name}: {_times(value)} {self.base}")
                                   for name, value in ratios if value]))
            title = f"{figures.METRICS[metric].title} / {self.base}"
            parts.append(_element("div", charts.dots(title, rows), "card"))
        legend = "".join(charts.legend_entry(series) for series in self.series.values())
        return (f"<h2>Every row at a glance</h2><p>Ratios to {_escape(self.base)}, logarithmic: "
                "further to the left is better.</p>" + _element("p", legend)
                + _element("div", "".join(parts), "pair"))

    def losses(self):
        comparison = self.comparison
        lines = []
        for metric in ("cpu", "rss"):
            for value, row, rival in comparison.losses(metric):
                lines.append((value, [row, figures.METRICS[metric].title, f"{value:.2f}", rival]))
        heading = f"<h2>Where {_escape(comparison.subject)} loses</h2>"
        if not lines:
            return heading + f"<p>In no row by more than {figures.LOSS} times.</p>"
        lines.sort(key=lambda line: -line[0])
        body = "".join(_element("tr", "".join(_element("td", _escape(cell)) for cell in cells))
                       for _, cells in lines)
        head = "".join(_element("th", text) for text in ("row", "in", "ratio", "best rival"))
        return (heading + f"<p>Rows in which it takes more than {figures.LOSS} times what the best "
                "rival of the row takes.</p>"
                + _element("div", _element("table", _element("tr", head) + body), "scroll"))

    def ratios(self):
        parts = ["<h2>Ratios to the best rival of each row</h2><p>Below 1.00 nobody else was "
                 f"better. Marked: the best, and what is above {figures.LOSS} and above 2.</p>"]
        comparison = self.comparison
        for metric, definition in figures.METRICS.items():
            head = _element("th", _escape(definition.heading)) + "".join(
                _element("th", _escape(name), "subject" if series.subject else "")
                for name, series in self.series.items())
            lines = [_element("tr", head)]
            for row in comparison.rows:
                values = {name: comparison.ratio(row, name, metric, True) for name in self.series}
                lines.append(_element("tr", _element("td", _escape(row))
                                      + self._ratio_cells(values)))
            for title, means in comparison.means(metric, True):
                lines.append(_element("tr", _element("td", _escape(title)) + self._ratio_cells(
                    {name: means[name] for name in self.series}), "mean"))
            table = _element("div", _element("table", "".join(lines)), "scroll")
            opened = ' open="open"' if metric != "wall" else ""
            parts.append(f"<details{opened}><summary>{_escape(definition.title)}</summary>"
                         f"{table}</details>")
        return "".join(parts)

    def _ratio_cells(self, values):
        best = min((value for value in values.values() if value), default=None)
        cells = []
        for name, value in values.items():
            classes = ["subject"] if self.series[name].subject else []
            if value is not None:
                classes += ["best"] if value == best else ["worse"] if value > 2 else [
                    "bad"] if value > figures.LOSS else []
            cells.append(_element("td", report.number(value), " ".join(classes)))
        return "".join(cells)

    def row(self, row):
        comparison = self.comparison
        parts = []
        for metric in ("cpu", "rss"):
            definition = figures.METRICS[metric]
            entries = []
            for name, series in self.series.items():
                summary = comparison.summary(row, name, metric)
                if summary is None:
                    entries.append(charts.Bar(series, None, 0, 0, "failed or not run",
                                              f"{name}: no run that counts"))
                    continue
                low, median, high = (value * definition.scale for value in
                                     (summary.minimum, summary.median, summary.upper))
                text = f"{median:.2f}" if median < 10 else f"{median:.1f}"
                entries.append(charts.Bar(
                    series, median, low, high, text,
                    f"{name}: median {median:.3f}, minimum {low:.3f}, upper quartile {high:.3f} "
                    f"{definition.unit} of {summary.count} runs"))
            parts.append(charts.bars(f"{definition.title}, {definition.unit}", entries))
        return _element("div", _element("h3", _escape(row)) + self._standing(row)
                        + _element("div", "".join(parts), "pair") + self._numbers(row), "card")

    def _standing(self, row):
        """The subject beside the best rival in one line."""
        words = []
        for metric in ("cpu", "wall", "rss"):
            value = self.comparison.ratio(row, self.comparison.subject, metric, True)
            if value is not None:
                rival = self.comparison.best_rival(row, metric)[0]
                words.append(f"{figures.METRICS[metric].title} {_times(value)} {rival}")
        if not words:
            return ""
        return _element("p", _escape(f"{self.comparison.subject} and the best rival: "
                                     + ", ".join(words)), "soft")

    def _numbers(self, row):
        header, lines = report.detail_cells(self.comparison, row)
        names, extra = report.extra_cells(self.comparison, row)
        lines = [line + more for line, more in zip(lines, extra)] if names else lines
        table = _element("tr", "".join(_element("th", _escape(cell))
                                       for cell in [""] + header[1:] + names))
        for line in lines:
            subject = line[0] == self.comparison.subject
            table += _element("tr", "".join(_element("td", _escape(cell)) for cell in line),
                              "subject" if subject else "")
        return ("<details><summary>numbers</summary>"
                + _element("div", _element("table", table), "scroll") + "</details>")

    def rows(self):
        return ("<h2>Each row</h2><p>Bars are medians; whiskers reach from the minimum to the "
                "upper quartile.</p>" + "".join(map(self.row, self.comparison.rows)))

    def end(self):
        problems = self.comparison.problems()
        return ("<h2>Machine and method</h2>"
                + _list(self.notes + report.disturbance_sentences(self.comparison))
                + "<h2>Problems</h2>" + (_list(problems) if problems else "<p>None.</p>"))


def render(comparison, notes):
    """The whole page as one text."""
    page = _Page(comparison, notes)
    sections = [page.head(), page.summary(), page.scatter(), page.glance(), page.losses(),
                page.ratios(), page.rows(), page.end()]
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f"<title>{_escape(comparison.subject)}: benchmark report</title>"
            f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(sections)
            + "\n</body></html>\n")
