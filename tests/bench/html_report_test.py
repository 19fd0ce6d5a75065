#!/usr/bin/env python3
"""Tests of bench/html_report.py and bench/charts.py: the page is whole and alone.

Usage: tests/bench/html_report_test.py
"""

import re
import unittest
import xml.etree.ElementTree

from bench_fixture import make_failure, make_run

import charts
import figures
import html_report

NASTY = "<&\"'>"


def page(runs, subject="ours", baseline="glibc", notes=(), **arguments):
    comparison = figures.Comparison(runs, subject, baseline, **arguments)
    return html_report.render(comparison, list(notes))


def parse(text):
    """The elements of a page; fails if it is not well-formed."""
    first, _, rest = text.partition("\n")
    assert first == "<!DOCTYPE html>", first
    return xml.etree.ElementTree.fromstring(rest)


def typical_runs():
    runs = []
    for row in ("alpha", "beta"):
        for position, name in enumerate(("ours", "glibc", "rival")):
            runs += [make_run(row, name, number, cpu_ms=10 + 5 * position + number,
                              rss_mib=3 - position, extra={"p99_us": 1.5})
                     for number in (1, 2, 3)]
    return runs


class HtmlReportTest(unittest.TestCase):

    def test_well_formed_with_all_sections(self):
        root = parse(page(typical_runs(), notes=["today"]))
        self.assertEqual(
            [element.text for element in root.iter("h2")],
            ["In short", "Time against memory", "Every row at a glance", "Where ours loses",
             "Ratios to the best rival of each row", "Each row", "Machine and method", "Problems"])
        self.assertEqual([element.text for element in root.iter("h3")], ["alpha", "beta"])
        # Three summaries, two scatter plots, two dot plots, three keys, two bars a row.
        self.assertEqual(len(list(root.iter("svg"))), 3 + 2 + 2 + 3 + 2 * 2)

    def test_self_contained(self):
        text = page(typical_runs())
        self.assertNotRegex(text, r"https?:|//|url\(|@import|<script|<link|<img|src=|href=")

    def test_light_and_dark(self):
        text = page(typical_runs())
        self.assertIn("prefers-color-scheme: dark", text)
        style = text[text.index("<style>"):text.index("</style>")]
        used = set(re.findall(r"var\((--\w+)\)", style))
        light, dark = style.split("@media (prefers-color-scheme: dark)")
        for colours in (light, dark.partition("* {")[0]):
            self.assertLessEqual(used, set(re.findall(r"(--\w+):", colours)))
        # No colour but those of the two schemes.
        self.assertNotRegex(text[text.index("</style>"):], r'"#[0-9a-f]{3}')

    def test_every_mark_has_a_tooltip(self):
        root = parse(page(typical_runs()))
        titles = [element.text for element in root.iter("title")]
        self.assertIn("rival: median 22.000, minimum 21.000, upper quartile 22.500 ms of 3 runs",
                      titles)

    def test_names_are_escaped(self):
        runs = [make_run(NASTY, name) for name in (NASTY, "glibc")]
        root = parse(page(runs + [make_failure(NASTY, "rival", problem=NASTY)],
                          subject=NASTY, notes=[NASTY]))
        self.assertIn(NASTY, [element.text for element in root.iter("h3")])

    def test_failures_and_missing_are_said(self):
        text = page([make_run("a", "ours"), make_run("a", "glibc"), make_failure("a", "rival")],
                    notes=["today", "MISSING other: no such library"])
        self.assertIn("failed or not run", text)
        alarms = text[text.index('class="warning"'):text.index("<h2>In short")]
        self.assertIn("MISSING other: no such library", alarms)
        self.assertIn("1 problem:", alarms)
        parse(text)

    def test_without_baseline(self):
        runs = [run for run in typical_runs() if run["allocator"] != "glibc"]
        text = page(runs)
        self.assertIn("CPU time / the best rival", text)
        parse(text)

    def test_each_kind_of_rows_has_its_summary(self):
        text = page(typical_runs(), rows={"alpha": "workload", "beta": "program"})
        headings = [element.text for element in parse(text).iter("h3")]
        self.assertEqual(headings, ["1 workloads", "1 programs"] * 2 + ["alpha", "beta"])

    def test_nothing_measured(self):
        text = page([], rows={"a": "workload"}, allocators=["ours", "glibc"])
        self.assertIn("No row was completed by all.", text)
        parse(text)

    def test_many_allocators_differ_in_colour_or_shape(self):
        runs = [make_run("a", f"rival{number}") for number in range(14)]
        root = parse(page(runs + [make_run("a", "ours"), make_run("a", "glibc")]))
        looks = set()
        for key in root.iterfind(".//span[@class='key']/svg"):
            looks.add((key[0].get("class"), key[0].tag, key[0].get("points")))
        self.assertEqual(len(looks), 16)


