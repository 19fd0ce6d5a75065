#!/usr/bin/env python3
"""Tests of bench/run.py: runs that are interrupted, go on, or are done again.

Usage: tests/bench/run_resume_test.py

Exit codes: 0 passed, 1 failed, 77 skipped because there is no C compiler.
"""

import json
import signal
import time

import run_fixture
from run_fixture import GOOD


class ResumeTest(run_fixture.Fixture):

    def interrupt(self, signal_number=signal.SIGINT):
        """Starts a run and interrupts it in its fourth execution."""
        self.row("one", f"""
            echo started >>"$LOG"
            if [ $(wc -l <"$LOG") -eq 4 ]; then touch {self.folder}/waiting; sleep 60; fi
            """ + GOOD)
        process = self.start()
        deadline = time.monotonic() + 30
        while not (self.folder / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal_number)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 1, errors)
        return output

    def executions(self):
        return len((self.folder / "log").read_text().splitlines())

    def test_interrupted_run_goes_on(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=signal_number):
                self.setUp()
                output = self.interrupt(signal_number)
                self.assertIn("UNFINISHED", output)
                self.assertIn("UNFINISHED", (self.out / "report.html").read_text())
                before = (self.out / "runs.jsonl").read_text()
                _, runs, finished = self.journal()
                self.assertEqual((len(runs), finished), (3, False))
                self.assertEqual(json.loads((self.out / "runs.json").read_text())["runs"], runs)
                _, errors = self.run_all()
                self.assertIn("going on after 3 runs", errors)
                self.assertTrue((self.out / "runs.jsonl").read_text().startswith(before))
                self.assert_complete(["one"], ["spanmalloc", "glibc", "rival"])
                self.assertEqual(self.executions(), 9 + 1)

    def test_killed_run_goes_on(self):
        self.row("one", 'echo started >>"$LOG"; ' + GOOD)
        self.run_all()
        path = self.out / "runs.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:5]) + lines[5][:20])
        self.run_all()
        self.assert_complete(["one"], ["spanmalloc", "glibc", "rival"])
        self.assertEqual(self.executions(), 9 + 5)

    def test_changed_configuration_is_refused(self):
        self.interrupt()
        before = (self.out / "runs.jsonl").read_text()
        with open(self.build / "libspanmalloc.so", "ab") as library:
            library.write(b"another build")
        output, errors = self.run_all(status=2)
        self.assertEqual(output, "")
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("of another configuration (allocators.spanmalloc.sha256)", errors)
        self.run_all("--quick", status=2)
        self.assertEqual((self.out / "runs.jsonl").read_text(), before)
        self.run_all("--restart")
        self.assertEqual((self.out / "runs.jsonl.previous").read_text(), before)
        self.assert_complete(["one"], ["spanmalloc", "glibc", "rival"])

    def test_finished_run_is_put_aside_or_extended(self):
        self.row("one", 'echo started >>"$LOG"; ' + GOOD)
        self.run_all()
        first = (self.out / "runs.jsonl").read_text()
        self.run_all()
        self.assertEqual((self.out / "runs.jsonl.previous").read_text(), first)
        self.assertEqual(self.executions(), 18)
        self.run_all("--resume", "--rounds=3")
        self.assert_complete(["one"], ["spanmalloc", "glibc", "rival"], rounds=3)
        self.assertEqual(self.executions(), 18 + 3)

    def test_reports_can_be_written_again(self):
        self.row("one", GOOD)
        output, _ = self.run_all()
        (self.out / "report.html").unlink()
        again, _ = self.run_all("--report")
        self.assertEqual(again, output)
        self.assertTrue((self.out / "report.html").exists())
        other, _ = self.run_all("--report", "--subject=rival")
        self.assertIn("Where rival loses", other)


if __name__ == "__main__":
    run_fixture.main()
