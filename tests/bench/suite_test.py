#!/usr/bin/env python3
"""Tests of bench/suite.py: what is named on the command line, and what is found.

Usage: tests/bench/suite_test.py
"""

import os
import pathlib
import tempfile
import types
import unittest
from unittest import mock

import bench_fixture  # Puts bench/ on the path.

import suite


class ExtraTest(unittest.TestCase):

    def parse(self, *texts):
        return [(one.name, one.library, dict(one.environment)) for one in suite.parse_extra(texts)]

    def test_name_and_path(self):
        self.assertEqual(self.parse("a=/lib/a.so"), [("a", "/lib/a.so", {})])

    def test_path_becomes_absolute(self):
        self.assertEqual(self.parse("a=b.so"), [("a", os.path.abspath("b.so"), {})])

    def test_environment(self):
        self.assertEqual(self.parse("a=/a.so,X=1,Y_2=z"), [("a", "/a.so", {"X": "1", "Y_2": "z"})])

    def test_commas_inside_of_values(self):
        self.assertEqual(self.parse("a=/a.so,MALLOC_CONF=x:1,y:2,SPANMALLOC_OPTIONS=p=1,q=2"),
                         [("a", "/a.so", {"MALLOC_CONF": "x:1,y:2",
                                          "SPANMALLOC_OPTIONS": "p=1,q=2"})])

    def test_known_library_brings_its_environment(self):
        self.assertEqual(self.parse("a=/x/libtcmalloc_google.so"),
                         [("a", "/x/libtcmalloc_google.so",
                           {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"})])
        self.assertEqual(self.parse("a=/x/libtcmalloc_google.so,GLIBC_TUNABLES=x")[0][2],
                         {"GLIBC_TUNABLES": "x"})

    def test_the_systems_malloc_in_another_environment(self):
        self.assertEqual(self.parse("a=,X=1"), [("a", "", {"X": "1"})])

    def test_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "list"
            path.write_text("# comment\n\na=/a.so\n b=/b.so,X=1\n")
            self.assertEqual([name for name, _, _ in self.parse(f"@{path}")], ["a", "b"])

    def test_bad_forms(self):
        for text in ("a", "a=", "=/a.so"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                self.parse(text)


class FindTest(unittest.TestCase):

    def find(self, extra, cache=()):
        with mock.patch.object(suite, "_loader_cache", lambda: dict(cache)):
            return {one.name: one for one in
                    suite.find_allocators("/build", suite.parse_extra(extra))}

    def test_subject_baseline_and_rivals(self):
        found = self.find([], {"libjemalloc.so.2": "/lib/j", "libother.so": "/lib/o"})
        self.assertEqual([(name, one.library) for name, one in found.items()],
                         [("spanmalloc", "/build/libspanmalloc.so"), ("glibc", ""),
                          ("jemalloc", "/lib/j")])

    def test_extra_replaces_one_of_the_same_name(self):
        found = self.find(["jemalloc=/mine"], {"libjemalloc.so.2": "/lib/j"})
        self.assertEqual(found["jemalloc"].library, "/mine")

    def test_a_library_named_twice_runs_once(self):
        self.assertEqual(list(self.find(["mine=/lib/j"], {"libjemalloc.so.2": "/lib/j"})),
                         ["spanmalloc", "glibc", "mine"])

    def test_a_library_in_another_environment_is_another_allocator(self):
        found = self.find(["mine=/lib/j,MALLOC_CONF=x:1"], {"libjemalloc.so.2": "/lib/j"})
        self.assertEqual(list(found), ["spanmalloc", "glibc", "jemalloc", "mine"])


class RowsTest(unittest.TestCase):

    def test_names_are_unique(self):
        names = [row.name for row in suite.rows()]
        self.assertEqual(len(names), len(set(names)))

    def test_only_and_skip(self):
        names = [row.name for row in suite.select_rows(["^hot_pair_", "trivial"], ["_8$"])]
        self.assertIn("trivial", names)
        self.assertIn("hot_pair_16", names)
        self.assertNotIn("hot_pair_8", names)
        self.assertNotIn("phases", names)

    def test_missing_program_names_its_package(self):
        program = types.SimpleNamespace(name="x", requires=("sh", "no-such-executable"),
                                        packages=("x-tools", "x-data"))
        self.assertEqual(suite.ProgramRow("real_x", program).missing(),
                         "real_x: no no-such-executable (Debian: x-tools, x-data)")
        program.requires = ("sh",)
        self.assertIsNone(suite.ProgramRow("real_x", program).missing())


if __name__ == "__main__":
    unittest.main()
