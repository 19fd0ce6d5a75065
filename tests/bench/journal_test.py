#!/usr/bin/env python3
"""Tests of bench/journal.py.

Usage: tests/bench/journal_test.py
"""

import pathlib
import tempfile
import unittest

import bench_fixture  # Puts bench/ on the path.

import journal


class JournalTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "runs.jsonl"

    def open(self):
        log = journal.Journal(str(self.path))
        self.addCleanup(log.close)
        return log

    def write(self, runs, finish=False):
        log = self.open()
        log.start({"configuration": {"a": 1}})
        for run in runs:
            log.add(run)
        if finish:
            log.finish()
        log.close()

    def test_what_was_written_is_read(self):
        self.write([{"n": 1}, {"n": 2}])
        log = self.open()
        self.assertEqual(log.header["configuration"], {"a": 1})
        self.assertEqual((log.runs, log.finished), ([{"n": 1}, {"n": 2}], False))

    def test_finished_and_extended(self):
        self.write([{"n": 1}], finish=True)
        log = self.open()
        self.assertTrue(log.finished)
        log.add({"n": 2})
        self.assertEqual(journal.read(self.path)[1:], ([{"n": 1}, {"n": 2}], False))

    def test_a_line_that_was_cut_off_is_dropped(self):
        self.write([{"n": 1}, {"n": 2}])
        self.path.write_bytes(self.path.read_bytes()[:-4])
        log = self.open()
        self.assertEqual(log.runs, [{"n": 1}])
        log.add({"n": 3})
        self.assertEqual(journal.read(self.path)[1], [{"n": 1}, {"n": 3}])

    def test_header_that_was_cut_off(self):
        self.path.write_bytes(b'{"format"')
        self.assertIsNone(self.open().header)

    def test_other_files_are_refused(self):
        for text in ("no JSON\n", '{"format": 1}\n', "[1]\n"):
            self.path.write_text(text)
            with self.subTest(text=text), self.assertRaises(journal.JournalError):
                self.open()
            self.assertEqual(self.path.read_text(), text)

    def test_two_at_once(self):
        self.write([])
        self.open()
        with self.assertRaisesRegex(journal.JournalError, "another run writes"):
            self.open()

    def test_start_over_keeps_what_was_there(self):
        self.write([{"n": 1}])
        log = self.open()
        log.start_over({"configuration": {"a": 2}})
        self.assertEqual(log.runs, [])
        self.assertEqual(journal.read(self.path)[0]["configuration"], {"a": 2})
        self.assertEqual(journal.read(f"{self.path}.previous")[1], [{"n": 1}])

    def test_none_there(self):
        self.assertEqual(journal.read(self.path), (None, [], False))

    def test_differences(self):
        old = {"same": 1, "changed": [1], "gone": 1, "deep": {"x": {"y": 1, "z": 2}}}
        new = {"same": 1, "changed": [2], "new": 1, "deep": {"x": {"y": 1, "z": 3}}}
        self.assertEqual(journal.differences(old, new), ["changed", "gone", "deep.x.z", "new"])
        self.assertEqual(journal.differences(old, dict(old)), [])


if __name__ == "__main__":
    unittest.main()
