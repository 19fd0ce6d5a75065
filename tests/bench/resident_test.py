#!/usr/bin/env python3
"""Tests of bench/resident.py: programs beside each other, journal, interruption.

Usage: tests/bench/resident_test.py

Rows are shell scripts, as in run_fixture.py. What has to wait waits for a file
that another script makes, so the tests need no clock.

Exit codes: 0 passed, 1 failed, 77 skipped because there is no C compiler.
"""

import os
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import run_fixture
from bench_fixture import BENCH

import resident
import resident_execution
import resident_rows
import suite

# Runs resident.py on rows that are scripts: BENCH ROWS GRACE ARGUMENTS...; ROWS
# are NAME or NAME! for one that wants to be alone, with commas between them.
DRIVER = """
import sys
bench, names, grace, *arguments = sys.argv[1:]
sys.path.insert(0, bench)
sys.dont_write_bytecode = True
import resident, resident_execution, resident_rows, suite
suite._loader_cache = dict
resident_execution.GRACE_SECONDS = float(grace)
resident_rows.rows = lambda quick: [
    resident_rows.Row(name.rstrip("!"), name.rstrip("!"), (), (
        resident_rows.Line("1 s", "MiB", resident_rows.sample(1000)),), 0, 0, name[-1] == "!")
    for name in names.split(",")]
sys.exit(resident.main(arguments))
"""
GOOD = "echo before_kib 5; echo idle; echo sample 1000 2048"
# Waits for a file, but not longer than a test may take.
AWAIT = "n=0; until [ -e $FILE ] || [ $n -ge 3000 ]; do sleep 0.01; n=$((n+1)); done"


class ParseTest(unittest.TestCase):

    def test_figures_samples_and_idleness(self):
        self.assertEqual(
            resident_execution.parse_output("a_kib 3\nsample 0 4\nnoise\nx y\nsample 10 5\n"),
            ({"a_kib": 3}, [[0, 4], [10, 5]], False))
        self.assertTrue(resident_execution.parse_output("a 1\nidle\n")[2])
        self.assertEqual(resident_execution.parse_output(""), ({}, [], False))

    def test_memory_of_the_machine(self):
        self.assertGreater(resident_execution.available_mebibytes(), 0)


class OrderTest(unittest.TestCase):

    def test_much_memory_first_alone_last_and_in_turns(self):
        rows = [resident_rows.Row(name, name, (), (), 1, mebibytes, alone, runs)
                for name, mebibytes, alone, runs in (
                    ("quiet", 9, True, 2), ("small", 1, False, 1), ("large", 5, False, 1))]
        allocators = [suite.Allocator("a", ""), suite.Allocator("b", "")]
        records = [{"round": 1, "row": "small", "allocator": "a"}]
        self.assertEqual([(number, row.name, allocator.name) for number, row, allocator
                          in resident.cells_left(1, rows, allocators, records)],
                         [(1, "large", "a"), (1, "large", "b"), (1, "small", "b"),
                          (1, "quiet", "a"), (1, "quiet", "b"),
                          (2, "quiet", "b"), (2, "quiet", "a")])


