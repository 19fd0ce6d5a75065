#!/usr/bin/env python3
"""Tests of bench/execution.py: what a program's end and output are taken for.

Usage: tests/bench/execution_test.py
"""

import unittest

import bench_fixture  # Puts bench/ on the path.

import execution
import suite

GLIBC = suite.Allocator("glibc", "")
RIVAL = suite.Allocator("rival", "/lib/rival.so")


class FindProblemTest(unittest.TestCase):

    def find(self, allocator=RIVAL, errors="no message", **values):
        result = {"signal": 0, "exit_status": 0, "library_mapped": True, **values}
        return execution.find_problem(result, allocator, errors)

    def test_none(self):
        self.assertIsNone(self.find())
        self.assertIsNone(self.find(GLIBC, library_mapped=None))

    def test_signal_and_status(self):
        self.assertEqual(self.find(signal=11, exit_status=-1), "killed by signal 11: no message")
        self.assertEqual(self.find(exit_status=2, errors="x"), "exit status 2: x")

    def test_library_that_was_not_used(self):
        self.assertIn("did not use", self.find(library_mapped=False))

    def test_where_nothing_can_be_traced_the_loader_is_believed(self):
        self.assertIsNone(self.find(library_mapped=None))
        self.assertIn("did not use", self.find(
            library_mapped=None, errors="ERROR: ld.so: object 'x' from LD_PRELOAD cannot be "
            "preloaded (invalid ELF header): ignored."))


class ParseOutputTest(unittest.TestCase):

    def test_known_and_further_figures(self):
        self.assertEqual(
            execution.parse_output("operations 3\nwall_ns 4\nchecksum 5\nrss_kib 6\nnoise\nx y\n"),
            {"operations": 3, "program_ns": 4, "checksum": 5, "extra": {"rss_kib": 6}})

    def test_nothing(self):
        self.assertEqual(execution.parse_output(""), {"extra": {}})


if __name__ == "__main__":
    unittest.main()
