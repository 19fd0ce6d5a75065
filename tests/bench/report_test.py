#!/usr/bin/env python3
"""Tests of bench/figures.py and bench/report.py: made-up runs in, numbers out.

Usage: tests/bench/report_test.py
"""

import unittest

from bench_fixture import make_failure, make_run

import figures
import report


def compare(runs, **arguments):
    return figures.Comparison(runs, "ours", "glibc", **arguments)


class SummaryTest(unittest.TestCase):

    def test_quartiles_and_spread(self):
        summary = figures.summarize([50, 10, 20, 30, 40])
        self.assertEqual((summary.minimum, summary.lower, summary.median, summary.upper),
                         (10, 20, 30, 40))
        self.assertAlmostEqual(summary.spread, 20 / 30)

    def test_of_one_value(self):
        summary = figures.summarize([3])
        self.assertEqual((summary.minimum, summary.median, summary.spread), (3, 3, 0))

    def test_of_no_value(self):
        self.assertIsNone(figures.summarize([]))

    def test_undisturbed_runs_make_the_median_when_there_are_enough(self):
        values = [90, 1, 10, 20, 30]
        self.assertEqual(figures.summarize(values, [10, 20, 30]).median, 20)
        self.assertEqual(figures.summarize(values, [10, 20, 30]).minimum, 1)
        self.assertEqual(figures.summarize(values, [10, 20]).median, 20)
        self.assertEqual(figures.summarize([5, 7], []).median, 6)


class ComparisonTest(unittest.TestCase):

    def test_time_is_the_minimum_and_memory_the_median(self):
        comparison = compare([make_run("a", "ours", number, cpu, rss)
                              for number, cpu, rss in ((1, 9, 4), (2, 5, 2), (3, 7, 3))])
        self.assertEqual(comparison.figure("a", "ours", "cpu"), 5e6)
        self.assertEqual(comparison.figure("a", "ours", "rss"), 3 * 1024)

    def test_ratios_to_baseline_and_best_rival(self):
        comparison = compare([make_run("a", "ours", cpu_ms=6), make_run("a", "glibc", cpu_ms=12),
                              make_run("a", "rival", cpu_ms=4)])
        self.assertEqual(comparison.ratio("a", "ours", "cpu", to_best=False), 0.5)
        self.assertEqual(comparison.ratio("a", "ours", "cpu", to_best=True), 1.5)
        self.assertEqual(comparison.best_rival("a", "cpu"), ("rival", 4e6))

    def test_the_subject_is_nobodys_best_rival(self):
        comparison = compare([make_run("a", "ours", cpu_ms=1), make_run("a", "glibc", cpu_ms=2)])
        self.assertEqual(comparison.ratio("a", "ours", "cpu", to_best=True), 0.5)

    def test_mean_is_over_rows_that_all_completed(self):
        comparison = compare([
            make_run("a", "ours", cpu_ms=1), make_run("a", "glibc", cpu_ms=4),
            make_run("b", "ours", cpu_ms=9), make_run("b", "glibc", cpu_ms=9),
            make_run("c", "ours", cpu_ms=1), make_failure("c", "glibc"),
            make_failure("a", "broken"), make_failure("b", "broken")])
        self.assertEqual(comparison.complete_rows(), ["a", "b"])
        self.assertAlmostEqual(comparison.mean_ratio("ours", "cpu", to_best=False), 0.5)
        self.assertIsNone(comparison.mean_ratio("broken", "cpu", to_best=False))

    def test_means_of_each_kind_of_rows(self):
        runs = [make_run(row, name, cpu_ms=cpu if name == "ours" else 8)
                for row, cpu in (("a", 4), ("b", 16), ("c", 16)) for name in ("ours", "glibc")]
        comparison = compare(runs, rows={"a": "workload", "b": "workload", "c": "program"})
        self.assertEqual([(title, round(means["ours"], 3))
                          for title, means in comparison.means("cpu", to_best=False)],
                         [("geometric mean of 2 complete workloads", 1.0),
                          ("geometric mean of 1 complete programs", 2.0),
                          ("geometric mean of 3 complete rows", 1.26)])

    def test_warm_up_and_failures_are_not_counted(self):
        comparison = compare([make_run("a", "ours", 0, cpu_ms=1), make_run("a", "ours", cpu_ms=5),
                              make_failure("a", "ours", 2)])
        self.assertEqual(comparison.summary("a", "ours", "cpu").count, 1)
        self.assertEqual(comparison.figure("a", "ours", "cpu"), 5e6)

    def test_without_baseline_and_rivals(self):
        comparison = compare([make_run("a", "ours")])
        self.assertIsNone(comparison.ratio("a", "ours", "cpu", to_best=False))
        self.assertIsNone(comparison.ratio("a", "ours", "cpu", to_best=True))
        self.assertEqual(comparison.losses("cpu"), [])

    def test_losses_are_sorted_and_name_the_winner(self):
        runs = [make_run(row, "ours", cpu_ms=cpu) for row, cpu in
                (("a", 13), ("b", 30), ("c", 11), ("d", 5))]
        runs += [make_run(row, "glibc") for row in "abcd"]
        self.assertEqual(compare(runs).losses("cpu"), [(3.0, "b", "glibc"), (1.3, "a", "glibc")])

    def test_disturbed_runs_are_counted_where_known(self):
        runs = [make_run("a", "ours", number, disturbed=disturbed)
                for number, disturbed in ((0, True), (1, True), (2, False), (3, None))]
        self.assertEqual(compare(runs).disturbed(), (1, 2, 3))

    def test_check_sums_that_disagree(self):
        runs = [make_run("a", "ours", checksum=1), make_run("a", "glibc", checksum=2),
                make_run("a", "rival", checksum=2), make_run("b", "ours"), make_run("b", "glibc")]
        self.assertEqual(compare(runs).problems(),
                         ["a: check sums differ: 1 by ours; 2 by glibc, rival"])

    def test_check_sum_that_changes_from_round_to_round(self):
        runs = [make_run("a", "ours", 1, checksum=1), make_run("a", "ours", 2, checksum=2)]
        self.assertEqual(compare(runs).problems(),
                         ["a: check sums differ: 1 by ours; 2 by ours"])

    def test_equal_failures_are_one_problem(self):
        runs = [make_failure("a", "ours", number) for number in range(3)]
        self.assertEqual(compare(runs).problems(),
                         ["a under ours: killed by signal 11: no message (3 times)"])

    def test_library_that_could_not_be_checked(self):
        problems = compare([make_run("a", "ours", unchecked=True)]).problems()
        self.assertEqual(len(problems), 1)
        self.assertIn("could not be checked", problems[0])


