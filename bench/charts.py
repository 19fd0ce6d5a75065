"""Charts as SVG elements for an HTML page: bars, a scatter plot, a dot plot, curves.

Numbers in, text out: nothing here knows what is plotted. Colours are classes of
the page's style sheet, so that a page has them in a light and a dark variant:
    s0 ... s7    the colour of a series; each has a mark of another shape too, and
                 two of one colour differ in shape
    subject      added to what is to stand out
    axis, grid, label, value, note, whisker, frontier, curve   the rest
Every mark has a <title>, which browsers show when pointed at. The output is
well-formed XML.
"""

import dataclasses
import html
import math

LABEL_WIDTH = 8.0  # of a character at the size of labels, bold ones too
# Where a decade may have its ticks, from few to many; the most that fit are taken.
TICKS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
         [step / 10 for step in range(10, 100)], [step / 50 for step in range(50, 500)])
MOST_TICKS = 7


@dataclasses.dataclass(frozen=True)
class Series:
    """Whose mark it is: a name, its colour and shape, whether it stands out."""
    name: str
    number: int
    subject: bool = False

    @property
    def css(self):
        colour = self.number if self.number < 8 else 2 + self.number % 6
        return f"s{colour}" + (" subject" if self.subject else "")


@dataclasses.dataclass(frozen=True)
class Bar:
    series: Series
    value: object  # None for a bar that is missing
    low: float     # whisker
    high: float
    text: str      # behind the bar
    tooltip: str


@dataclasses.dataclass(frozen=True)
class Point:
    series: Series
    x: float
    y: float
    tooltip: str


def _escape(text):
    return html.escape(str(text), quote=True)


def _text(x, y, text, css="label", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">'
            f"{_escape(text)}</text>")


def _line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _svg(width, height, parts, description):
    return (f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width * 1.25:.0f}px" '
            f'role="img" aria-label="{_escape(description)}">{"".join(parts)}</svg>')


