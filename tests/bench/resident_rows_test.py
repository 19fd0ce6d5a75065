#!/usr/bin/env python3
"""Tests of bench/resident_rows.py: figures from what programs print.

Usage: tests/bench/resident_rows_test.py
"""

import unittest

import bench_fixture  # Puts bench/ on the path.

import resident_rows

MIB = 1024


def record(samples=(), **figures):
    return {"figures": figures, "samples": [list(sample) for sample in samples]}


def figures(name, made, quick=True):
    (row,) = resident_rows.select(quick, [f"^{name}$"])
    return {line.label: line.value(made) for line in row.lines}


class FiguresTest(unittest.TestCase):

    def test_return(self):
        made = record([(0, 9 * MIB), (100, 8 * MIB), (1000, 7 * MIB), (5000, 6 * MIB),
                       (30000, 5 * MIB), (360000, 4 * MIB)], before_kib=MIB, top_kib=10 * MIB)
        self.assertEqual(figures("return_small_all", made),
                         {"before": 1, "top": 10, "0.1 s": 8, "1 s": 7, "5 s": 6, "30 s": 5})
        self.assertEqual(figures("return_small_all", made, quick=False)["6 min"], 4)

    def test_idle_threads_are_compared_with_themselves(self):
        made = record([(1000, 500), (5000, 400), (30000, 300)],
                      threads=10, before_kib=100, threads_kib=200)
        self.assertEqual(figures("idle_threads", made),
                         {"unused thread": 10, "used, 1 s": 30, "used, 5 s": 20, "used, 30 s": 10})

    def test_phases(self):
        made = record([(1, 3 * MIB), (2, 5 * MIB), (3, 4 * MIB)], peak_kib=6 * MIB)
        self.assertEqual(figures("phases", made), {"highest": 5, "last": 4, "VmHWM": 6})

    def test_server_by_shares_of_its_time(self):
        samples = [(100 * i, i * MIB) for i in range(101)]
        found = figures("server", record(samples, cpu_ns=5 * 10 ** 8, operations=3 * 10 ** 6))
        self.assertEqual(found, {"before a peak": 11, "highest": 100, "after 1st peak": 41,
                                 "last": 100, "mean": 50, "CPU time": 0.5, "operations": 3})

    def test_throughput(self):
        made = record(operations=10 ** 7, wall_ns=2 * 10 ** 9, cpu_ns=3 * 10 ** 9, peak_kib=MIB)
        self.assertEqual(figures("server_unlimited", made),
                         {"operations": 5, "CPU time": 3, "peak": 1})

    def test_what_was_not_printed_is_none(self):
        for row in resident_rows.rows(False):
            for line in row.lines:
                with self.subTest(row=row.name, line=line.label):
                    self.assertIsNone(line.value(record()))


class RowsTest(unittest.TestCase):

    def test_names_are_unique(self):
        names = [row.name for row in resident_rows.rows(False)]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(names, [row.name for row in resident_rows.rows(True)])

    def test_only(self):
        names = [row.name for row in resident_rows.select(True, ["^return_mixed", "phases"])]
        self.assertEqual(names, ["return_mixed_all", "return_mixed_most", "phases"])

    def test_quick_leaves_out_six_minutes(self):
        longest = max(row.seconds for row in resident_rows.rows(True))
        self.assertLess(longest, 60)


if __name__ == "__main__":
    unittest.main()
