"""The records of resident.py as a table of text, and as an HTML page with curves.

Figure: what stands for a line of a row under an allocator: of all runs without a
    problem the median, or the best where the line says so.
Best:   marked with a star in the text, in green on the page; so is every figure
    that looks the same.
Rank:   1 and the number of allocators whose figure looks better than the
    subject's, of all that have one.
Nothing here reads a file or runs a program.
"""

import html
import statistics

import charts
import html_report
import report
import resident_rows


class Table:
    """Figures of the rows under the allocators, both in order."""

    def __init__(self, records, rows, allocators, subject):
        self.rows = rows
        self.allocators = allocators
        self.subject = subject
        self.records = records
        self._good = {}
        for record in records:
            if not record["problem"]:
                self._good.setdefault((record["row"], record["allocator"]), []).append(record)

    def good(self, row, allocator):
        """The records that count."""
        return self._good.get((row.name, allocator), [])

    def cells(self, row, line):
        """Allocator -> figure as text; "-" without one."""
        texts = {}
        for name in self.allocators:
            values = [line.value(record) for record in self.good(row, name)]
            values = [value for value in values if value is not None]
            choose = statistics.median
            if line.best_run:
                choose = max if line.higher_is_better else min
            texts[name] = report.number(choose(values) if values else None, line.digits)
        return texts

    def _better(self, line, left, right):
        left, right = float(left), float(right)
        return left > right if line.higher_is_better else left < right

    def best(self, row, line):
        """The names of the allocators that none is better than."""
        cells = {name: text for name, text in self.cells(row, line).items() if text != "-"}
        return [name for name, text in cells.items()
                if not any(self._better(line, other, text) for other in cells.values())]

    def rank(self, row, line):
        """The subject's, as "1 of 8"; "-" without a figure of it."""
        cells = {name: text for name, text in self.cells(row, line).items() if text != "-"}
        if self.subject not in cells:
            return "-"
        own = cells[self.subject]
        better = sum(self._better(line, text, own) for text in cells.values())
        return f"{1 + better} of {len(cells)}"

    def problems(self):
        return list(dict.fromkeys(f"{record['row']} under {record['allocator']}: "
                                  f"{record['problem']}"
                                  for record in self.records if record["problem"]))


def text_lines(table):
    """The table, a line a figure, then sentences on what went wrong."""
    header = ["row", "figure", "unit", *table.allocators, "rank"]
    lines = []
    for row in table.rows:
        for index, line in enumerate(row.lines):
            cells, best = table.cells(row, line), table.best(row, line)
            lines.append(["" if index else row.name, line.label, line.unit]
                         + [cells[name] + ("*" if name in best else " ")
                            for name in table.allocators] + [table.rank(row, line)])
    lines = report.table(header, lines)
    problems = table.problems()
    return (lines + ["", "* best", "Problems:" if problems else "No problems."]
            + [f"  {problem}" for problem in problems])


def _escape(text):
    return html.escape(str(text), quote=True)


def _element(name, content, css=""):
    return f'<{name} class="{css}">{content}</{name}>' if css else f"<{name}>{content}</{name}>"


class _Page:

    def __init__(self, table, notes, baseline):
        self.table = table
        self.notes = notes
        numbers = {table.subject: 0, baseline: 1}
        others = [name for name in table.allocators if name not in numbers]
        numbers.update((name, 2 + index) for index, name in enumerate(others))
        self.series = {name: charts.Series(name, numbers[name], name == table.subject)
                       for name in table.allocators}

    def figures(self):
        subject = self.table.subject
        head = "".join(_element("th", _escape(name), "subject" if name == subject else "")
                       for name in ["row", "figure", "unit", *self.table.allocators, "rank"])
        lines = [_element("tr", head)]
        for row in self.table.rows:
            for index, line in enumerate(row.lines):
                cells, best = self.table.cells(row, line), self.table.best(row, line)
                parts = [_element("td", _escape(text))
                         for text in (row.name if index == 0 else "", line.label, line.unit)]
                for name in self.table.allocators:
                    css = ["subject"] if name == subject else []
                    css += ["best"] if name in best else []
                    parts.append(_element("td", cells[name], " ".join(css)))
                parts.append(_element("td", self.table.rank(row, line)))
                lines.append(_element("tr", "".join(parts)))
        return _element("div", _element("table", "".join(lines)), "scroll")

    def curve(self, row):
        """The first run of each allocator as a line; nothing where there is no time."""
        if not row.x_title:
            return ""
        scale = 1 if row.x_title == "phases" else 1000
        lines = []
        for name, series in self.series.items():
            for record in self.table.good(row, name)[:1]:
                lines.append((series, [(at / scale, kib / resident_rows.MIB)
                                       for at, kib in record["samples"]]))
        chart = charts.curves(row.name, lines, row.x_title, "RSS in MiB", row.log_x)
        return _element("div", chart, "card") if chart else ""


def render(table, notes, baseline):
    """The whole page as one text."""
    page = _Page(table, notes, baseline)
    alarms = [note for note in notes if report.is_alarm(note)] + table.problems()
    legend = "".join(charts.legend_entry(series) for series in page.series.values())
    items = "".join(_element("li", _escape(note)) for note in notes)
    body = [
        _element("h1", f"{_escape(table.subject)}: resident memory over time"),
        _element("p", _escape(notes[0] if notes else ""), "soft"),
        _element("div", _element("ul", "".join(_element("li", _escape(alarm))
                                               for alarm in alarms)), "warning") if alarms else "",
        _element("h2", "RSS over time"), _element("p", legend),
        _element("div", "".join(page.curve(row) for row in table.rows), "pair"),
        _element("h2", "Figures"), page.figures(),
        _element("h2", "Machine and method"), _element("ul", items),
    ]
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f"<title>{_escape(table.subject)}: resident memory over time</title>"
            f"<style>{html_report.STYLE}</style></head>\n<body>\n" + "\n".join(body)
            + "\n</body></html>\n")
