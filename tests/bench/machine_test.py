#!/usr/bin/env python3
"""Tests of bench/machine.py on machines that are not this one.

Usage: tests/bench/machine_test.py
"""

import unittest
from unittest import mock

import bench_fixture  # Puts bench/ on the path.

import machine


class DescribeTest(unittest.TestCase):

    def describe(self, files, cores=2):
        with (mock.patch.object(machine, "read_text", files.get),
              mock.patch("os.sched_getaffinity", lambda _: set(range(cores)))):
            description = machine.describe("/no/such/build")
            return description, machine.sentences(description)

    def test_figures_of_proc(self):
        description, lines = self.describe({
            "/proc/meminfo": "MemTotal:  2048000 kB\n",
            "/proc/cpuinfo": "model name\t: A CPU\n",
            "/proc/stat": "cpu  1 2 3 4 5 6 7 8 9 0\n",
            "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n"})
        self.assertEqual((description["cpu"], description["memory_mib"],
                          description["huge_pages"]), ("A CPU", 2000, "madvise"))
        self.assertEqual(len(lines), 1 + bool(description["environment"]))

    def test_without_proc(self):
        description, lines = self.describe({})
        self.assertIsNone(description["memory_mib"])
        self.assertIn("transparent huge pages: unknown", lines[0])
        self.assertIn("NO /proc/stat", lines[-1])

    def test_one_core_is_said(self):
        self.assertTrue(any(line.startswith("ONE CORE")
                            for line in self.describe({}, cores=1)[1]))

    def test_variables_that_change_allocators(self):
        with mock.patch.dict("os.environ", {"MALLOC_CONF": "x:1", "HOME": "/"}, clear=True):
            description, lines = self.describe({})
        self.assertEqual(description["environment"], {"MALLOC_CONF": "x:1"})
        self.assertIn("MALLOC_CONF=x:1", lines[1])


class LoadMeterTest(unittest.TestCase):

    def load(self, user_ticks, steal_ticks=0, own=0.0, seconds=1.0):
        """What the meter says of a run in which /proc/stat went on by this much."""
        texts = iter([f"cpu  {100 + user} 0 0 900 0 0 0 {steal} 0 0\n"
                      for user, steal in ((0, 0), (user_ticks, steal_ticks))])
        with (mock.patch.object(machine, "read_text",
                                lambda path: next(texts) if path == "/proc/stat" else None),
              mock.patch("time.monotonic", iter([0.0, seconds]).__next__),
              mock.patch.object(machine, "_own_seconds", iter([1.0, 1.0 + own]).__next__),
              mock.patch("os.sysconf", lambda _: 100)):
            return machine.LoadMeter().stop()

    def test_own_time_is_not_other_load(self):
        self.assertEqual(self.load(150, own=1.5), {"other_load": 0, "steal": 0,
                                                   "cpu_pressure": None, "disturbed": False})

    def test_other_load(self):
        figures = self.load(150, own=1.0)
        self.assertEqual((figures["other_load"], figures["disturbed"]), (0.5, True))

    def test_steal(self):
        figures = self.load(100, steal_ticks=20, own=1.0)
        self.assertEqual((figures["steal"], figures["disturbed"]), (0.2, True))

    def test_a_tenth_of_a_core_is_allowed(self):
        self.assertFalse(self.load(9)["disturbed"])
        self.assertTrue(self.load(11)["disturbed"])

    def test_ticks_are_too_coarse_for_short_runs(self):
        self.assertFalse(self.load(2, seconds=0.02)["disturbed"])

    def test_without_proc(self):
        with mock.patch.object(machine, "read_text", lambda path: None):
            self.assertEqual(set(machine.LoadMeter().stop().values()), {None})


if __name__ == "__main__":
    unittest.main()