class ChartsTest(unittest.TestCase):

    def series(self, count):
        return [charts.Series(f"name{number}", number) for number in range(count)]

    def test_bars_end_where_their_values_are(self):
        one, two = self.series(2)
        root = xml.etree.ElementTree.fromstring(charts.bars("t", [
            charts.Bar(one, 10.0, 10.0, 10.0, "10", ""), charts.Bar(two, 5.0, 4.0, 8.0, "5", "")]))
        wide, narrow = (float(element.get("width")) for element in root.iter("rect"))
        self.assertAlmostEqual(wide / narrow, 2, places=1)
        whiskers = [element for element in root.iter("line") if element.get("class") == "whisker"]
        self.assertEqual(len(whiskers), 3)

    def test_labels_of_close_points_do_not_cover_each_other(self):
        points = [charts.Point(series, 1 + series.number / 1000, 1, "")
                  for series in self.series(4)]
        root = xml.etree.ElementTree.fromstring(charts.scatter(points, "x", "y"))
        places = [(element.get("x"), element.get("y")) for element in root.iter("text")
                  if element.text.startswith("name")]
        self.assertEqual(len(set(places)), 4)

    def test_axes_have_ticks_whatever_their_range(self):
        for high in (1.01, 1.3, 2, 7, 50, 5000):
            scale = charts._LogScale([1, high], 0, 100)
            with self.subTest(high=high):
                self.assertTrue(2 <= len(scale.ticks) <= charts.MOST_TICKS, scale.ticks)

    def test_curves_go_through_their_points(self):
        one, two = self.series(2)
        root = xml.etree.ElementTree.fromstring(charts.curves("t", [
            (one, [(0, 100), (5, 50), (10, 0)]), (two, [(0, 25)])], "x", "y"))
        points = [[tuple(map(float, point.split(","))) for point in line.get("points").split()]
                  for line in root.iter("polyline")]
        (left, top), middle, (right, bottom) = points[0]
        for found, expected in zip(middle, ((left + right) / 2, (top + bottom) / 2)):
            self.assertAlmostEqual(found, expected, delta=0.11)
        self.assertLess(top, bottom)
        self.assertEqual(points[1][0][0], left)
        self.assertAlmostEqual(points[1][0][1], bottom - (bottom - top) / 4, delta=0.11)

    def test_curves_with_a_logarithmic_axis(self):
        one, two = self.series(2)
        root = xml.etree.ElementTree.fromstring(charts.curves("t", [
            (one, [(0, 9), (1, 8), (10, 7), (100, 6)]), (two, [(0, 5)])], "x", "y", log_x=True))
        (line,) = root.iter("polyline")
        places = [float(point.split(",")[0]) for point in line.get("points").split()]
        self.assertEqual(len(places), 3)
        self.assertAlmostEqual(places[1] - places[0], places[2] - places[1], delta=0.21)

    def test_ticks_of_a_linear_axis(self):
        for highest in (0.7, 1, 9.99, 15, 60, 455.3, 1e6):
            ticks = charts._round_ticks(highest)
            with self.subTest(highest=highest):
                self.assertTrue(3 <= len(ticks) <= charts.MOST_TICKS, ticks)
                self.assertEqual(ticks[0], 0)
                self.assertLessEqual(ticks[-1], highest)

    def test_no_points_no_curves(self):
        self.assertEqual(charts.curves("t", [(self.series(1)[0], [])], "x", "y"), "")

    def test_no_rows_no_dots(self):
        self.assertEqual(charts.dots("t", [("row", [])]), "")


if __name__ == "__main__":
    unittest.main()