def mark(series, x, y, radius):
    """The mark of a series around a point: circle, square, triangle, diamond, ..."""
    r = radius * 1.25 if series.subject else radius
    shapes = (
        None,
        [(-.9, -.9), (.9, -.9), (.9, .9), (-.9, .9)],
        [(0, -1.15), (1.1, .85), (-1.1, .85)],
        [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        [(0, 1.15), (1.1, -.85), (-1.1, -.85)],
        [(-.4, -1.2), (.4, -1.2), (.4, -.4), (1.2, -.4), (1.2, .4), (.4, .4), (.4, 1.2),
         (-.4, 1.2), (-.4, .4), (-1.2, .4), (-1.2, -.4), (-.4, -.4)],
        [(-1.1, 0), (-.55, -1), (.55, -1), (1.1, 0), (.55, 1), (-.55, 1)],
        [(-1.2, 0), (.9, -1.1), (.9, 1.1)],
    )
    shape = shapes[series.number % len(shapes)]
    if shape is None:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" class="mark {series.css}"/>'
    corners = " ".join(f"{x + dx * r:.1f},{y + dy * r:.1f}" for dx, dy in shape)
    return f'<polygon points="{corners}" class="mark {series.css}"/>'


def legend_entry(series):
    """Mark and name of a series, for a legend outside of a chart."""
    return (f'<span class="key"><svg viewBox="0 0 14 14" class="keymark" aria-hidden="true">'
            f"{mark(series, 7, 7, 4.5)}</svg>{_escape(series.name)}</span>")


def bars(title, entries, width=520):
    """Horizontal bars from zero, with whiskers and the value behind them."""
    row, top = 21, 26
    left = 12 + LABEL_WIDTH * max(len(bar.series.name) for bar in entries)
    right = 14 + LABEL_WIDTH * max(len(bar.text) for bar in entries)
    longest = max((max(bar.value, bar.high) for bar in entries if bar.value is not None),
                  default=0) or 1
    scale = (width - left - right) / longest
    parts = [_text(0, 14, title, "title")]
    for index, bar in enumerate(entries):
        y = top + index * row
        middle = y + row / 2
        bold = " subject" if bar.series.subject else ""
        parts.append(f"<g><title>{_escape(bar.tooltip)}</title>")
        parts.append(_text(left - 8, middle + 4, bar.series.name, "label" + bold, "end"))
        end = left
        if bar.value is not None:
            end = left + max(bar.value, bar.high) * scale
            parts.append(f'<rect x="{left:.1f}" y="{y + 3:.1f}" rx="2" '
                         f'width="{max(bar.value * scale, 1):.1f}" height="{row - 6}" '
                         f'class="bar{bold}"/>')
            if bar.high > bar.low:
                low, high = left + bar.low * scale, left + bar.high * scale
                parts.append(_line(low, middle, high, middle, "whisker"))
                parts += [_line(x, middle - 4, x, middle + 4, "whisker") for x in (low, high)]
        parts.append(_text(end + 6, middle + 4, bar.text, "value" + bold))
        parts.append("</g>")
    parts.append(_line(left, top, left, top + row * len(entries), "axis"))
    return _svg(width, top + row * len(entries) + 4, parts, title)


class _LogScale:
    """Positions of positive numbers between two ends of an axis."""

    def __init__(self, values, start, end, margin=1.15):
        low, high = min(values) / margin, max(values) * margin
        self._low, self._range = math.log(low), math.log(high) - math.log(low)
        self._start, self._length = start, end - start
        self.ticks = []
        for steps in TICKS:
            ticks = [round(step * 10.0 ** power, 6) for power in range(-4, 5) for step in steps]
            ticks = [tick for tick in ticks if low <= tick <= high]
            if len(ticks) <= MOST_TICKS:
                self.ticks = ticks

    def __call__(self, value):
        return self._start + (math.log(value) - self._low) / self._range * self._length


def _tick_text(value):
    return f"{value:g}"


def _place_labels(points, positions, width, height):
    """A place (x, y, anchor) for each point's name that covers no other, if there is one."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in positions]
    placed = []
    for point, (x, y) in zip(points, positions):
        length = LABEL_WIDTH * len(point.series.name)
        choices = [(x + 9, y - 5, "start"), (x - 9, y - 5, "end"),
                   (x + 9, y + 14, "start"), (x - 9, y + 14, "end")]
        choices += [(x + side * 9, y - 5 + step, anchor) for step in (-13, 32, -26, 45)
                    for side, anchor in ((1, "start"), (-1, "end"))]

        def box(choice, length=length):
            start = choice[0] - {"start": 0, "middle": length / 2, "end": length}[choice[2]]
            return start, choice[1] - 10, start + length, choice[1] + 3

        def free(choice, box=box):
            left, top, right, bottom = box(choice)
            return left > 0 and right < width and bottom < height and all(
                right < a or left > c or bottom < b or top > d for a, b, c, d in taken)
        choice = next(filter(free, choices), choices[0])
        taken.append(box(choice))
        placed.append(choice)
    return placed


def scatter(points, x_title, y_title, width=540, height=400):
    """Named points on logarithmic axes; both get better towards the lower left corner.

    A step line joins the points that no other one beats on both axes. The lines
    at 1 are drawn stronger.
    """
    left, right, top, bottom = 58, 16, 12, 50
    x_scale = _LogScale([point.x for point in points] + [1], left, width - right)
    y_scale = _LogScale([point.y for point in points] + [1], height - bottom, top)
    parts = []
    for tick in x_scale.ticks:
        x = x_scale(tick)
        parts.append(_line(x, top, x, height - bottom, "axis" if tick == 1 else "grid"))
        parts.append(_text(x, height - bottom + 17, _tick_text(tick), "label", "middle"))
    for tick in y_scale.ticks:
        y = y_scale(tick)
        parts.append(_line(left, y, width - right, y, "axis" if tick == 1 else "grid"))
        parts.append(_text(left - 7, y + 4, _tick_text(tick), "label", "end"))
    parts.append(_text((left + width - right) / 2, height - 12, x_title, "label", "middle"))
    middle = (top + height - bottom) / 2
    parts.append(f'<g transform="rotate(-90 15 {middle:.0f})">'
                 + _text(15, middle + 4, y_title, "label", "middle") + "</g>")
    parts.append(_text(left + 8, height - bottom - 9, "\N{SOUTH WEST ARROW} better", "note"))
    best = sorted((point for point in points if not any(
        other.x <= point.x and other.y <= point.y and (other.x, other.y) != (point.x, point.y)
        for other in points)), key=lambda point: point.x)
    path = [f"{x_scale(best[0].x):.1f},{top}"]
    for before, point in zip([None] + best, best):
        if before:
            path.append(f"{x_scale(point.x):.1f},{y_scale(before.y):.1f}")
        path.append(f"{x_scale(point.x):.1f},{y_scale(point.y):.1f}")
    path.append(f"{width - right},{y_scale(best[-1].y):.1f}")
    parts.append(f'<polyline points="{" ".join(path)}" class="frontier"/>')
    positions = [(x_scale(point.x), y_scale(point.y)) for point in points]
    for point, (x, y), (text_x, text_y, anchor) in zip(
            points, positions, _place_labels(points, positions, width, height - bottom)):
        bold = " subject" if point.series.subject else ""
        parts.append(f"<g><title>{_escape(point.tooltip)}</title>{mark(point.series, x, y, 6)}"
                     + _text(text_x, text_y, point.series.name, "label" + bold, anchor) + "</g>")
    return _svg(width, height, parts, f"{y_title} against {x_title}")


def dots(title, rows, width=560):
    """One line a row, [(row, [Point])], with the x of its points on one logarithmic axis."""
    rows = [(name, points) for name, points in rows if points]
    if not rows:
        return ""
    step, top, bottom, right = 17, 42, 8, 14
    left = 16 + LABEL_WIDTH * max(len(name) for name, _ in rows)
    end = top + step * len(rows)
    scale = _LogScale([point.x for _, points in rows for point in points] + [1],
                      left, width - right)
    parts = [_text(0, 14, title, "title")]
    for tick in scale.ticks:
        parts.append(_line(scale(tick), top - 4, scale(tick), end, "axis" if tick == 1 else "grid"))
        parts.append(_text(scale(tick), top - 9, _tick_text(tick), "label", "middle"))
    for index, (name, points) in enumerate(rows):
        y = top + step * index + step / 2
        parts.append(_text(left - 10, y + 4, name, "label", "end"))
        parts.append(_line(left - 4, y, width - right, y, "grid"))
        for point in sorted(points, key=lambda point: point.series.subject):
            parts.append(f"<g><title>{_escape(point.tooltip)}</title>"
                         f"{mark(point.series, scale(point.x), y, 3.6)}</g>")
    return _svg(width, end + bottom, parts, title)


def _round_ticks(highest):
    """Multiples of a round number from zero to `highest`, at most MOST_TICKS."""
    power = 10.0 ** math.floor(math.log10(highest))
    for step in (power / 10 * factor for factor in (1, 2, 5, 10, 20, 50)):
        if highest / step < MOST_TICKS:
            return [step * count for count in range(int(highest / step) + 1)]
    raise AssertionError("no step is large enough")


def curves(title, lines, x_title, y_title, log_x=False, width=560, height=300):
    """A line for each [(Series, [(x, y)])]; y starts at zero, and x too unless it is logarithmic.

    A logarithmic axis leaves out what is not above zero.
    """
    lines = [(series, [(x, y) for x, y in points if x > 0 or not log_x])
             for series, points in lines]
    lines = [(series, points) for series, points in lines if points]
    if not lines:
        return ""
    left, right, top, bottom = 58, 16, 26, 46
    high_x = max(x for _, points in lines for x, _ in points) or 1
    high_y = max(y for _, points in lines for _, y in points) or 1
    if log_x:
        x_scale = _LogScale([x for _, points in lines for x, _ in points], left, width - right, 1)
        x_ticks = x_scale.ticks
    else:
        x_ticks = _round_ticks(high_x)

        def x_scale(x):
            return left + x / high_x * (width - left - right)

    def y_scale(y):
        return height - bottom - y / high_y * (height - bottom - top)

    parts = [_text(0, 14, title, "title")]
    for tick in x_ticks:
        x = x_scale(tick)
        parts.append(_line(x, top, x, height - bottom, "grid"))
        parts.append(_text(x, height - bottom + 16, _tick_text(tick), "label", "middle"))
    for tick in _round_ticks(high_y):
        y = y_scale(tick)
        parts.append(_line(left, y, width - right, y, "grid" if tick else "axis"))
        parts.append(_text(left - 7, y + 4, _tick_text(tick), "label", "end"))
    parts.append(_text((left + width - right) / 2, height - 10, f"{x_title}; vertical: {y_title}",
                       "label", "middle"))
    for series, points in sorted(lines, key=lambda line: line[0].subject):
        path = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in points)
        parts.append(f"<g><title>{_escape(series.name)}</title>"
                     f'<polyline points="{path}" class="curve {series.css}"/>'
                     + mark(series, x_scale(points[-1][0]), y_scale(points[-1][1]), 3.6) + "</g>")
    return _svg(width, height, parts, title)
