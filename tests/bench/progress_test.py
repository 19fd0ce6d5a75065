#!/usr/bin/env python3
"""Tests of bench/progress.py, with a clock of their own.

Usage: tests/bench/progress_test.py
"""

import io
import unittest

import bench_fixture  # Puts bench/ on the path.

import progress


class ProgressTest(unittest.TestCase):

    def setUp(self):
        self.now = 0.0
        self.stream = io.StringIO()
        self.meter = progress.Progress(self.stream, lambda: self.now)

    def finish(self, cell, seconds, round_ends=False):
        self.now += seconds
        self.meter.finished(cell, "label", round_ends)

    def test_estimate_knows_each_cell(self):
        self.meter.begin(["short", "long", "short", "long", "other"])
        self.finish("short", 1)
        self.finish("long", 9)
        self.assertEqual(self.meter.seconds_left(), 1 + 9 + 5)
        self.finish("short", 3)
        self.assertEqual(self.meter.seconds_left(), 9 + 5.5)

    def test_a_line_after_each_round(self):
        self.meter.begin(["a", "b", "a", "b"], already=2)
        self.finish("a", 1)
        self.assertEqual(self.stream.getvalue(), "")
        self.finish("b", 1, round_ends=True)
        self.assertEqual(self.stream.getvalue(), "label: 4/6 runs, about 2 s left\n")

    def test_a_line_in_long_rounds(self):
        self.meter.begin(["a", "b", "c"])
        self.finish("a", 61)
        self.assertEqual(self.stream.getvalue(), "label: 1/3 runs, about 2 min left\n")

    def test_durations(self):
        self.assertEqual([progress.duration(seconds) for seconds in (0.4, 119, 150, 7199, 9000)],
                         ["0 s", "119 s", "2 min", "2 h 0 min", "2 h 30 min"])


if __name__ == "__main__":
    unittest.main()
