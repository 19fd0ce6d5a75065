#!/usr/bin/env python3
"""Tests of bench/run.py: what is measured, and what is said when it cannot be.

Usage: tests/bench/run_test.py

Exit codes: 0 passed, 1 failed, 77 skipped because there is no C compiler.
"""

import json

import run_fixture
from run_fixture import GOOD


class RunTest(run_fixture.Fixture):

    def test_everything_is_measured_and_written(self):
        self.row("one", GOOD)
        self.row("two", GOOD + "; echo p99_us 3")
        output, errors = self.run_all()
        self.assert_complete(["one", "two"], ["spanmalloc", "glibc", "rival"])
        self.assertEqual((self.out / "report.txt").read_text(), output)
        self.assertIn("No problems.", output)
        self.assertIn("round 2 of 2, two: 18/18 runs, about 0 s left", errors)
        self.assertTrue((self.out / "report.html").read_text().startswith("<!DOCTYPE html>"))
        header, runs, _ = self.journal()
        self.assertEqual(json.loads((self.out / "runs.json").read_text())["runs"], runs)
        allocators = header["configuration"]["allocators"]
        self.assertEqual(allocators["rival"]["library"], str(self.rival))
        self.assertEqual(len(allocators["rival"]["sha256"]), 64)
        run = runs[-1]
        self.assertEqual((run["operations"], run["program_ns"], run["checksum"], run["extra"]),
                         (5, 10, 7, {"p99_us": 3}))
        self.assertGreater(run["peak_rss_kib"], 0)
        self.assertIn("other_load", run)

    def test_turns_rotate(self):
        self.row("one", GOOD)
        self.run_all()
        runs = self.journal()[1]
        self.assertEqual([run["allocator"] for run in runs[::3]], ["spanmalloc", "glibc", "rival"])

    def test_each_run_has_an_empty_folder_and_its_environment(self):
        self.row("one", 'ls -A | wc -l >>"$LOG"; touch left; echo "$SETTING" >>"$LOG"; ' + GOOD)
        self.run_all(f"--extra=rival={self.rival},SETTING=x:1", "--allocators=rival", "--rounds=1")
        self.assertEqual((self.folder / "log").read_text().split(), ["0", "x:1"] * 2)

    def test_quick_arguments(self):
        self.row("one", 'echo "$1" >>"$LOG"; ' + GOOD)
        self.run_all("--quick", "--allocators=glibc", "--rounds=1")
        self.assertEqual((self.folder / "log").read_text().split(), ["quick"] * 2)

    def test_library_that_does_not_exist(self):
        self.row("one", GOOD)
        output, _ = self.run_all("--extra=gone=/no/such.so", status=1)
        self.assertIn("MISSING gone: no such library: /no/such.so", output)
        self.assert_complete(["one"], ["spanmalloc", "glibc", "rival"])

    def test_library_that_does_not_load(self):
        self.row("one", GOOD)
        text = self.folder / "text.so"
        text.write_text("no library\n")
        output, _ = self.run_all(f"--extra=text={text}", status=1)
        self.assertRegex(output, "MISSING text: the loader did not use the library: .*text.so")
        self.assertIn("MISSING text", (self.out / "report.html").read_text())
        self.assert_complete(["one"], ["spanmalloc", "glibc", "rival"])

    def test_allocator_that_is_not_there(self):
        self.row("one", GOOD)
        output, _ = self.run_all("--allocators=glibc,nobody", status=1)
        self.assertIn("MISSING nobody: not found on this machine", output)
        self.assert_complete(["one"], ["glibc"])

    def test_crash_under_one_rival(self):
        self.row("one", 'case "$LD_PRELOAD" in *rival*) kill -SEGV $$;; esac; ' + GOOD)
        self.row("two", GOOD)
        output, _ = self.run_all(status=1)
        self.assertIn("one under rival: killed by signal 11: no message (3 times)", output)
        self.assertEqual(set(self.problems()), {("one", "rival")})
        self.assert_complete(["one", "two"], ["spanmalloc", "glibc", "rival"])

    def test_failure_is_named_by_its_first_line(self):
        self.row("one", "echo what happened >&2; echo more >&2; exit 3")
        self.run_all("--allocators=glibc", status=1)
        self.assertEqual(self.problems(), {("one", "glibc"): "exit status 3: what happened"})

    def test_check_sums_that_disagree(self):
        self.row("one", 'case "$LD_PRELOAD" in *rival*) echo checksum 8;; *) echo checksum 7; esac')
        output, _ = self.run_all(status=1)
        self.assertIn("one: check sums differ: 7 by spanmalloc, glibc; 8 by rival", output)

    def test_run_over_its_time_is_not_tried_again(self):
        self.row("one", 'case "$LD_PRELOAD" in *rival*) sleep 60;; esac; ' + GOOD)
        output, _ = self.run_all("--allocators=glibc,rival", status=1, seconds=2)
        self.assertIn("one under rival: not finished after 2.0 s\n", output)
        self.assertIn("one under rival: not tried again after a run over its time (2 t", output)
        self.assert_complete(["one"], ["glibc", "rival"])

    def test_nothing_to_do(self):
        self.row("one", GOOD)
        for argument in ("--only=nothing", "--only=(", "--report", "--allocators=nobody",
                         "--extra=@/no/such/file"):
            with self.subTest(argument=argument):
                output, errors = self.run_all(argument, status=2)
                self.assertEqual(output, "")
                self.assertNotIn("Traceback", errors)
        (self.build / "bench" / "measure").unlink()
        self.assertIn("build the benchmarks first", self.run_all(status=2)[1])

    def test_list(self):
        self.row("one", GOOD)
        self.row("two", GOOD)
        self.assertEqual(self.run_all("--list", "--skip=one")[0], "two\n")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    run_fixture.main()