class ResidentTest(run_fixture.Fixture):

    def start(self, *arguments, grace=60, names=None):
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, BENCH, ",".join(names or self.rows), str(grace),
             f"--build={self.build}", f"--out={self.out}", f"--extra=rival={self.rival}",
             "--jobs=8", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def cells(self):
        return sorted((run["row"], run["allocator"], run["round"]) for run in self.journal()[1])

    def test_every_cell_once_with_what_it_printed(self):
        self.row("one", GOOD)
        self.row("two", GOOD)
        output, _ = self.run_all("--rounds=2")
        self.assertEqual(self.cells(), sorted(
            (row, allocator, number) for row in ("one", "two")
            for allocator in ("spanmalloc", "glibc", "rival") for number in (1, 2)))
        run = self.journal()[1][0]
        self.assertEqual((run["problem"], run["figures"], run["samples"]),
                         (None, {"before_kib": 5}, [[1000, 2048]]))
        self.assertRegex(output, r"(?m)^two +1 s +MiB +2\.0\* +2\.0\* +2\.0\* +1 of 3$")
        self.assertEqual((self.out / "report.txt").read_text(), output)
        self.assertIn("</html>", (self.out / "report.html").read_text())

    def test_the_library_is_preloaded_in_its_environment(self):
        self.row("one", 'echo "$LD_PRELOAD|$X" >>"$LOG"; ' + GOOD)
        self.run_all("--allocators=glibc,other", f"--extra=other={self.rival},X=1")
        self.assertEqual(sorted((self.folder / "log").read_text().splitlines()),
                         sorted(["|", f"{self.rival}|1"]))

    def test_idle_programs_let_others_work(self):
        # Each of the three waits, idle, for the third one; with two seats.
        self.row("one", f"""
            echo started >>"$LOG"; echo idle; FILE={self.folder}/three
            if [ $(wc -l <"$LOG") -eq 3 ]; then touch $FILE; fi
            {AWAIT}; [ -e $FILE ] || exit 3""")
        self.run_all()

    def test_working_programs_keep_others_out(self):
        self.row("one", f"""
            mkdir {self.folder}/a 2>/dev/null || mkdir {self.folder}/b || exit 3
            sleep 0.05; rmdir {self.folder}/b 2>/dev/null || rmdir {self.folder}/a
            echo idle""")
        self.run_all("--rounds=4")

    def test_one_that_wants_to_be_alone_works_alone(self):
        self.row("one", f"touch {self.folder}/working.$$; sleep 0.1; rm {self.folder}/working.$$")
        self.row("two", f"for file in {self.folder}/working.*; do [ -e $file ] && exit 3; done; "
                 f"touch {self.folder}/working.$$; sleep 0.1; rm {self.folder}/working.$$")
        self.run_all("--rounds=2", names=["one", "two!"])

    def test_the_callers_library_is_not_the_programs(self):
        self.row("one", 'echo "$LD_PRELOAD|" >>"$LOG"')
        with mock.patch.dict(os.environ, LD_PRELOAD=str(self.rival)):
            self.run_all("--allocators=glibc")
        self.assertEqual((self.folder / "log").read_text(), "|\n")

    def test_programs_that_are_stopped_with_the_runner_are_not_blamed(self):
        self.row("one", "kill -TERM $PPID; kill -TERM $$")
        output, _ = self.run_all("--allocators=glibc", status=1)
        self.assertEqual(self.cells(), [])
        self.assertIn("No problems.", output)

    def test_problems(self):
        self.row("status", "echo why >&2; exit 4")
        self.row("signal", "kill -SEGV $$")
        output, _ = self.run_all("--allocators=glibc", status=1)
        self.assertEqual(self.problems(), {
            ("status", "glibc"): "exit status 4: why",
            ("signal", "glibc"): "killed by signal 11: no message"})
        self.assertIn("  status under glibc: exit status 4: why", output)

    def test_one_that_takes_too_long(self):
        self.row("one", "exec sleep 60")
        self.run_all("--allocators=glibc", status=1, grace=0.1)
        self.assertIn("not finished after", self.problems()["one", "glibc"])

    def test_library_that_was_not_used(self):
        self.row("one", f"exec env -u LD_PRELOAD {self.build}/bench/two")
        self.row("two", f"{GOOD}; FILE={self.folder}/never; sleep 1")
        # The shell itself has the library; what it executes has not.
        self.run_all("--allocators=rival", status=1, names=["one"])
        self.assertIn("did not use", self.problems()["one", "rival"])

    def test_missing_program(self):
        _, errors = self.run_all(status=2, names=["absent"])
        self.assertIn("no absent in", errors)

    def interrupt(self):
        """Starts a run and interrupts it when all but its first program are done."""
        self.row("one", f"""
            echo started >>"$LOG"
            mkdir {self.folder}/first 2>/dev/null && exec sleep 60
            """ + GOOD)
        process = self.start()
        runs = self.out / "runs.jsonl"
        deadline = time.monotonic() + 30
        # The one that sleeps is left: the header and the other two are on disk.
        while time.monotonic() < deadline and not (
                runs.exists() and len(runs.read_text().splitlines()) == 3):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("UNFINISHED", output)

    def test_interrupted_run_goes_on(self):
        self.interrupt()
        before = (self.out / "runs.jsonl").read_text()
        self.assertEqual(len(self.cells()), 2)
        _, errors = self.run_all()
        self.assertIn("going on after 2 runs", errors)
        self.assertTrue((self.out / "runs.jsonl").read_text().startswith(before))
        self.assertEqual(self.cells(), [("one", name, 1)
                                        for name in ("glibc", "rival", "spanmalloc")])
        self.assertEqual(len((self.folder / "log").read_text().splitlines()), 4)
        self.assertTrue(self.journal()[2])

    def test_another_configuration_is_refused(self):
        self.interrupt()
        _, errors = self.run_all("--quick", status=2)
        self.assertIn("of another configuration (quick)", errors)
        self.run_all("--quick", "--restart")

    def test_reports_can_be_written_again(self):
        self.row("one", GOOD)
        output, _ = self.run_all()
        (self.out / "report.txt").unlink()
        self.assertEqual(self.run_all("--report")[0], output)
        self.assertEqual((self.out / "report.txt").read_text(), output)


if __name__ == "__main__":
    run_fixture.main()
