#!/usr/bin/env python3
"""Tests of bench/bytes_per_object.py, and of the program that it runs.

Usage: tests/bench/bytes_per_object_test.py

Exit codes: 0 passed, 1 failed, 77 skipped because there is no C compiler.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import bench_fixture  # Puts bench/ on the path.

import bytes_per_object


class DistributionsTest(unittest.TestCase):

    def setUp(self):
        for name in ("words", "json_keys", "identifiers"):
            patch = mock.patch.object(bytes_per_object, name, lambda name=name: [name])
            patch.start()
            self.addCleanup(patch.stop)

    def test_ranges_and_strings(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "strings"
            path.write_text("a\n\nfour\nä\n")
            found = bytes_per_object.distributions([f"mine={path}"])
        self.assertEqual((found["3"], found["1..15"], found["words"]), ("3..3", "1..15", [6]))
        self.assertEqual(sorted(found["mine"]), [1, 2, 3, 5])

    def test_bad_forms(self):
        for text in ("a", "a=", "=b"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                bytes_per_object.distributions([text])


class TablesTest(unittest.TestCase):

    def record(self, allocator, fresh, nanoseconds, problem=None):
        return {"row": "3", "allocator": allocator, "problem": problem,
                "extra": {"requested_bytes": 30, "fresh_bytes": fresh, "churned_bytes": 50,
                          "churn_cpu_ns": nanoseconds}}

    def test_medians_and_minima(self):
        lines = bytes_per_object.tables(
            [self.record("a", 40, 600), self.record("a", 42, 300), self.record("a", 90, 900),
             self.record("b", 0, 0, "exit status 2: why")], 10)
        self.assertRegex(lines[2], r"^3 +3\.00 +4\.20  5\.00 +-$")
        self.assertRegex(lines[-2], r"^3 +10\.0 +-$")
        self.assertEqual(lines[-1], "3 under b: exit status 2: why")


class ProgramTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.program = pathlib.Path(cls.folder.name) / "program"
        subprocess.run(["cc", "-O1", "-fno-builtin-malloc", "-o", cls.program,
                        bench_fixture.BENCH / "workloads" / "bytes_per_object.c"], check=True)

    def run_program(self, *arguments):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True)

    def test_figures(self):
        lengths = pathlib.Path(self.folder.name) / "lengths"
        lengths.write_text("1000\n")
        for argument in ("1000..1000", lengths):
            with self.subTest(argument=argument):
                output = self.run_program("1000", argument).stdout
                figures = {key: int(value) for key, value in map(str.split, output.splitlines())}
                self.assertEqual((figures["operations"], figures["requested_bytes"]),
                                 (6000, 1000000))
                for key in ("fresh_bytes", "churned_bytes"):
                    self.assertTrue(0.9e6 < figures[key] < 8e6, output)

    def test_bad_lengths(self):
        bad = pathlib.Path(self.folder.name) / "bad"
        bad.write_text("3\nx\n")
        for argument in ("0..3", "1..70000", "3..1", "/no/such/file", bad):
            with self.subTest(argument=argument):
                self.assertEqual(self.run_program("10", argument).returncode, 2)


if __name__ == "__main__":
    if not shutil.which("cc"):
        print("skipped: no C compiler")
        sys.exit(77)
    unittest.main()
