#!/usr/bin/env python3
"""Tests of bench/resident_report.py: medians, the best, ranks, the page.

Usage: tests/bench/resident_report_test.py
"""

import unittest
import xml.etree.ElementTree

import bench_fixture  # Puts bench/ on the path.

import resident_report
from resident_rows import Line, Row, number, sample

NASTY = "<&\"'>"
ROW = Row("row", "program", (), (Line("top", "MiB", number("top_kib")),
                                 Line("1 s", "MiB", sample(1000)),
                                 Line("speed", "1/s", number("speed", 1), True),
                                 Line("best", "1/s", number("speed", 1), True, best_run=True)),
          1, 1, x_title="seconds", log_x=True)


def record(allocator, top_mib, speed=1, problem=None, name="row"):
    return {"row": name, "allocator": allocator, "round": 1, "problem": problem,
            "figures": {"top_kib": top_mib * 1024, "speed": speed},
            "samples": [[0, 2048], [1000, 1024], [2000, 512]]}


def table(*records, allocators=("ours", "glibc", "rival")):
    return resident_report.Table(list(records), [ROW], list(allocators), "ours")


class TableTest(unittest.TestCase):

    def lines(self, *records):
        return resident_report.text_lines(table(*records))

    def test_median_best_and_rank(self):
        lines = self.lines(record("ours", 5), record("ours", 3), record("ours", 100),
                           record("glibc", 4), record("rival", 7))
        self.assertRegex(lines[2], r"^row +top +MiB +5\.0 +4\.0\* +7\.0 +2 of 3$")

    def test_equal_figures_are_all_best(self):
        lines = self.lines(record("ours", 5), record("glibc", 5), record("rival", 5.01))
        self.assertRegex(lines[2], r"5\.0\* +5\.0\* +5\.0\* +1 of 3$")

    def test_some_figures_are_better_when_higher(self):
        lines = self.lines(record("ours", 1, 10), record("glibc", 1, 30), record("rival", 1, 20))
        self.assertRegex(lines[4], r"^ +speed +1/s +10\.0 +30\.0\* +20\.0 +3 of 3$")

    def test_of_some_figures_the_best_run_counts(self):
        lines = self.lines(record("ours", 1, 10), record("ours", 1, 20), record("ours", 1, 60))
        self.assertRegex(lines[4], r"^ +speed +1/s +20\.0")
        self.assertRegex(lines[5], r"^ +best +1/s +60\.0")

    def test_runs_with_a_problem_do_not_count(self):
        lines = self.lines(record("ours", 5), record("glibc", 4, problem="exit status 2: why"))
        self.assertRegex(lines[2], r"^row +top +MiB +5\.0\* +- +- +1 of 1$")
        self.assertEqual(lines[-2:], ["Problems:", "  row under glibc: exit status 2: why"])

    def test_no_rank_without_a_figure(self):
        self.assertRegex(self.lines(record("glibc", 4))[2], r"- +4\.0\* +- +-$")
        self.assertEqual(self.lines(record("glibc", 4))[-1], "No problems.")


class PageTest(unittest.TestCase):

    def page(self, *records, notes=(), **arguments):
        text = resident_report.render(table(*records, **arguments), list(notes), "glibc")
        return text, xml.etree.ElementTree.fromstring(text.partition("\n")[2])

    def test_a_curve_for_each_allocator(self):
        _, root = self.page(record("ours", 5), record("glibc", 4),
                            record("rival", 3, problem="crash"))
        lines = [element for element in root.iter("polyline")]
        self.assertEqual([line.get("class") for line in lines], ["curve s1", "curve s0 subject"])
        # On a logarithmic axis the moment 0 is left out.
        self.assertEqual(len(lines[0].get("points").split()), 2)

    def test_best_and_subject_are_marked(self):
        _, root = self.page(record("ours", 5), record("glibc", 4))
        classes = [cell.get("class") for cell in root.findall(".//tr[2]/td")]
        self.assertEqual(classes, [None, None, None, "subject", "best", None, None])

    def test_self_contained_and_escaped(self):
        text, _ = self.page(record(NASTY, 5), record("glibc", 4, problem=NASTY),
                            allocators=(NASTY, "glibc"), notes=[f"MISSING {NASTY}"])
        self.assertNotRegex(text, r"https?:|//|url\(|@import|<script|<link|<img|src=|href=")
        self.assertIn('class="warning"', text)

    def test_nothing_measured(self):
        _, root = self.page()
        self.assertEqual(list(root.iter("polyline")), [])


if __name__ == "__main__":
    unittest.main()