class ReportTest(unittest.TestCase):

    def test_all_sections(self):
        runs = [make_run("a", "ours", number, cpu_ms=20, extra={"p99_us": 12.5})
                for number in (1, 2, 3)] + [make_run("a", "glibc")]
        text = report.render(compare(runs), ["a note"])
        self.assertTrue(text.startswith("a note\n0 of 4 measured runs were disturbed"))
        for line in (r"ours +3 +20\.00 +20\.00 +0%", r"a says +p99_us\n-+\nours +12\.5\nglibc +-",
                     r"geometric mean of 1 complete rows +2\.00 +1\.00",
                     r"Where ours loses.*\nrow.*\n-+\na +CPU time +2\.00 +glibc +2\.00",
                     r"No problems\.\n"):
            self.assertRegex(text, line)

    def test_row_that_failed_has_no_figures(self):
        text = report.render(compare([make_failure("a", "ours"), make_run("a", "glibc")]), [])
        self.assertRegex(text, r"\nours +0 +- +-")
        self.assertIn("Problems:\n  a under ours: killed by signal 11", text)

    def test_nothing_lost(self):
        text = report.render(compare([make_run("a", "ours"), make_run("a", "glibc")]), [])
        self.assertRegex(text, r"Where ours loses.*\n  nowhere\n")

    def test_nothing_measured(self):
        text = report.render(compare([], rows={"a": "workload"}, allocators=["ours", "glibc"]), [])
        self.assertIn("nothing was measured", text)

    def test_figures_that_the_system_does_not_tell(self):
        run = make_run("a", "ours", end_rss_kib=None, end_huge_kib=None, peak_virtual_kib=None)
        self.assertRegex(report.render(compare([run]), []), r"ours .* 1\.0 +0% +- +- +- +100")

    def test_unknown_load_is_said(self):
        text = report.render(compare([make_run("a", "ours", disturbed=None)]), [])
        self.assertIn("other load during the 1 measured runs is not known", text)


if __name__ == "__main__":
    unittest.main()
